"""open_clip's `params.txt`: the settings of a training run, `name: value` a line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thresher.errors import InputError

_MAX_BYTES = 2**20

MODEL_PARAMS = {
    "ViT-B-32": 151_277_313,
    "ViT-B-16": 149_620_737,
    "ViT-L-14": 427_616_513,
    "ViT-H-14": 986_109_441,
    "ViT-g-14": 1_366_678_273,
}
"""Parameters of the models of the scaling studies, both towers, counted in open_clip 3.3."""


def read_params(folder: Path) -> dict[str, str]:
    """The settings in `params.txt` of a run's folder; empty where there is none."""
    path = folder / "params.txt"
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        text = file.read(_MAX_BYTES).decode("utf-8", "replace")
    pairs = (line.partition(": ") for line in text.splitlines())
    return {name.strip(): value.strip() for name, mark, value in pairs if mark}


def whole(settings: Mapping[str, str], name: str) -> int | None:
    """A setting as a whole number; None where it is absent or None.

    Raises:
        InputError: it is something else.
    """
    text = settings.get(name, "None")
    if text == "None":
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InputError(f"params.txt: {name} is {text[:40]!r}; it should be a whole number")
    return int(text)


def run_labels(settings: Mapping[str, str]) -> dict[str, Any]:
    """What the settings tell about a run: model, its parameters, seed, recipe, how samples were drawn."""
    labels: dict[str, Any] = {}
    if "model" in settings:
        labels["model"] = settings["model"]
        labels["params"] = MODEL_PARAMS.get(settings["model"])
    labels["seed"] = whole(settings, "seed")
    if "dataset_resampled" in settings:
        labels["replacement"] = settings["dataset_resampled"] == "True"
    labels["recipe"] = _recipe(settings)
    return {name: value for name, value in labels.items() if value is not None}


def cools_down(settings: Mapping[str, str]) -> bool:
    """Whether the learning rate comes down by the last epoch; a constant one does not."""
    return settings.get("lr_scheduler", "cosine") != "const"


def _recipe(settings: Mapping[str, str]) -> str | None:
    if "lr" not in settings or "batch_size" not in settings:
        return None
    batch = 1
    for name in ("batch_size", "world_size", "accum_freq"):
        batch *= whole(settings, name) or 1
    words = [f"lr {settings['lr']}", f"batch {batch}"]
    words += [f"{name} {settings[name]}" for name in ("wd", "warmup") if name in settings]
    return ", ".join([*words, settings.get("lr_scheduler", "cosine")])
