"""Attention on a CPU without gradients, as fast as with them.

`torch.nn.MultiheadAttention` hands its input on with places before pairs, by strides alone. Where no gradient
is recorded, a matrix product of such an input (in mixed precision) copies the weights once a place: ViT-B-32
spends more than half its time so. Where the input really lies places before pairs, one product for all gives
the same.

Shapes: B pairs, L places, D numbers a place.

Captions without the places behind their ends.

Tokens are padded to the context length, 77 in most models, where captions of the web take some fifteen. With
causal attention no place sees those behind it, and the embedding is taken at the end of the caption; so what
lies behind the end of the longest caption of a batch changes nothing but the last digits.

Shapes: B pairs, T places, D numbers a place.
"""

import threading
from typing import Any

import torch
from open_clip.transformer import Transformer
from torch import nn

ROUND_TO = 8
"""Lengths are rounded up to this, so that few different shapes come up."""


def lay_by_place(model: nn.Module) -> None:
    """Have every self-attention of the model get its input so that its weights are used where they are.

    What comes out stays the same but for rounding: the same products are summed, in an order that the
    processor's kernel chooses. Nothing is done on a GPU or where gradients are recorded.
    """
    for module in model.modules():
        if isinstance(module, nn.MultiheadAttention) and module.batch_first:
            module.register_forward_pre_hook(_by_place, with_kwargs=True)


def _by_place(
    _module: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    if torch.is_grad_enabled() or len(inputs) != 3:
        return None
    query_BLD, key, value = inputs
    if query_BLD is not key or key is not value or query_BLD.dim() != 3 or query_BLD.device.type != "cpu":
        return None
    laid_BLD = query_BLD.transpose(0, 1).contiguous().transpose(0, 1)
    return (laid_BLD, laid_BLD, laid_BLD), options


def skip_padding(model: nn.Module) -> None:
    """Have the text tower of an open_clip model leave out the places that no caption of a batch reaches.

    Nothing is done on a GPU or where gradients are recorded. Towers that look both ways, or whose embedding
    is not taken at the end of the caption, stay as they are.
    """
    tower: Any = getattr(model, "text", model)
    pool = getattr(tower, "text_pool_type", getattr(tower, "pool_type", None))
    end = getattr(tower, "text_eos_id", getattr(tower, "eos_id", None))
    causal = isinstance(getattr(tower, "attn_mask", None), torch.Tensor)
    known = isinstance(getattr(tower, "transformer", None), Transformer) and hasattr(tower, "token_embedding")
    alone = getattr(tower, "cls_emb", None) is None  # else it stands behind the last place and sees all
    if known and causal and alone and (pool == "argmax" or (pool == "eos" and end is not None)):
        skipping = _Skipping(end if pool == "eos" else None)
        tower.token_embedding.register_forward_pre_hook(skipping.see)
        tower.transformer.register_forward_pre_hook(skipping.shorten, with_kwargs=True)
        tower.transformer.register_forward_hook(skipping.lengthen)


class _Skipping:
    """The hooks of one tower: the tokens tell the length, which then goes for the transformer.

    What one hook has seen is kept by thread, since threads may share a model.
    """

    def __init__(self, end: int | None) -> None:
        self._end = end
        self._lengths: dict[int, tuple[int, int]] = {}  # thread -> places that are computed, and all

    def see(self, _embedding: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Take the place of the last end, where the tower will look for it."""
        tokens_BT: torch.Tensor = inputs[0]
        self._lengths.pop(threading.get_ident(), None)
        if torch.is_grad_enabled() or tokens_BT.device.type != "cpu" or not tokens_BT.numel():
            return
        ends_BT = tokens_BT if self._end is None else (tokens_BT == self._end).int()
        needed = int(ends_BT.argmax(dim=-1).max()) + 1
        whole = tokens_BT.shape[1]
        self._lengths[threading.get_ident()] = (min(-(-needed // ROUND_TO) * ROUND_TO, whole), whole)

    def shorten(
        self, _transformer: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Cut the input and the mask of the transformer."""
        length, whole = self._lengths.get(threading.get_ident(), (0, 0))
        mask = options.get("attn_mask")
        if len(inputs) != 1 or mask is None or inputs[0].shape[1] != whole:
            self._lengths.pop(threading.get_ident(), None)
            return None
        return (inputs[0][:, :length],), {**options, "attn_mask": mask[..., :length, :length]}

    def lengthen(
        self, _transformer: nn.Module, _inputs: tuple[Any, ...], output_BTD: torch.Tensor
    ) -> torch.Tensor | None:
        """Put zeros where nothing was computed, so that the tower finds its shape again."""
        found = self._lengths.pop(threading.get_ident(), None)
        if found is None:
            return None
        length, whole = found
        return nn.functional.pad(output_BTD, (0, 0, 0, whole - length))
