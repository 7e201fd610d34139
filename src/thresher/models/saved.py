"""The folder that stock open_clip loads as `local-dir:FOLDER`: its checkpoint and its configuration."""

import json
from pathlib import Path
from typing import IO, Any, cast

import torch

from thresher.data.files.atomic import atomic_path
from thresher.models.towers import Towers, model_config

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_pytorch_model.bin"


class _Watched:
    """An open file that keeps the error of a write, of which torch makes another that does not name it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.file.flush()


def save_tensors(path: Path, content: dict[str, Any]) -> None:
    """Write `content` (tensors, numbers, strings, lists, dictionaries) to `path` in one rename.

    Raises:
        OSError: it cannot be written, as on a full disk.
    """
    # An open file, since torch writes a file's name, here a temporary one, into the file.
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        watched = _Watched(file)
        try:
            torch.save(content, cast(IO[bytes], watched))
        except RuntimeError:
            if watched.error is None:
                raise
            raise watched.error from None


def save_model(towers: Towers, folder: Path, *, sigmoid: bool, samples_seen: int) -> None:
    """Write weights and configuration as open_clip keeps them.

    Args:
        towers: the model.
        folder: made where it is absent.
        sigmoid: whether the model has the bias of the sigmoid loss.
        samples_seen: kept in the checkpoint.
    """
    state = {key: value.cpu().contiguous() for key, value in towers.model.state_dict().items()}
    content = {"epoch": 1, "name": towers.name, "samples_seen": samples_seen, "state_dict": state}
    save_tensors(folder / WEIGHTS_FILE, content)
    preprocess = {
        "size": towers.spec.size,
        "mean": list(towers.mean),
        "std": list(towers.std),
        "interpolation": towers.spec.interpolation,
        "resize_mode": towers.spec.resize,
    }
    config = {"model_cfg": model_config(towers.name, sigmoid=sigmoid), "preprocess_cfg": preprocess}
    with atomic_path(folder / CONFIG_FILE) as temporary:
        temporary.write_text(json.dumps(config, indent=1) + "\n")
