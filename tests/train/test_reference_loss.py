import math
from pathlib import Path

import pytest
import torch
from open_clip.loss import ClipLoss
from torch.nn.functional import normalize

from tests.forking import run_ranks
from tests.models.small import TINY
from tests.train import two_resolutions
from thresher.errors import InputError
from thresher.models.towers import load_towers
from thresher.train.distributed import SINGLE
from thresher.train.reference_loss import ReferenceLoss, gamma_for, start_scale

B, D, N, TAU = 6, 4, 20, 0.1
SCALE = torch.tensor(1 / TAU)
EVERY = torch.arange(B)


def unit(seed: int, count: int = B) -> torch.Tensor:
    return normalize(torch.randn(count, D, generator=torch.Generator().manual_seed(seed)), dim=1)


IMAGE, TEXT, REF_IMAGE, REF_TEXT = (unit(seed) for seed in range(4))
NO_OPINION = torch.zeros(B, 1)


def slow_margin(side: int, i: int, j: int, image: torch.Tensor, text: torch.Tensor) -> float:
    other = float(image[i] @ text[j]) if side == 0 else float(image[j] @ text[i])
    return other - float(image[i] @ text[i])


def slow_means(
    batch: list[int], learner: tuple[torch.Tensor, ...], reference: tuple[torch.Tensor, ...]
) -> list[list[float]]:
    """g of images and of captions of a batch, one exponential after the other."""
    return [
        [
            sum(
                math.exp((slow_margin(side, i, j, *learner) - slow_margin(side, i, j, *reference)) / TAU)
                for j in batch
                if j != i
            )
            / (len(batch) - 1)
            for i in batch
        ]
        for side in (0, 1)
    ]


def test_the_loss_and_its_averages_are_those_of_a_slow_version_over_several_batches() -> None:
    gamma, epsilon = 0.3, 1e-3
    image, text, ref_image, ref_text = (unit(seed, N) for seed in range(10, 14))
    loss = ReferenceLoss(N, gamma=gamma, epsilon=epsilon)
    averages: list[dict[int, float]] = [{}, {}]
    random = torch.Generator().manual_seed(0)
    for _ in range(8):
        batch = torch.randperm(N, generator=random)[:B]
        means = slow_means(batch.tolist(), (image, text), (ref_image, ref_text))
        total = 0.0
        for average, side in zip(averages, means, strict=True):
            for place, mean in zip(batch.tolist(), side, strict=True):
                average[place] = (1 - gamma) * average.get(place, mean) + gamma * mean
                total += TAU * math.log(epsilon + average[place])
        value = loss(image[batch], text[batch], SCALE, ref_image[batch], ref_text[batch], batch)
        assert float(value) == pytest.approx(total / (2 * B), rel=1e-4)
    for average, kept in zip(averages, (loss.log_image_n, loss.log_text_n), strict=True):
        for place in range(N):
            expected = average.get(place, 0)
            assert float(kept[place].exp()) == pytest.approx(expected, rel=1e-4)


def test_the_gradient_is_that_of_the_batch_means_over_the_averages_held_still() -> None:
    gamma, epsilon = 0.3, 1e-3
    before = [torch.rand(B, generator=torch.Generator().manual_seed(side)) for side in (0, 1)]
    image, text = IMAGE.double().requires_grad_(), TEXT.double().requires_grad_()
    loss = ReferenceLoss(B, gamma=gamma, epsilon=epsilon)
    loss.log_image_n.copy_(before[0].log())
    loss.log_text_n.copy_(before[1].log())
    own = [IMAGE.clone().requires_grad_(), TEXT.clone().requires_grad_()]
    loss(*own, SCALE, REF_IMAGE, REF_TEXT, EVERY).backward()

    margins = image @ text.T - (image * text).sum(dim=1, keepdim=True)
    reference = REF_IMAGE @ REF_TEXT.T
    reference_margins = reference - reference.diag()[:, None]
    total = torch.zeros((), dtype=torch.float64)
    for side, (learned, given) in enumerate(
        [
            (margins, reference_margins),
            (
                (text @ image.T) - (image * text).sum(dim=1, keepdim=True),
                reference.T - reference.diag()[:, None],
            ),
        ]
    ):
        masked = ((learned - given) / TAU).exp() * (1 - torch.eye(B))
        means = masked.sum(dim=1) / (B - 1)
        average = (1 - gamma) * before[side] + gamma * means.detach()
        total = total + (TAU * means / (epsilon + average)).sum() / (2 * B)
    total.backward()
    for mine, expected in zip(own, (image.grad, text.grad), strict=True):
        assert torch.allclose(mine.grad.double(), expected, rtol=1e-4, atol=1e-6)


def test_with_the_whole_set_in_a_batch_and_gamma_1_the_gradient_is_that_of_the_objective() -> None:
    """By finite differences of the value, which is the objective then."""
    image = IMAGE.clone().requires_grad_()
    objective = ReferenceLoss(B, gamma=1.0).double()

    def value(of: torch.Tensor) -> torch.Tensor:
        return objective(of, TEXT, SCALE, REF_IMAGE, REF_TEXT, EVERY)  # type: ignore[no-any-return]

    value(image).backward()
    step = 1e-2
    for row in range(B):
        for column in range(D):
            up, down = IMAGE.clone(), IMAGE.clone()
            up[row, column] += step
            down[row, column] -= step
            slope = (value(up) - value(down)) / (2 * step)
            assert image.grad[row, column].item() == pytest.approx(float(slope), abs=2e-3)


def test_without_a_reference_and_memory_it_is_the_softmax_loss_without_its_positive_term() -> None:
    """The softmax loss is log(1 + (B - 1) g): the logarithm here lacks the 1 and the number of pairs."""
    loss = ReferenceLoss(B, gamma=1.0, epsilon=1 / (B - 1))
    value = loss(IMAGE, TEXT, SCALE, NO_OPINION, NO_OPINION, EVERY)
    expected = ClipLoss()(IMAGE, TEXT, SCALE)
    assert float(value) / TAU == pytest.approx(float(expected) - math.log(B - 1), abs=1e-5)


def test_a_learner_that_is_as_its_reference_is_pushed_from_every_caption_alike() -> None:
    image = IMAGE.clone().requires_grad_()
    loss = ReferenceLoss(B, epsilon=0)
    value = loss(image, TEXT, SCALE, IMAGE, TEXT, EVERY)
    assert value.item() == pytest.approx(0, abs=1e-6)
    value.backward()
    uniform = ((TEXT.sum(dim=0) - TEXT) / (B - 1) - TEXT) / B  # the same for image and caption side, halved
    assert torch.allclose(image.grad, uniform, atol=1e-6)


def test_a_learner_far_ahead_of_its_reference_is_pushed_no_more() -> None:
    """An image that matches its caption alone, where the reference cannot tell captions apart."""
    apart = torch.eye(B).requires_grad_()
    scale = torch.tensor(100.0)
    ReferenceLoss(B)(apart, torch.eye(B), scale, NO_OPINION, NO_OPINION, EVERY).backward()
    assert apart.grad.abs().max() < 1e-12
    behind = torch.eye(B).requires_grad_()
    ReferenceLoss(B)(behind, torch.eye(B), scale, 2 * torch.eye(B), torch.eye(B), EVERY).backward()
    assert behind.grad.abs().max() > 0.1


def test_a_caption_that_the_reference_confuses_with_the_right_one_weighs_less() -> None:
    plain, steered = IMAGE.clone().requires_grad_(), IMAGE.clone().requires_grad_()
    confused = torch.eye(B)
    confused[0, 1] = 1.0  # the reference finds caption 1 as near to image 0 as its own
    for image, reference in ((plain, torch.eye(B)), (steered, confused)):
        ReferenceLoss(B, epsilon=0)(image, TEXT, SCALE, reference, torch.eye(B), EVERY).backward()
    pull = [float(image.grad[0] @ TEXT[1]) for image in (plain, steered)]
    assert pull[1] < pull[0]


def test_margins_of_a_hundred_temperatures_overflow_nothing() -> None:
    image = normalize(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1e-3]]), dim=1).requires_grad_()
    text = -image.detach()
    loss = ReferenceLoss(3, gamma=0.1, epsilon=0)
    for factor in (1.0, -1.0, 1.0, 5.0):
        value = loss(
            image, factor * text, torch.tensor(100.0), image.detach(), -factor * text, torch.arange(3)
        )
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(image.grad).all()
    assert torch.isfinite(loss.log_image_n).all()


def test_it_is_computed_in_full_precision_under_autocast() -> None:
    exact = ReferenceLoss(B)(IMAGE, TEXT, 10 * SCALE, REF_IMAGE, REF_TEXT, EVERY)
    with torch.autocast("cpu", torch.bfloat16):
        assert ReferenceLoss(B)(IMAGE, TEXT, 10 * SCALE, REF_IMAGE, REF_TEXT, EVERY) == exact


def test_the_temperature_is_not_learned_but_has_a_gradient_for_all_processes_to_share() -> None:
    scale = torch.tensor(3.0, requires_grad=True)
    ReferenceLoss(B)(IMAGE, TEXT, scale.exp(), REF_IMAGE, REF_TEXT, EVERY).backward()
    assert scale.grad == 0


def test_a_loss_that_goes_on_from_its_state_gives_the_same_values() -> None:
    first, second = ReferenceLoss(N), ReferenceLoss(N)
    arguments = (IMAGE, TEXT, SCALE, REF_IMAGE, REF_TEXT, EVERY)
    first(*arguments)
    second.load_state_dict({name: value.clone() for name, value in first.state_dict().items()})
    shifted = (TEXT, IMAGE, SCALE, REF_IMAGE, REF_TEXT, EVERY + 3)
    assert first(*shifted) == second(*shifted) != ReferenceLoss(N)(*shifted)


def test_measuring_changes_no_average() -> None:
    loss = ReferenceLoss(N).eval()
    loss(IMAGE, TEXT, SCALE, REF_IMAGE, REF_TEXT, EVERY)
    assert loss.log_image_n.isneginf().all()


@pytest.mark.parametrize("gamma", [0.0, -1.0, 1.5, math.nan])
def test_a_gamma_out_of_its_range_is_refused(gamma: float) -> None:
    with pytest.raises(
        InputError, match=f"gamma is {gamma:g}; the weight of a batch lies above 0 and up to 1"
    ):
        ReferenceLoss(N, gamma=gamma)


def test_a_negative_epsilon_is_refused() -> None:
    with pytest.raises(InputError, match="epsilon is -1; it is 0 or more"):
        ReferenceLoss(N, epsilon=-1)


def test_the_model_starts_at_the_scale_of_the_temperature_or_says_why_not() -> None:
    model = load_towers(TINY).model
    start_scale(model, 0.05)
    assert model.logit_scale.exp().item() == pytest.approx(20)
    with pytest.raises(InputError, match=r"temperature is 2; it lies from .01 to 1"):
        start_scale(model, 2)


def test_gamma_falls_with_the_number_of_epochs_and_starts_at_1() -> None:
    gammas = [gamma_for(epochs) for epochs in (0.5, 5, 10, 30, 300)]
    assert gammas[:2] == [1, 1]
    assert sorted(gammas, reverse=True) == gammas
    assert len(set(gammas)) == 4


@pytest.mark.slow
def test_two_processes_at_two_resolutions_train_as_one_and_keep_the_same_averages(tmp_path: Path) -> None:
    run_ranks(2, "tests.train.several_processes", "resolutions", tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    for name, expected in two_resolutions.train(SINGLE).items():
        assert torch.equal(first[name], second[name]), name
        assert torch.allclose(first[name], expected, atol=1e-4), name
