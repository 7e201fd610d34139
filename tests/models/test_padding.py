import copy
from concurrent.futures import ThreadPoolExecutor

import open_clip
import pytest
import torch
from open_clip.transformer import TextTransformer
from torch import nn

from tests.models.small import TINY, VIT
from thresher.models.attention import skip_padding
from thresher.models.towers import autocast, load_towers

CAPTIONS = ["a red house", "two", "a small boat on a quiet lake in the early morning light"]


def lengths_seen(model: nn.Module) -> list[int]:
    """Fills with the length of every sequence that the text transformer gets."""
    seen: list[int] = []
    tower = getattr(model, "text", model)
    tower.transformer.resblocks[0].register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0].shape[1])
    )
    return seen


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", [TINY, VIT])
def test_embeddings_stay_what_they_are(name: str, precision: str) -> None:
    towers = load_towers(name, seed=0)
    plain = copy.deepcopy(towers.model)
    skip_padding(towers.model)
    for captions in (CAPTIONS, CAPTIONS[1:2], ["dogs and cats " * 60, "two"]):
        tokens = towers.tokenize(captions)
        with torch.inference_mode(), autocast(towers.device, precision):
            ours, theirs = (model.encode_text(tokens).float() for model in (towers.model, plain))
        close = torch.nn.functional.cosine_similarity(ours, theirs, dim=-1)
        assert ours.shape == theirs.shape
        assert close.min() > (1 - 1e-6 if precision == "fp32" else 1 - 1e-3)


def test_places_behind_the_longest_caption_are_left_out() -> None:
    towers = load_towers(TINY, seed=0)
    skip_padding(towers.model)
    seen = lengths_seen(towers.model)
    whole = towers.tokenize(["x"]).shape[1]
    for captions in (["two"], CAPTIONS, ["dogs " * 100]):
        with torch.inference_mode():
            towers.model.encode_text(towers.tokenize(captions))
    assert seen == [8, 16, whole]


def test_a_caption_is_embedded_alike_in_any_company() -> None:
    towers = load_towers(TINY, seed=0)
    skip_padding(towers.model)
    with torch.inference_mode():
        alone = towers.model.encode_text(towers.tokenize(["two"]))
        beside = towers.model.encode_text(towers.tokenize(["two", "dogs and cats " * 60]))[:1]
    torch.testing.assert_close(alone, beside, rtol=1e-5, atol=1e-6)


def test_threads_may_share_a_model() -> None:
    towers = load_towers(TINY, seed=0)
    skip_padding(towers.model)
    batches = [towers.tokenize([text]) for text in ("two", "dogs and cats " * 60)]

    def embed(tokens: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return towers.model.encode_text(tokens)

    expected = [embed(tokens) for tokens in batches]
    with ThreadPoolExecutor(2) as threads:
        for place, found in enumerate(threads.map(embed, batches * 100)):
            torch.testing.assert_close(found, expected[place % 2], rtol=1e-5, atol=1e-6)


def test_gradients_are_those_of_all_places() -> None:
    towers = load_towers(TINY, seed=0)
    skip_padding(towers.model)
    seen = lengths_seen(towers.model)
    tokens = towers.tokenize(CAPTIONS)
    towers.model.encode_text(tokens).sum().backward()
    assert seen == [tokens.shape[1]]


class WithText(nn.Module):
    """A model with a text tower of its own, as open_clip's custom ones have."""

    def __init__(self, **options: object) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.text = TextTransformer(width=32, heads=2, layers=2, output_dim=16, **options).eval()


@pytest.mark.parametrize(
    ("options", "shortened"),
    [
        ({}, True),
        ({"pool_type": "eos", "eos_id": 49407}, True),
        ({"pool_type": "last"}, False),
        ({"embed_cls": True}, False),
        ({"no_causal_mask": True}, False),
        ({"no_causal_mask": True, "use_pad_mask": True, "pool_type": "first"}, False),
    ],
)
def test_towers_that_need_all_places_get_them(options: dict[str, object], *, shortened: bool) -> None:
    plain = WithText(**options)
    model = copy.deepcopy(plain)
    skip_padding(model)
    seen = lengths_seen(model)
    tokens = open_clip.tokenize(CAPTIONS)
    with torch.inference_mode():
        torch.testing.assert_close(model.text(tokens), plain.text(tokens), rtol=1e-4, atol=1e-5)
    assert (seen[0] < tokens.shape[1]) is shortened
