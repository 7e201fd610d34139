"""Whether a folder holds what these settings give: asked before a stage writes into it.

A record is a JSON file of the folder that says, among other things, what the folder was made of. A stage that
writes one first marks the folder as its own; one that writes it last says by it that all is done.
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from thresher.data.digests import digest
from thresher.data.files.atomic import write_json
from thresher.data.files.location import join, read_small
from thresher.errors import InputError

MARK_FILE = "made-of.json"
_ABSENT = object()


def claim(
    folder: str | Path,
    made_of: Mapping[str, Any],
    on_other: Literal["refuse", "replace", "set aside"] = "refuse",
    *,
    record: str = MARK_FILE,
    noun: str = "result",
    along: Sequence[Path] = (),
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any] | None:
    """The content of the folder's record where it is of these settings; None where they may fill the folder.

    Args:
        folder: Path, or the address of a remote one.
        made_of: What the record has to hold, by name: values that JSON can hold, of long ones their digest.
        on_other: What to do where the record says something else: raise an error; take it for absent, as the
            caller replaces what is there; or move the folder to `old-<folder>-<digest of the record>` beside
            it, in place of what was set aside from the same settings before.
        record: Name of the record in the folder.
        noun: What the folder holds, for the error.
        along: Files outside that belong to the folder and are moved into it before it is set aside.
        progress: Called with a sentence that says where a folder was moved to.

    Raises:
        InputError: the folder holds something else and is to be left alone (the text names what differs), or
            its record is damaged.
    """
    path = join(folder, record)
    try:
        text = read_small(path)
        if text is None:
            return None
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError("it is no JSON object")
    except ValueError as error:
        if on_other == "replace":
            return None
        raise InputError(f"{path} is damaged ({error}); move {folder} away, and it is made again") from error
    wanted = json.loads(json.dumps(made_of))
    other = _differing(wanted, {name: found[name] for name in wanted if name in found})
    if not other:
        return found
    differ = ", ".join(other)
    if on_other == "refuse":
        raise InputError(
            f"{folder} holds another {noun} (it differs in {differ}); undo the change, name another folder, "
            "or move this one away"
        )
    if on_other == "set aside":
        old = _set_aside(Path(folder), digest(found), along)
        if progress is not None:
            progress(f"{Path(folder).name}: what was there differs in {differ}, and is now in {old}")
    return None


def mark(folder: Path, made_of: Mapping[str, Any]) -> None:
    """Say in the folder what it is going to be made of."""
    write_json(folder / MARK_FILE, {"schema": "thresher.made-of", "version": 2, **made_of})


def is_empty(folder: Path) -> bool:
    """Whether a folder is absent or holds nothing but hidden files."""
    return not folder.is_dir() or all(path.name.startswith(".") for path in folder.iterdir())


def _set_aside(folder: Path, made_of: str, along: Sequence[Path]) -> Path:
    """Move the folder; a process that is killed in between does the rest when it is run again."""
    for path in along:
        if path.exists():
            path.replace(folder / path.name)
    old = folder.with_name(f"old-{folder.name}-{made_of}")
    shutil.rmtree(old, ignore_errors=True)
    return folder.rename(old)


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The names whose values differ; `how.lr` is one of nested settings."""
    names = []
    for name in {**one, **other}:
        values = one.get(name, _ABSENT), other.get(name, _ABSENT)
        if all(isinstance(value, dict) for value in values):
            names += [f"{name}.{inner}" for inner in _differing(*values)]
        elif values[0] != values[1]:
            names.append(name)
    return names
