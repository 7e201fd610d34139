"""Do all commands still give what they gave at a commit? For changes that move code and change nothing.

    python benchmarks/golden.py [--base COMMIT] [--keep DIR [--reuse]] [--quick] [--all]

Runs every command on small inputs that `golden_inputs.py` draws (`golden_calls.py` has the list), first
with the source of COMMIT, then with that of this tree, in the same folder, and compares all that they wrote
and printed, file by file. Prints each file that differs (`--all`: each file) with the first difference, and
exits with 1 where there is one. COMMIT is HEAD when left out. `--keep` leaves both results in DIR/base and
DIR/tree; `--reuse` then takes DIR/base as it is, if it is of the same commit and list of commands. `--quick`
leaves out what takes longest.

Two files that are not equal to the byte are the same if they hold the same but for what `DROPPED` and
`PATTERNS` name (times and speeds), `DIGESTS` (hexadecimal digests of settings), and what was changed on
purpose: `RENAMED`, `RECORDS`, `WORDS` and `NUMBER` say what. Loaded tensors are compared, not the archives
that hold them.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PRODUCER = ("golden_producer.py", "golden_calls.py", "golden_inputs.py")

RENAMED: dict[str, str] = {
    "trials/pools.json": "trials/made-of.json",
    "thresher.trials": "thresher.made-of",
    "'V100': 125000000000000.0}": (  # one table of devices, where there were two
        "'V100': 125000000000000.0, 'H100 PCIe': 756000000000000.0, 'H100 NVL': 835000000000000.0, "
        "'B200': 2250000000000000.0, 'A10': 125000000000000.0, 'L40S': 362000000000000.0, "
        "'L4': 121000000000000.0, 'RTX 4090': 165000000000000.0, 'RTX 3090': 71000000000000.0}"
    ),
}
"""Keys, messages and file names that were changed on purpose: text of the base -> text of the tree."""

RECORDS = ("job.json", "result.json", "made-of.json", "meta.json", "scores.json")
"""Files that say what a folder is made of. They name the settings now, where there was a digest of them: keys
may have come, and only those of `GONE` may have gone."""

GONE = ("version", "made_of", "fingerprint")

WORDS = ("said/help.out", "init.toml")
"""Texts that were written anew: every option and key of the base has to be there still."""

WORD = re.compile(r"(?<!\S)--[a-z-]+|^#?[a-z_]+(?= = )|^\[[a-z]+\]", re.M)

NUMBER = re.compile(
    r'(?:&[lg]t;\s?|(?<![a-z"])[<>]\s?)?\d[\d,]*(?:\.\d+)?(?:e[+−-]?\d+)?(?:[kMB]\b|%| points)?'
)
"""Numbers in sentences and tables are written by one rule now (0.833 is 83.3%, a chance of 0.9996 is >99%):
two that differ by what the coarser one is rounded to are the same, and so are columns of other widths."""

DROPPED = ("time", "seconds", "waited_seconds", "samples_per_second", "pairs_per_second", "mfu")
"""JSON keys whose value is a time or a speed."""

UNITS = {"%": 0.01, " points": 0.01, "k": 1e3, "M": 1e6, "B": 1e9}

DIGESTS = (
    *("made_of", "tasks", "pools", "pairs", "shards", "settings_digest", "state", "exclude", "joined by"),
    "thresher.fingerprint",
)
"""Keys of JSON, and of the metadata of tables, whose value, where it is hexadecimal, is a digest of settings
or the state of a file. Fingerprints of models, scores and subsets are none: they stand for content."""

DIGEST_PLACES = re.compile(
    r"\.scorers\.(combined|kept|near|normsim)$|\.scorers\[\d+\]\.fingerprint$|^\.uids$"
)
"""Further places of digests: of what scores of scores were made of."""

HEXADECIMAL = re.compile("[0-9a-f-]{6,}")

PATTERNS = (
    (re.compile(r"[\d,.]+ pairs/s"), "~ pairs/s"),
    (re.compile(r"\bat \d+/s"), "at ~/s"),
    (re.compile(r"\bin [\d,.]+ s\b"), "in ~ s"),
    (re.compile(r"^\S+: \d+ of \d+.*\n", re.M), ""),  # progress, a line every half minute
)
"""Times and speeds in what is printed."""

IN_PATHS = re.compile(r"(?<=[-/])[0-9a-f]{12,}(?=[./]|$)")
"""Digests in the names of files and folders."""

UNORDERED = ("said/stages-probe-two.err", "said/selection.out")
"""Files whose lines come as several processes finish, or in the order of a list of names."""

ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHONHASHSEED"), "1"),
    **{"HF_HUB_OFFLINE": "1", "COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1", "TZ": "UTC"},
    **{"MPLBACKEND": "Agg", "SOURCE_DATE_EPOCH": "1700000000", "CUDA_VISIBLE_DEVICES": ""},
    **{"PYTHONDONTWRITEBYTECODE": ""},  # compiling the source anew in every process takes longest
}
SHOWN = 70

Places = Iterator[tuple[str, str]]
"""What a file holds: where, and what stands there."""


def main() -> int:
    """Produce, compare and print; see the text of this file."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--base", default="HEAD", metavar="COMMIT", help="commit to compare with")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="folder for both results")
    parser.add_argument("--reuse", action="store_true", help="take the base's results from --keep")
    parser.add_argument("--quick", action="store_true", help="leave out what takes longest")
    parser.add_argument("--all", action="store_true", help="print the files that are equal as well")
    arguments = parser.parse_args()
    if arguments.reuse and arguments.keep is None:
        parser.error("--reuse needs --keep DIR, the folder of an earlier run")
    with tempfile.TemporaryDirectory(prefix="golden-") as scratch:
        home = (arguments.keep or Path(scratch)).resolve()
        home.mkdir(parents=True, exist_ok=True)
        produce_base(arguments.base, home, Path(scratch), quick=arguments.quick, reuse=arguments.reuse)
        produce(ROOT / "src", home, "tree", quick=arguments.quick)
        return compare(home / "base", home / "tree", show_all=arguments.all)


def produce_base(commit: str, home: Path, scratch: Path, *, quick: bool, reuse: bool) -> None:
    """The results of a commit in HOME/base; with `reuse` those that are there, if of the same calls."""
    commit = _git("rev-parse", "--verify", f"{commit}^{{commit}}").decode().strip()
    lists = b"".join((ROOT / "benchmarks" / name).read_bytes() for name in PRODUCER)
    digest = hashlib.sha256(lists).hexdigest()
    made_of = {"commit": commit, "quick": quick, "lists": digest, "home": str(home)}  # paths are in results
    mark = home / "base.json"
    if reuse and mark.exists() and json.loads(mark.read_text()) == made_of:
        print(f"base: as kept, {commit[:7]}")
        return
    mark.unlink(missing_ok=True)
    archive = scratch / "source.tar"
    archive.write_bytes(_git("archive", commit, "src"))
    with tarfile.open(archive) as tar:
        tar.extractall(scratch / "source", filter="data")
    produce(scratch / "source" / "src", home, "base", quick=quick)
    mark.write_text(json.dumps(made_of))


def _git(*words: str) -> bytes:
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, check=True).stdout


def produce(source: Path, home: Path, name: str, *, quick: bool) -> None:
    """Run all commands of the source in HOME/run, so that paths are the same, and move it to HOME/`name`."""
    started, busy = time.perf_counter(), os.times().children_user
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(source)}
    for folder in (home / "run", home / name):
        shutil.rmtree(folder, ignore_errors=True)
    found = _python(environment, "-c", "import thresher; print(thresher.__file__)").stdout.strip()
    if not Path(found).is_relative_to(source):
        sys.exit(f"thresher is loaded from {found}, not from {source}; is it installed as a copy?")
    script = str(ROOT / "benchmarks" / PRODUCER[0])
    done = _python(environment, script, str(home / "run"), *(["--quick"] if quick else []))
    (home / "run").rename(home / name)
    (home / f"{name}.log").write_text(done.stdout)
    seconds, busy = time.perf_counter() - started, os.times().children_user - busy
    print(
        f"{name}: {len(done.stdout.splitlines())} calls in {seconds:.0f} s, {busy:.0f} s of a core",
        flush=True,
    )


def _python(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-P", *words], env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(words)} failed:\n{done.stdout}{done.stderr}")
    return done


def compare(base: Path, tree: Path, *, show_all: bool) -> int:
    """Print how the files of two folders differ; 1 where they do."""
    old, new = files_of(base, RENAMED), files_of(tree, {})
    counts = {"equal": 0, "the same": 0, "differs": 0}
    for name in sorted(old.keys() | new.keys()):
        if name not in new or name not in old:
            state, difference = "differs", "only in the base" if name in old else "only in the tree"
        elif old[name].read_bytes() == new[name].read_bytes():
            state, difference = "equal", ""
        else:
            difference = first_difference(name, old[name], new[name])
            state = "differs" if difference else "the same"
        counts[state] += 1
        if show_all or state == "differs":
            print(f"{state:<8}  {name}{'  ' if difference else ''}{difference}")
    print(", ".join(f"{count} {state}" for state, count in counts.items()))
    return int(counts["differs"] > 0)


def files_of(folder: Path, renamed: dict[str, str]) -> dict[str, Path]:
    """Every file of a folder but the hidden ones (locks), by its path without digests.

    Those that differ in their digests alone are numbered by size and content.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name[0] != ".":
            name = IN_PATHS.sub("~", rename(path.relative_to(folder).as_posix(), renamed))
            found.setdefault(name, []).append(path)
    files = {}
    for name, paths in found.items():
        ordered = sorted(paths, key=lambda path: (path.stat().st_size, path.read_bytes()))
        files |= {f"{name} {place}" if len(paths) > 1 else name: path for place, path in enumerate(ordered)}
    return files


def first_difference(name: str, base: Path, tree: Path) -> str:
    """Where two files differ first, and how; empty where they are the same."""
    if name in WORDS:
        gone = set(WORD.findall(base.read_text())) - set(WORD.findall(tree.read_text()))
        return f"gone: {', '.join(sorted(gone))}" if gone else ""
    old, new = list(view(base, RENAMED)), list(view(tree, {}))
    if name in UNORDERED:
        old, new = sorted(("a line", text) for _, text in old), sorted(("a line", text) for _, text in new)
    if Path(name).name in RECORDS:
        old = [
            (place, text)
            for place, text in old
            if place.rpartition(".")[2] not in GONE and "keys" not in text
        ]
        places = {place for place, _ in old}
        new = [(place, text) for place, text in new if place in places and "keys" not in text]
    for was, now in zip_longest(old, new, fillvalue=("end of file", "")):
        if was[0] != now[0] or not alike(was[1], now[1]):
            same = _num_alike(was[1], now[1]) if was[0] == now[0] else 0
            first, second = (text[max(0, same - SHOWN // 2) :][:SHOWN] for text in (was[1], now[1]))
            place = was[0] if was[0] == now[0] else f"{was[0]} / {now[0]}"
            return f"{place}: {first!r} -> {second!r}"
    return ""


def alike(old: str, new: str) -> bool:
    """Whether two texts are the same but for how they write their numbers; a number alone is not written.

    >>> alike("error 0.833, chance 100%", "error 83.3%,  chance >99%"), alike("error 0.833", "error 83.4%")
    (True, False)
    """
    if old == new or _is_value(old):
        return old == new
    if old.startswith("[Run("):  # a run shows its fields in the order of a line of the ledger now
        old, new = (", ".join(sorted(re.split(r", |[()]", text))) for text in (old, new))
    words = [" ".join(NUMBER.sub("~", text).replace("-", "").split()) for text in (old, new)]
    numbers = [NUMBER.findall(text) for text in (old, new)]
    if words[0] != words[1] or len(numbers[0]) != len(numbers[1]):
        return False
    return all(map(_same_number, *numbers))


def _is_value(text: str) -> bool:
    """Whether it is a number alone, as JSON holds it: then every digit counts."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _same_number(old: str, new: str) -> bool:
    if old == new:
        return True
    (first, step), (second, other) = _value(old), _value(new)
    if new.startswith((">", "&gt;")):
        return first >= second
    if new.startswith(("<", "&lt;")):
        return first <= second
    return abs(first - second) <= 0.5001 * max(step, other)


def _value(text: str) -> tuple[float, float]:
    """A number and the step of its last digit."""
    scale = next((value for unit, value in UNITS.items() if text.endswith(unit)), 1.0)
    digits = re.sub(r"[^\d.e+−-]", "", re.sub(r"[kMB%]| points|&.t;", "", text))
    mantissa, _, power = digits.replace("−", "-").partition("e")
    scale *= 10.0 ** int(power or 0)
    return float(mantissa) * scale, 10.0 ** -len(mantissa.partition(".")[2]) * scale


def _num_alike(one: str, other: str) -> int:
    """Characters that two texts begin with both."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def view(path: Path, renamed: dict[str, str]) -> Places:
    """What a file holds, without times, digests and old names."""
    for place, text in _raw_view(path):
        yield rename(place, renamed), rename(text, renamed)


def rename(text: str, renamed: dict[str, str]) -> str:
    """The text with the names of today."""
    for old, new in renamed.items():
        text = text.replace(old, new)
    return text


def _raw_view(path: Path) -> Places:
    if path.suffix == ".parquet":
        return _view_parquet(path)
    if path.suffix in (".npy", ".npz"):
        return _view_arrays(path)
    if path.suffix == ".tar":
        return _view_tar(path)
    if path.suffix == ".pt" or path.name == "open_clip_pytorch_model.bin":
        return _view_tensors(path)
    content = path.read_bytes()
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return iter([("bytes", content.hex())])
    return _view_text(text, separator=">" if path.suffix in (".html", ".svg") else "\n")


def _view_text(text: str, separator: str = "\n") -> Places:
    """JSON by its keys, line by line where every line is JSON; any other text by its lines."""
    for pieces in ([text], text.splitlines()):
        try:
            found = [json.loads(piece) for piece in pieces]
        except ValueError:
            continue
        for number, value in enumerate(found):
            yield from _view_json(value, f"line {number + 1} " if len(found) > 1 else "")
        return
    for number, line in enumerate(_plain(text).split(separator)):
        yield f"line {number + 1}", line


def _view_json(value: Any, place: str, key: str = "") -> Places:
    if key in DROPPED or (isinstance(value, str) and _is_digest(place, key, value)):
        yield place, "~"
    elif isinstance(value, dict):
        yield place, f"{len(value)} keys"
        for name, item in value.items():
            yield from _view_json(item, f"{place}.{name}", name)
    elif isinstance(value, list):
        yield place, f"{len(value)} items"
        for number, item in enumerate(value):
            yield from _view_json(item, f"{place}[{number}]")
    else:
        yield place, _plain(value) if isinstance(value, str) else json.dumps(value)


def _is_digest(place: str, key: str, value: str) -> bool:
    return bool(DIGEST_PLACES.search(place) or (key in DIGESTS and HEXADECIMAL.fullmatch(value)))


def _plain(text: str) -> str:
    for pattern, instead in PATTERNS:
        text = pattern.sub(instead, text)
    return text


def _view_parquet(path: Path) -> Places:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    for field in table.schema:
        yield f"column {field.name}", str(field.type)
    for key, value in sorted((table.schema.metadata or {}).items()):
        name, told = key.decode(), value.decode(errors="replace")
        told = "~" if name in DIGESTS and HEXADECIMAL.fullmatch(told) else told
        for place, text in _view_text(told):
            yield f"metadata {name} {place}", text
    for number, row in enumerate(table.to_pylist()):
        for name, value in row.items():
            yield f"row {number} {name}", repr(value)


def _view_arrays(path: Path) -> Places:
    loaded = np.load(path)
    arrays = {"": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    for name, array in arrays.items():
        yield f"{name} shape", f"{array.dtype} {array.shape}"
        for number, row in enumerate(np.atleast_1d(array)):
            yield f"{name}[{number}]", f"{row.tolist()}"


def _view_tar(path: Path) -> Places:
    with tarfile.open(path) as tar:
        for number, member in enumerate(tar):
            content = tar.extractfile(member)
            digest = hashlib.sha256(content.read() if content is not None else b"").hexdigest()
            yield f"member {number}", f"{member.name} {member.size} {member.mode} {member.mtime} {digest}"


def _view_tensors(path: Path) -> Places:
    import torch

    def walk(value: Any, place: str) -> Places:
        if isinstance(value, dict):
            for key, item in value.items():
                yield from walk(item, f"{place}.{key}")
        elif isinstance(value, list | tuple):
            for number, item in enumerate(value):
                yield from walk(item, f"{place}[{number}]")
        elif isinstance(value, torch.Tensor):
            digest = hashlib.sha256(value.flatten().view(torch.uint8).numpy().tobytes()).hexdigest()
            yield place, f"{value.dtype} {tuple(value.shape)} {digest}"
        else:
            yield place, repr(value)

    return walk(torch.load(path, map_location="cpu", weights_only=True), "")


if __name__ == "__main__":
    sys.exit(main())
