"""Small shards of noise with captions, for the tests of the stages after reading."""

import hashlib
from pathlib import Path

from tests.data.bad_pool import jpeg, pair_members, write_tar

WORDS = (
    "red",
    "dog",
    "house",
    "river",
    "on",
    "a",
    "the",
    "bright",
    "small",
    "bridge",
    "with",
    "two",
    "birds",
)


def uid(number: int) -> str:
    """A uid that looks like DataComp's."""
    return hashlib.md5(f"pair {number}".encode(), usedforsecurity=False).hexdigest()


def caption(number: int) -> str:
    return " ".join(
        WORDS[(number * 7 + place * (1 + number % 5)) % len(WORDS)] for place in range(3 + number % 6)
    )


def write_shards(folder: Path, sizes: tuple[int, ...], side: int = 40) -> list[str]:
    """Tar files with so many pairs each; pair n of all has uid(n) and caption(n)."""
    folder.mkdir(parents=True, exist_ok=True)
    shards = []
    number = 0
    for shard, size in enumerate(sizes):
        members = []
        for _ in range(size):
            image = jpeg(number, (side + number % 7, side))
            members += pair_members(f"{number:09d}", image, caption(number), uid(number))
            number += 1
        path = folder / f"{shard:05d}.tar"
        write_tar(path, members)
        shards.append(str(path))
    return shards


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its relative name, but for logs and hidden files."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(".log.jsonl") and not path.name.startswith(".")
    }


def plant_modules(folder: Path) -> None:
    """Files in a folder that say so, in FOLDER/executed, if they are imported by the names of libraries."""
    for name in ("numpy", "pyarrow", "torch", "sitecustomize"):
        (folder / f"{name}.py").write_text(f"open({str(folder / 'executed')!r}, 'w').write({name!r})\n")
