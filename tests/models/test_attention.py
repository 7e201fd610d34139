import copy

import pytest
import torch
from torch import nn

from tests.models.small import TINY, VIT
from thresher.models.attention import lay_by_place
from thresher.models.towers import autocast, load_towers


def attention(num_heads: int = 4) -> nn.MultiheadAttention:
    torch.manual_seed(0)
    return nn.MultiheadAttention(32, num_heads, batch_first=True).eval()


def outputs(
    model: nn.Module, inputs: torch.Tensor, precision: str, mask: torch.Tensor | None
) -> torch.Tensor:
    with autocast(inputs.device, precision):
        return model(inputs, inputs, inputs, need_weights=False, attn_mask=mask)[0]


def assert_same(ours: torch.Tensor, theirs: torch.Tensor, precision: str) -> None:
    """But for rounding: one product for all places may add up in another order than many do."""
    off = {"fp32": 1e-6, "bf16": 2**-6}[precision]
    torch.testing.assert_close(ours, theirs, rtol=off, atol=off)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("pairs", [1, 3, 64])
def test_attention_gives_the_same_numbers_as_before(pairs: int, masked: bool, precision: str) -> None:
    plain = attention()
    laid = copy.deepcopy(plain)
    lay_by_place(laid)
    inputs = torch.randn(pairs, 7, 32, generator=torch.Generator().manual_seed(pairs))
    mask = torch.full((7, 7), -torch.inf).triu(1) if masked else None
    for mode in (torch.inference_mode, torch.no_grad, torch.enable_grad):
        with mode():
            assert_same(*(outputs(model, inputs, precision, mask) for model in (laid, plain)), precision)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", [TINY, VIT])
def test_models_give_the_same_numbers_as_before(name: str, precision: str) -> None:
    towers = load_towers(name, seed=0)
    plain = copy.deepcopy(towers.model)
    hooked = 0
    for module in plain.modules():
        hooked += bool(module._forward_pre_hooks)
        module._forward_pre_hooks.clear()
    assert hooked or "timm" in name
    torch.manual_seed(1)
    size = towers.spec.size
    images, tokens = torch.randn(3, 3, size, size), towers.tokenize(["a red house", "two", "dogs " * 30])
    with torch.inference_mode(), autocast(towers.device, precision):
        for model in (towers.model, plain):
            model.both = model.encode_image(images), model.encode_text(tokens)
    for ours, theirs in zip(towers.model.both, plain.both, strict=True):
        assert_same(ours, theirs, precision)


def test_no_weights_are_copied_without_gradients() -> None:
    """The cause: a batched product in which every place has a copy of the weights of its own."""
    inputs, mask = torch.randn(16, 7, 32), torch.full((7, 7), -torch.inf).triu(1)

    def products(model: nn.Module) -> int:
        with torch.inference_mode(), torch.profiler.profile() as profile:
            outputs(model, inputs, "bf16", mask)
        return sum(event.count for event in profile.key_averages() if event.key == "aten::bmm")

    model = attention()
    lay_by_place(model)
    assert products(model) == 0


def test_attention_between_different_inputs_is_left_alone() -> None:
    plain = attention()
    laid = copy.deepcopy(plain)
    lay_by_place(laid)
    query, other = torch.randn(2, 5, 32), torch.randn(2, 7, 32)
    with torch.inference_mode():
        assert torch.equal(laid(query, other, other)[0], plain(query, other, other)[0])
    assert laid(query[0], query[0], query[0])[0].shape == (5, 32)
