import pytest
import torch

from tests.selection.made import keys, made
from thresher.selection.choices import METHODS
from thresher.selection.embeddings import take
from thresher.selection.sub_batch import select

B, SIZE = 320, 64


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("loss", ["siglip", "clip"])
def test_the_order_of_the_candidates_does_not_matter(method: str, loss: str) -> None:
    learner, reference, keys_B = made(B, seed=1), made(B, seed=2), keys(B)
    order = torch.randperm(B, generator=torch.Generator().manual_seed(5))

    plain = select(learner, reference, keys_B, size=SIZE, step=3, seed=0, method=method, loss=loss)
    shuffled = select(
        take(learner, order),
        take(reference, order),
        keys_B[order],
        size=SIZE,
        step=3,
        seed=0,
        method=method,
        loss=loss,
    )

    assert torch.equal(keys_B[plain.places_b], keys_B[order][shuffled.places_b])
    assert torch.equal(plain.logit_b, shuffled.logit_b)
    assert torch.equal(plain.score_B[order], shuffled.score_B)


def test_what_is_not_said_is_as_in_the_paper() -> None:
    learner, reference, keys_B = made(B, seed=1), made(B, seed=2), keys(B)
    paper = {"method": "joint", "criterion": "learnability", "loss": "siglip", "chunks": 16, "gain": 1.0}

    plain, said = (
        select(learner, reference, keys_B, size=SIZE, step=0, seed=0, **how) for how in ({}, paper)
    )

    assert torch.equal(plain.places_b, said.places_b)
    fewer = select(learner, reference, keys_B, size=SIZE, step=0, seed=0, chunks=17)
    assert not torch.equal(plain.places_b, fewer.places_b)


def test_the_number_of_threads_does_not_matter() -> None:
    learner, reference, keys_B = made(1500, seed=1), made(1500, seed=2), keys(1500)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(select(learner, reference, keys_B, size=300, step=0, seed=0))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert torch.equal(found[0].places_b, other.places_b)
        assert torch.equal(found[0].logit_b, other.logit_b)


@pytest.mark.parametrize("threads", [1, 2])
def test_neither_autocast_nor_inference_mode_around_it_changes_a_pick(threads: int) -> None:
    learner, reference, keys_B = made(B, seed=1), made(B, seed=2), keys(B)
    plain = select(learner, reference, keys_B, size=SIZE, step=0, seed=0)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
            inside = select(take(learner, torch.arange(B)), reference, keys_B, size=SIZE, step=0, seed=0)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(plain.places_b, inside.places_b)
    assert torch.equal(plain.logit_b, inside.logit_b)


def test_another_step_or_seed_brings_other_picks() -> None:
    learner, reference, keys_B = made(B, seed=1), made(B, seed=2), keys(B)
    first, again, later, other = (
        select(learner, reference, keys_B, size=SIZE, step=step, seed=seed).places_b
        for step, seed in ((0, 0), (0, 0), (1, 0), (0, 1))
    )
    assert torch.equal(first, again)
    assert set(first.tolist()) != set(later.tolist())
    assert set(first.tolist()) != set(other.tolist())


def test_global_random_state_is_neither_read_nor_changed() -> None:
    learner, reference, keys_B = made(B, seed=1), made(B, seed=2), keys(B)
    torch.manual_seed(0)
    first = select(learner, reference, keys_B, size=SIZE, step=0, seed=0)
    state = torch.get_rng_state()
    torch.manual_seed(1)
    second = select(learner, reference, keys_B, size=SIZE, step=0, seed=0)
    assert torch.equal(first.places_b, second.places_b)
    torch.manual_seed(0)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("method", METHODS)
def test_all_candidates_can_be_chosen(method: str) -> None:
    learner, reference = made(50, seed=1), made(50, seed=2)
    selection = select(learner, reference, keys(50), size=50, step=0, seed=0, method=method)
    assert sorted(selection.places_b.tolist()) == list(range(50))


@pytest.mark.parametrize("what", ["method", "criterion", "loss", "backend"])
def test_an_unknown_name_is_answered_with_the_known_ones(what: str) -> None:
    with pytest.raises(ValueError, match=f"{what} 'nonsense' is unknown; take one of "):
        select(made(8), made(8), keys(8), size=2, step=0, seed=0, **{what: "nonsense"})
