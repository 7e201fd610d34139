import pytest
import torch

from tests.selection.made import keys, made
from tests.selection.oracle import logits_after, score_matrix, sigmoid_logits
from thresher.selection.backends import make_backend
from thresher.selection.choices import CRITERIA
from thresher.selection.criteria import weighted_models
from thresher.selection.embeddings import Embeddings, take
from thresher.selection.joint import Running
from thresher.selection.keys import chunk_sizes
from thresher.selection.sub_batch import select
from thresher.selection.threads import Workers

CPU = torch.device("cpu")


def running_logits(
    learner: Embeddings,
    reference: Embeddings,
    criterion: str,
    loss: str,
    chosen: torch.Tensor,
    backend: str = "tiles",
) -> torch.Tensor:
    """Logits after three chunks that hold `chosen`."""
    models = weighted_models(criterion, learner, reference, len(learner))
    running = Running(models, loss, make_backend(backend, CPU), Workers())
    for chunk in chosen.tensor_split(3):
        running.add([take(model.embeddings, chunk) for model in models])
    return running.logits()


def worst_error(found_B: torch.Tensor, expected_B: torch.Tensor, chosen: torch.Tensor) -> float:
    """Largest error of a candidate that is not chosen, relative to its logit or to the mean of all."""
    free_B = torch.ones(len(found_B), dtype=torch.bool)
    free_B[chosen] = False
    found, expected = found_B[free_B].double(), expected_B[free_B]
    size = expected.abs().clamp(min=max(float(expected.abs().mean()), 1e-6))
    return float(((found - expected).abs() / size).max())


@pytest.mark.parametrize("loss", ["siglip", "clip"])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_running_logits_equal_the_full_matrix(criterion: str, loss: str) -> None:
    learner, reference = made(1024, seed=1), made(1024, seed=2, noise=0.2, scale=25, bias=-12)
    chosen = torch.randperm(1024, generator=torch.Generator().manual_seed(3))[:400]

    found = running_logits(learner, reference, criterion, loss, chosen)

    expected = logits_after(learner, reference, criterion, loss, chosen)
    assert worst_error(found, expected, chosen) < 1e-5


@pytest.mark.parametrize("loss", ["siglip", "clip"])
@pytest.mark.parametrize(("scale", "bias"), [(1, 0), (10, 5), (60, 0), (100, -12), (30, 40), (5, -80)])
def test_running_logits_hold_for_any_scale_and_bias(scale: float, bias: float, loss: str) -> None:
    learner, reference = made(600, seed=4, scale=scale, bias=bias), made(600, seed=5)
    chosen = torch.arange(0, 600, 7)

    found = running_logits(learner, reference, "hard-learner", loss, chosen)

    expected = logits_after(learner, reference, "hard-learner", loss, chosen)
    assert worst_error(found, expected, chosen) < 2e-5


def test_logits_given_back_are_those_at_the_time_of_the_draw() -> None:
    learner, reference = made(1024, seed=1), made(1024, seed=2, noise=0.2)
    selection = select(learner, reference, keys(1024), size=205, step=0, seed=0)
    scores, start = score_matrix(learner, reference, "learnability"), 0
    for count in chunk_sizes(205, 16):
        drawn = selection.places_b[start : start + count]
        expected = sigmoid_logits(scores, selection.places_b[:start].tolist())
        torch.testing.assert_close(
            selection.logit_b[start : start + count].double(), expected[drawn], rtol=1e-5, atol=1e-5
        )
        start += count


def test_flops_are_those_of_four_products_a_chunk_but_the_last() -> None:
    learner, reference = made(320, 16, seed=1), made(320, 16, seed=2)
    selection = select(learner, reference, keys(320), size=64, step=0, seed=0)
    assert selection.flops == 8 * 60 * 320 * 16
    one_model = select(learner, None, keys(320), size=64, step=0, seed=0, criterion="hard-learner")
    assert one_model.flops == selection.flops / 2


def test_a_part_of_the_candidates_gets_the_same_logits_to_the_last_bit() -> None:
    learner, reference = made(1300, seed=1), made(1300, seed=2)
    chosen = torch.arange(0, 1300, 11)
    whole = weighted_models("learnability", learner, reference, 1300)
    here = torch.arange(700, 1300)
    part = weighted_models("learnability", take(learner, here), take(reference, here), 600)
    backend = make_backend("tiles", CPU)
    chunks = [take(model.embeddings, chosen) for model in whole]

    of_whole, of_part = (Running(models, "siglip", backend, Workers()) for models in (whole, part))
    of_whole.add(chunks)
    of_part.add(chunks)

    assert torch.equal(of_whole.logits()[here], of_part.logits())
