"""What goes wrong in implementations of joint selection, a test each."""

import itertools

import pytest
import torch
from torch.nn.functional import softplus
from torch.utils._python_dispatch import TorchDispatchMode

from tests.selection.made import keys, made
from tests.selection.oracle import exact_softmax_loss, logits_after, score_matrix
from thresher.selection.choices import CRITERIA, METHODS
from thresher.selection.embeddings import Embeddings
from thresher.selection.keys import chunk_sizes, sub_batch_size, uid_keys
from thresher.selection.sub_batch import select


@pytest.mark.parametrize("num_pairs", [7, 64, 333])
@pytest.mark.parametrize("ratio", [0.0, 0.5, 0.8, 0.9])
@pytest.mark.parametrize("chunks", [1, 3, 16])
def test_b_is_exactly_what_was_asked(num_pairs: int, ratio: float, chunks: int) -> None:
    learner, reference = made(num_pairs, seed=1), made(num_pairs, seed=2)
    size = sub_batch_size(num_pairs, ratio)
    for method in METHODS:
        selection = select(
            learner, reference, keys(num_pairs), size=size, step=0, seed=0, chunks=chunks, method=method
        )
        assert len(selection.places_b) == len(selection.logit_b) == len(selection.places_b.unique()) == size


@pytest.mark.parametrize("loss", ["siglip", "clip"])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_logits_of_ten_thousand_do_not_overflow(criterion: str, loss: str) -> None:
    learner, reference = made(96, seed=1, scale=1e4, noise=9), made(96, seed=2, scale=1e4, bias=3, noise=9)
    selection = select(learner, reference, keys(96), size=48, step=0, seed=0, criterion=criterion, loss=loss)
    assert torch.isfinite(selection.logit_b).all()
    assert selection.logit_b.abs().max() > (1e4 if loss == "siglip" else 500)
    assert len(selection.places_b.unique()) == 48
    chosen = selection.places_b[:-3]  # before the last chunk
    expected = logits_after(learner, reference, criterion, loss, chosen)[selection.places_b[-3:]]
    torch.testing.assert_close(selection.logit_b[-3:].double(), expected, rtol=1e-5, atol=0.05)


def test_noise_is_keyed_by_the_uid_so_a_resumed_run_picks_the_same() -> None:
    uids = [f"{place:032x}" for place in range(200)]
    learner, reference = made(200, seed=1), made(200, seed=2)
    straight = [
        select(learner, reference, uid_keys(uids), size=40, step=step, seed=7).places_b for step in range(4)
    ]
    torch.rand(1000)  # whatever else a process drew before it went on
    resumed = [
        select(learner, reference, uid_keys(uids), size=40, step=step, seed=7).places_b for step in (2, 3)
    ]
    assert torch.equal(straight[2], resumed[0])
    assert torch.equal(straight[3], resumed[1])


def test_late_chunks_are_greedy_and_gain_softens_them() -> None:
    learner, reference = made(1024, seed=1, bias=-6), made(1024, seed=2, noise=0.2, bias=-6)

    def greedy_share(gain: float, chunk: int) -> float:
        """Share of a chunk's picks that are among the largest logits at that time."""
        selection = select(learner, reference, keys(1024), size=512, step=0, seed=0, gain=gain)
        before = sum(chunk_sizes(512, 16)[:chunk])
        logits = logits_after(learner, reference, "learnability", "siglip", selection.places_b[:before])
        logits[selection.places_b[:before]] = -torch.inf
        picks = selection.places_b[before : before + 32].tolist()
        return len(set(picks) & set(logits.topk(32).indices.tolist())) / 32

    assert greedy_share(1.0, chunk=15) > greedy_share(1.0, chunk=0) + 0.3
    assert greedy_share(0.1, chunk=15) < greedy_share(1.0, chunk=15) - 0.3
    assert greedy_share(1e6, chunk=0) > 0.9


def test_no_gain_at_all_is_uniform() -> None:
    learner, reference = made(320, seed=1), made(320, seed=2)
    flat = select(learner, reference, keys(320), size=64, step=0, seed=0, gain=0.0, method="independent")
    uniform = select(None, None, keys(320), size=64, step=0, seed=0, method="uniform")
    assert torch.equal(flat.places_b, uniform.places_b)


def test_an_outer_difference_of_scalar_losses_collapses_to_independent_selection() -> None:
    losses, reference_losses = torch.rand(2, 50, dtype=torch.float64)
    outer_BB = losses[:, None] - reference_losses[None, :]
    chosen = torch.tensor([3, 4, 20])
    logits = outer_BB.diagonal() + outer_BB[chosen].sum(0) + outer_BB[:, chosen].sum(1)
    independent = losses - reference_losses
    # what was chosen moves all candidates alike: each keeps its own score, times 1 + |S|
    spread = logits - (1 + len(chosen)) * independent
    torch.testing.assert_close(spread, spread.mean().expand_as(spread))

    learner, reference = made(50, seed=1, bias=-5), made(50, seed=2, bias=-5)
    scores_BB = score_matrix(learner, reference, "learnability")
    after = logits_after(learner, reference, "learnability", "siglip", chosen)
    spread = after - (1 + len(chosen)) * scores_BB.diagonal()
    assert float(spread.std()) > 0.1 * float(after.std())


def test_independent_selection_sees_the_diagonal_alone() -> None:
    learner, reference = made(300, seed=1), made(300, seed=2)
    selection = select(learner, reference, keys(300), size=60, step=0, seed=0, method="independent")
    scores_B = score_matrix(learner, reference, "learnability").diagonal()
    torch.testing.assert_close(selection.score_B.double(), scores_B, rtol=1e-5, atol=1e-5)
    assert torch.equal(selection.logit_b, selection.score_B[selection.places_b])
    turned = Embeddings(  # the same diagonal, other pairs of pairs
        image_BD=torch.cat([learner.image_BD, torch.zeros(300, 32)], dim=1),
        text_BD=torch.cat([learner.text_BD, torch.zeros(300, 32)], dim=1),
        scale=learner.scale,
        bias=learner.bias,
    )
    turned.image_BD[::2], turned.text_BD[::2] = (
        turned.image_BD[::2].roll(32, 1),
        turned.text_BD[::2].roll(32, 1),
    )
    for method, same in (("independent", True), ("joint", False)):
        found = [
            select(model, reference, keys(300), size=60, step=0, seed=0, method=method).places_b
            for model in (learner, turned)
        ]
        assert torch.equal(*found) == same


def test_scoring_leaves_no_graph() -> None:
    given = made(64, seed=1)
    learner = Embeddings(
        image_BD=given.image_BD.requires_grad_(), text_BD=given.text_BD.requires_grad_(), scale=10, bias=-10
    )
    selection = select(learner, made(64, seed=2), keys(64), size=16, step=0, seed=0)
    assert not selection.score_B.requires_grad
    assert not selection.logit_b.requires_grad


class LargestTensor(TorchDispatchMode):
    """Counts the elements of the largest tensor that any operation gives."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.elements = max(self.elements, out.numel())
        return out


@pytest.mark.parametrize("loss", ["siglip", "clip"])
def test_memory_grows_with_b_times_d_and_never_with_b_squared(loss: str) -> None:
    largest = []
    for num_pairs in (2048, 4096):
        learner, reference = made(num_pairs, seed=1), made(num_pairs, seed=2)
        with LargestTensor() as seen:
            select(learner, reference, keys(num_pairs), size=num_pairs // 8, step=0, seed=0, loss=loss)
        largest.append(seen.elements)
    assert max(largest) <= 1024 * (2 * 256 + 16)  # a tile
    assert max(largest) < 4096 * 4096 // 16


def test_small_softplus_terms_are_not_lost_in_fp32() -> None:
    learner = made(600, seed=1, scale=1.0, bias=-25.0)  # 1 + e^-25 is 1 in fp32
    logits = score_matrix(learner, learner, "hard-learner")
    selection = select(learner, None, keys(600), size=400, step=0, seed=0, criterion="hard-learner", gain=0.0)
    last = selection.places_b[-25:]
    own = softplus(-(learner.image_BD * learner.text_BD).sum(1).double() + 25)
    expected = logits[selection.places_b[:375]].sum(0) + logits[:, selection.places_b[:375]].sum(1)
    assert float(expected[last].min()) < 1e-7
    torch.testing.assert_close(selection.logit_b[-25:].double(), (own + expected)[last], rtol=1e-6, atol=0)


def test_bf16_embeddings_choose_nearly_the_same_pairs() -> None:
    learner, reference = made(2048, 64, seed=1), made(2048, 64, seed=2, noise=0.2, scale=20, bias=-12)
    rounded = [
        Embeddings(
            image_BD=model.image_BD.bfloat16(),
            text_BD=model.text_BD.bfloat16(),
            scale=model.scale,
            bias=model.bias,
        )
        for model in (learner, reference)
    ]
    overlaps = []
    for step in range(3):
        exact = select(learner, reference, keys(2048), size=410, step=step, seed=0)
        coarse = select(*rounded, keys(2048), size=410, step=step, seed=0)
        assert coarse.logit_b.dtype == torch.float32
        overlaps.append(len(set(exact.places_b.tolist()) & set(coarse.places_b.tolist())) / 410)
    assert min(overlaps) > 0.95


def test_softmax_selection_is_near_the_exact_gain_of_the_batch_loss() -> None:
    """The exact form counts what `j` adds to the denominators of those already chosen; ours leaves it out."""
    learner, reference = made(200, seed=1, bias=0), made(200, seed=2, noise=0.2, bias=0)
    chosen = select(learner, reference, keys(200), size=60, step=0, seed=0, loss="clip").places_b.tolist()
    left = [place for place in range(200) if place not in chosen]
    exact = []
    for place in left:
        gains = [
            exact_softmax_loss(m, [*chosen, place]) - exact_softmax_loss(m, chosen)
            for m in (learner, reference)
        ]
        exact.append(float(gains[0] - gains[1]))
    ours = logits_after(learner, reference, "learnability", "clip", torch.tensor(chosen))[left]
    both = torch.stack([torch.tensor(exact, dtype=torch.float64), ours])
    assert float(torch.corrcoef(both)[0, 1]) > 0.8
    assert not torch.allclose(both[0], both[1], rtol=0.05)


def test_the_same_uid_twice_is_chosen_once() -> None:
    learner, reference = made(60, seed=1), made(60, seed=2)
    twice = torch.cat([torch.arange(60), torch.arange(60)])
    doubled = [
        Embeddings(
            image_BD=model.image_BD[twice], text_BD=model.text_BD[twice], scale=model.scale, bias=model.bias
        )
        for model in (learner, reference)
    ]
    keys_B = keys(60)
    for method, step in itertools.product(METHODS, range(5)):
        alone = select(learner, reference, keys_B, size=50, step=step, seed=0, method=method)
        among_two = select(*doubled, keys_B[twice], size=50, step=step, seed=0, method=method)
        assert torch.equal(alone.places_b, among_two.places_b)
    with pytest.raises(ValueError, match="take from 1 to the 60 different candidates"):
        select(*doubled, keys_B[twice], size=61, step=0, seed=0)
