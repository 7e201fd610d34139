"""Result files under the folders that a person names."""

import os
from collections.abc import Callable
from pathlib import Path

from thresher.errors import InputError

_MOST_ENTRIES = 200_000


def result_files(source: Path, is_result: Callable[[str], bool], kind: str) -> list[Path]:
    """The file itself, or all files below a folder whose name is that of a result, sorted by path.

    Links to folders are not followed.

    Raises:
        InputError: there is nothing at `source`, none of its files fits, or it holds too many to look
            through.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise InputError(f"there is no file or folder at {source}; name a folder of runs, or a {kind}")
    found: list[Path] = []
    seen = 0
    for folder, _, names in os.walk(source):
        seen += len(names)
        if seen > _MOST_ENTRIES:
            raise InputError(
                f"{source} holds more than {_MOST_ENTRIES:,} files; name the folders of the runs in it"
            )
        found += [Path(folder, name) for name in names if is_result(name)]
    if not found:
        raise InputError(
            f"{source} holds no {kind}; name the folder of a run, or one that holds such folders"
        )
    return sorted(found)


def shown(path: Path, source: Path) -> str:
    """The path as a person would find it: below the folder that was named, with that folder's name."""
    return path.name if path == source else str(Path(source.resolve().name, path.relative_to(source)))
