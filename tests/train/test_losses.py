import dataclasses
import math

import pytest
import torch

from tests.train.small import RECIPE
from thresher.errors import InputError
from thresher.models.towers import load_towers
from thresher.train.distributed import SINGLE
from thresher.train.losses import clamp_scale, forward_loss, make_loss, start_bias

B, D, SCALE, BIAS = 6, 4, 5.0, -2.0
torch.manual_seed(0)
IMAGES, TEXTS = (torch.nn.functional.normalize(torch.randn(B, D), dim=1) for _ in range(2))


def fake_model(*_: torch.Tensor) -> dict[str, torch.Tensor]:
    return {
        "image_features": IMAGES,
        "text_features": TEXTS,
        "logit_scale": torch.tensor(SCALE),
        "logit_bias": torch.tensor(BIAS),
    }


def forward(name: str, model: object = fake_model) -> float:
    nothing = torch.empty(0)
    return float(forward_loss(model, make_loss(name, SINGLE), nothing, nothing))


def test_siglip_is_the_mean_over_images_of_a_sigmoid_loss_on_every_pair() -> None:
    total = 0.0
    for image in range(B):
        for text in range(B):
            logit = SCALE * float(IMAGES[image] @ TEXTS[text]) + BIAS
            total += math.log1p(math.exp(-logit if image == text else logit))
    assert forward("siglip") == pytest.approx(total / B, rel=1e-5)


def test_clip_is_the_mean_of_a_softmax_loss_in_both_directions() -> None:
    logits = (SCALE * IMAGES @ TEXTS.T).tolist()
    total = 0.0
    for i in range(B):
        row, column = logits[i], [logits[j][i] for j in range(B)]
        total += sum(math.log(sum(map(math.exp, line))) - logits[i][i] for line in (row, column))
    assert forward("clip") == pytest.approx(total / (2 * B), rel=1e-5)


def test_a_model_that_returns_a_tuple_gives_the_same_loss() -> None:
    assert forward("siglip", lambda *_: tuple(fake_model().values())) == forward("siglip")


def test_a_loss_of_half_precision_embeddings_is_computed_in_fp32() -> None:
    def half(*_: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: value.bfloat16() for name, value in fake_model().items()}

    loss = forward_loss(half, make_loss("siglip", SINGLE), torch.empty(0), torch.empty(0))
    assert loss.dtype == torch.float32


def test_an_unknown_loss_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="loss 'softmax' is unknown; take one of siglip, clip"):
        make_loss("softmax", SINGLE)


def test_the_sigmoid_starts_at_the_odds_of_a_positive_pair() -> None:
    model = load_towers(RECIPE.model, sigmoid=True).model
    start_bias(model, dataclasses.replace(RECIPE, batch_size=64))
    assert torch.sigmoid(model.logit_bias).item() == pytest.approx(1 / 64)


def test_pretrained_weights_keep_their_bias() -> None:
    model = load_towers(RECIPE.model, sigmoid=True).model
    start_bias(model, dataclasses.replace(RECIPE, pretrained="some"))
    assert model.logit_bias.item() == -10


def test_the_scale_stays_between_1_and_100() -> None:
    model = load_towers(RECIPE.model, sigmoid=True).model
    for given, kept in ((-1.0, 0.0), (3.0, 3.0), (9.0, math.log(100))):
        torch.nn.init.constant_(model.logit_scale, given)
        clamp_scale(model)
        assert model.logit_scale.item() == pytest.approx(kept)
