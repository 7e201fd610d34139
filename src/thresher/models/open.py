"""Opens a model for the pairs of shards; importing this module does not load PyTorch."""

from typing import TYPE_CHECKING

from thresher.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from thresher.models.towers import Towers

RANDOM_SEED = 0


def open_model(
    model: str, *, pretrained: str | None, device: str, batch_size: int, precision: str, needed_for: str
) -> "tuple[Towers, str]":
    """The model and the precision, `fp32` or `bf16`, in which it will see pairs.

    Args:
        model: Name of an open_clip model.
        pretrained: Registry tag or path of a checkpoint; left out, weights are random, the same each time.
        device: auto (a GPU where there is one), cpu, cuda, cuda:1, ...
        batch_size: Pairs a forward pass, only checked here.
        precision: auto (bf16 where the hardware multiplies bf16, else fp32), fp32 or bf16.
        needed_for: Who asks, for the sentence about what is not installed.

    Raises:
        InputError: the model, its weights, the device or the precision cannot be had.
        MissingExtra: torch or open_clip is not installed.
    """
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}; give at least 1")
    try:
        from thresher.models.attention import skip_padding
        from thresher.models.towers import load_towers, resolve_device, resolve_precision
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "open_clip"):
            raise
        raise MissingExtra("train", needed_for) from error
    towers = load_towers(model, pretrained=pretrained, device=resolve_device(device), seed=RANDOM_SEED)
    skip_padding(towers.model)
    return towers, resolve_precision(towers.device, precision)
