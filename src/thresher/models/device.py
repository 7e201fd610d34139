"""The device a model runs on."""

import torch

from thresher.errors import InputError


def resolve_device(name: str) -> str:
    """`cpu` or `cuda[:n]`; `auto` takes a GPU when there is one.

    Raises:
        InputError: there is no such device, or not here.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.partition(":")[0] not in ("cpu", "cuda", "mps", "xpu"):
        raise InputError(f"device {name!r} is unknown; take auto, cpu, cuda or cuda:0")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device {name!r}: torch sees no CUDA device here; take cpu")
    return name
