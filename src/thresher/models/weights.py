"""The weights in a checkpoint, in whatever the tool that trained them has wrapped them.

Of several models in one checkpoint (an average beside what is averaged) nobody can know which one is meant.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from thresher.errors import InputError

SCALE = "logit_scale"
"""What each model has, once: the names before it are those of the wrapper."""

WRAPPERS = frozenset({"module", "_orig_mod"})
"""Names that torch puts around a module: data parallel, averaged, compiled."""

COUNT = "n_averaged"
"""What torch keeps beside averaged weights."""

_LEFT_ALONE = (".npz", ".npy")

Weights = dict[str, torch.Tensor]


def bare_weights(path: str, folder: Path) -> tuple[str, bool]:
    """A file that open_clip can load in place of a checkpoint, and whether the model has a sigmoid's bias.

    That is the checkpoint itself where open_clip knows its form, else a new file in `folder`.

    Raises:
        InputError: the checkpoint holds several models.
        Exception: of any type, which a damaged file makes torch raise.
    """
    if path.endswith(_LEFT_ALONE):
        return path, False
    content = _read(path)
    found = _models(dict(_tensors(content)))
    if not found:
        return path, False
    weights, *others = found.values()
    if not all(_equal(weights, other) for other in others):
        names = ", ".join(name.rstrip(".") or "at the top" for name in found)
        raise InputError(
            f"the checkpoint {path} holds several models ({names}); save the weights of the one that is "
            "meant in a file of their own"
        )
    held = content.get("state_dict", content)
    if isinstance(held, Mapping) and set(held) in (set(weights), {f"module.{name}" for name in weights}):
        return path, "logit_bias" in weights
    bare = folder / "weights.pt"
    torch.save(weights, bare)
    return str(bare), "logit_bias" in weights


def _read(path: str) -> Any:
    if path.endswith(".safetensors"):
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _tensors(content: Any, before: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor below a dictionary, by the names on the way to it without those of wrappers."""
    if isinstance(content, torch.Tensor):
        names = [name for name in before.split(".") if name not in WRAPPERS]
        yield ".".join(names), content
    elif isinstance(content, Mapping):
        for name, held in content.items():
            if name != COUNT:
                yield from _tensors(held, f"{before}.{name}" if before else str(name))


def _models(tensors: Weights) -> dict[str, Weights]:
    """The names before each model and its weights; a temperature alone is none."""
    scales = [name for name in tensors if f".{name}".endswith(f".{SCALE}")]
    starts = sorted((name.removesuffix(SCALE) for name in scales), key=len, reverse=True)
    found: dict[str, Weights] = {start: {} for start in reversed(starts)}
    for name, tensor in tensors.items():
        start = next((start for start in starts if name.startswith(start)), None)
        if start is not None:
            found[start][name.removeprefix(start)] = tensor
    return {start: held for start, held in found.items() if any(one.ndim > 1 for one in held.values())}


def _equal(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
