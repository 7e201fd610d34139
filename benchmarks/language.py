"""How often our language identifier says "English" rightly.

Measures three samples, each with its size:

- the captions of tests/scores/languages.tsv, written for this purpose in 18 languages;
- with --data DIR, the human captions of DIR/flickr8k, all of them English, by their number of words;
- with --catalogues DIR, messages that people translated for the programs of this machine (DIR/<language>/
  LC_MESSAGES/*.mo, such as /usr/share/locale): sentences of programs, not captions, but many.

    python benchmarks/language.py [--data DIR] [--catalogues DIR]

Expect a minute.
"""

import argparse
import gettext
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from thresher.data.pairs import Pair
from thresher.data.shards import read_pairs
from thresher.scores.language import is_english, open_identifier

SAMPLE = Path(__file__).parent.parent / "tests" / "scores" / "languages.tsv"
LANGUAGES = ("de", "es", "fr", "it", "nl", "pl", "pt", "ru", "sv", "tr", "uk", "vi", "ja", "zh_CN")
MESSAGES = 500
SENTENCE = re.compile(r"[^\W\d_][\w ,.'’-]*")
"""A message without formats, options, markup or lines."""

Says = Callable[[str], bool]


def main() -> None:
    """Measure the samples asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with flickr8k/")
    parser.add_argument("--catalogues", type=Path, help="folder of translated messages, by language")
    arguments = parser.parse_args()
    identify = open_identifier()

    def says(text: str) -> bool:
        return is_english(identify(text))

    written(says)
    if arguments.data is not None:
        captions(says, arguments.data / "flickr8k")
    if arguments.catalogues is not None:
        messages(says, arguments.catalogues)


def written(says: Says) -> None:
    """The committed sample."""
    lines = [line.split("\t") for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    wrong = [(label, text) for label, text in lines if says(text) != (label == "en")]
    english = sum(label == "en" for label, _ in lines)
    print(
        f"{SAMPLE.name}: agrees in {len(lines) - len(wrong)} of {len(lines)} ({english} English, "
        f"{len({label for label, _ in lines}) - 1} other languages)"
    )
    for label, text in wrong:
        print(f"  {label}, taken for {'no English' if label == 'en' else 'English'}: {text}")


def captions(says: Says, folder: Path) -> None:
    """English captions, by their number of words."""
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for shard in sorted(folder.glob("*.tar")):
        for pair in read_pairs(str(shard), with_images=False):
            for caption in pair.meta.get("captions", ()) if isinstance(pair, Pair) else ():
                length = _bin(len(caption.split()))
                total[length] += 1
                right[length] += says(caption)
    print(
        f"flickr8k: {_share(right.total(), total.total())} of {total.total()} captions are taken for English"
    )
    for length in sorted(total, key=lambda text: int(text.split()[0])):
        print(f"  {length:12s} {_share(right[length], total[length])} of {total[length]}")


def messages(says: Says, folder: Path) -> None:
    """Translated messages, and the English ones that they were made from."""
    originals: set[str] = set()
    others: dict[str, tuple[int, int]] = {}
    for language in LANGUAGES:
        pairs = list(_translations(sorted((folder / language / "LC_MESSAGES").glob("*.mo"))))
        chosen = _some([translated for _, translated in pairs])
        originals |= {original for original, _ in pairs}
        if chosen:
            others[language] = (sum(map(says, chosen)), len(chosen))
    if not others:
        print(f"{folder} holds no translated messages")
        return
    by_length: dict[str, list[bool]] = defaultdict(list)
    for text in _some(sorted(originals), 4 * MESSAGES):
        by_length[_bin(len(text.split()))].append(says(text))
    answers = [answer for of in by_length.values() for answer in of]
    print(f"messages: {_share(sum(answers), len(answers))} of {len(answers)} English ones are taken for it")
    for length in sorted(by_length, key=lambda text: int(text.split()[0])):
        answers = by_length[length]
        print(f"  {length:12s} {_share(sum(answers), len(answers))} of {len(answers)}")
    wrong, count = (sum(numbers) for numbers in zip(*others.values(), strict=True))
    print(f"  other languages: {_share(wrong, count)} of {count} are taken for English")
    print("  " + ", ".join(f"{name} {_share(*numbers)} of {numbers[1]}" for name, numbers in others.items()))


def _translations(files: Iterable[Path]) -> Iterable[tuple[str, str]]:
    """Messages of three words or more with their translations, where the two differ."""
    for path in files:
        try:
            with path.open("rb") as file:
                catalogue = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
        except (OSError, UnicodeDecodeError, ValueError):
            continue
        for original, translated in catalogue.items():
            if not isinstance(original, str) or original == translated:
                continue
            if all(SENTENCE.fullmatch(text) and len(text) > 12 for text in (original, translated)):
                yield original, translated


def _some(texts: Sequence[str], count: int = MESSAGES) -> list[str]:
    different = sorted(set(texts))
    order = np.random.default_rng(0).permutation(len(different))[:count]
    return [different[place] for place in order]


def _bin(words: int) -> str:
    for most, name in ((3, "1 to 3 words"), (6, "4 to 6 words"), (12, "7 to 12 words")):
        if words <= most:
            return name
    return "13 words or more"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}"


if __name__ == "__main__":
    main()
