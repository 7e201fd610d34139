"""Checkpoints: open_clip's dictionary, written atomically, loaded without unpickling objects."""

import pickle
from pathlib import Path
from typing import Any

import torch

from thresher.data.writer import atomic_path
from thresher.errors import InputError


def save(path: Path, content: dict[str, Any]) -> None:
    """Write `content` (tensors, numbers, strings, lists, dictionaries) to `path` in one rename."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.save(content, file)


def load(path: Path, device: torch.device) -> dict[str, Any]:
    """What `save` wrote, on `device`.

    Raises:
        InputError: the file is damaged or holds more than data.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise InputError(
            f"checkpoint {path} is damaged, or holds more than data (which is not read, since it could run "
            "code); delete it to start the run anew"
        ) from error
    return content
