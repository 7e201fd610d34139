"""Sets aside the results of a stage that were made by other settings."""

import hashlib
import json
import shutil
from pathlib import Path

from thresher.data.files.atomic import write_json

MARK_FILE = "made-of.json"


def digest_of_settings(*settings: object) -> str:
    """Sixteen hexadecimal digits that stand for settings that JSON can hold."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def make_room(folder: Path, made_of: str) -> Path | None:
    """Mark the folder as made of `made_of`; where it was made of something else, the path it was moved to.

    That path is `old-<folder>-<digest of what it was made of>`. A folder that is filled and has no mark
    stays as it is: what is in it is for the stage to judge.
    """
    mark = folder / MARK_FILE
    if not mark.exists():
        if not folder.is_dir() or not any(not path.name.startswith(".") for path in folder.iterdir()):
            _write(mark, made_of)
        return None
    found = str(json.loads(mark.read_text())["made_of"])
    if found == made_of:
        return None
    old = folder.with_name(f"old-{folder.name}-{found}")
    shutil.rmtree(old, ignore_errors=True)
    folder.rename(old)
    _write(mark, made_of)
    return old


def _write(mark: Path, made_of: str) -> None:
    write_json(mark, {"schema": "thresher.made-of", "version": 1, "made_of": made_of})
