"""The folder that stock open_clip loads as `local-dir:FOLDER`: its checkpoint and its configuration."""

import json
from pathlib import Path

import torch

from thresher.data.files.atomic import atomic_path
from thresher.models.towers import Towers, model_config

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_pytorch_model.bin"


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
    # An open file, since torch writes a file's name, here a temporary one, into the file.
    with atomic_path(folder / WEIGHTS_FILE) as temporary, temporary.open("wb") as file:
        torch.save(content, file)
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
