import dataclasses
import json
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import torch

from tests.killing import kill_when_ready
from tests.models.small import TINY, VIT
from tests.train.small import BATCH, RECIPE, Stop, flat_pairs, measure, run, stopping
from thresher.errors import InputError
from thresher.models.towers import Towers, load_towers
from thresher.train import journal, ledger, loop
from thresher.train.distributed import Ranks
from thresher.train.journal import LOG_FILE
from thresher.train.loop import STATE_FILE, Measurement, clear, make_optimizer
from thresher.train.pairs import Pairs

POINTS = (10 * BATCH, 20 * BATCH)


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    return flat_pairs()


@pytest.fixture(scope="module")
def whole(pairs: Pairs, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[Measurement]]:
    """Trace and measurements of a run that nothing stopped and that wrote no checkpoint in the trunk."""
    folder = tmp_path_factory.mktemp("whole")
    measured = run(folder, pairs, *POINTS)
    return (folder / journal.TRACE_FILE).read_bytes(), measured


def losses(folder: Path, *, cooldown: int | None = None) -> dict[int, list[float]]:
    lines = [json.loads(line) for line in (folder / journal.TRACE_FILE).read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if line["cooldown"] == cooldown}


def stop() -> NoReturn:
    raise Stop


def test_every_point_is_measured_at_its_number_of_samples(whole: tuple[bytes, list[Measurement]]) -> None:
    _, measured = whole
    assert [m.samples_seen for m in measured] == list(POINTS)
    assert measured[0].flops > 0
    assert measured[1].flops == pytest.approx(2 * measured[0].flops)
    assert measured[0].metrics != measured[1].metrics


def test_the_trace_holds_every_step_of_trunk_and_branches_once(
    whole: tuple[bytes, list[Measurement]], tmp_path: Path
) -> None:
    (tmp_path / journal.TRACE_FILE).write_bytes(whole[0])
    assert sum(map(len, losses(tmp_path).values())) == 16  # the trunk, up to the start of the last branch
    assert sum(map(len, losses(tmp_path, cooldown=10).values())) == 2
    assert sum(map(len, losses(tmp_path, cooldown=20).values())) == 4


def test_the_loss_falls(tmp_path: Path) -> None:
    """Of the model of the demo, whose text tower is wide enough to learn in 40 steps."""
    run(tmp_path, flat_pairs(model=TINY), 40 * BATCH, recipe=dataclasses.replace(RECIPE, model=TINY))
    assert np.mean(losses(tmp_path, cooldown=40)[40]) < 0.8 * losses(tmp_path)[10][0]


def test_nothing_but_trace_ledger_and_log_is_left(pairs: Pairs, tmp_path: Path) -> None:
    run(tmp_path, pairs, 12 * BATCH, checkpoint_seconds=0)
    clear(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {journal.TRACE_FILE, ledger.FILE, LOG_FILE}


@pytest.mark.parametrize("number", [pytest.param(1, marks=pytest.mark.soak), 2])
def test_a_run_stopped_while_it_measures_goes_on_exactly(
    pairs: Pairs, whole: tuple[bytes, list[Measurement]], tmp_path: Path, number: int
) -> None:
    calls = []

    def measure_or_stop(towers: Towers) -> dict[str, float]:
        calls.append(towers)
        if len(calls) == number:
            raise Stop
        return measure(towers)

    with pytest.raises(Stop):
        run(tmp_path, pairs, *POINTS, evaluate=measure_or_stop, checkpoint_seconds=0)
    measured = run(tmp_path, pairs, *POINTS, evaluate=measure_or_stop, checkpoint_seconds=0)
    assert ((tmp_path / journal.TRACE_FILE).read_bytes(), measured) == whole
    assert len(calls) == 3  # a point that was measured is not measured again


@pytest.mark.parametrize("at", [1, 10, *(pytest.param(n, marks=pytest.mark.soak) for n in (5, 8, 14, 22))])
def test_a_run_stopped_between_batches_goes_on_exactly(
    pairs: Pairs, whole: tuple[bytes, list[Measurement]], tmp_path: Path, at: int
) -> None:
    with pytest.raises(Stop):
        run(tmp_path, stopping(pairs, at, stop), *POINTS, checkpoint_seconds=0)
    measured = run(tmp_path, pairs, *POINTS, checkpoint_seconds=0)
    assert ((tmp_path / journal.TRACE_FILE).read_bytes(), measured) == whole


def test_a_run_stopped_again_and_again_goes_on_exactly(
    pairs: Pairs, whole: tuple[bytes, list[Measurement]], tmp_path: Path
) -> None:
    for at in (8, 9, 4):
        with pytest.raises(Stop):
            run(tmp_path, stopping(pairs, at, stop), *POINTS, checkpoint_seconds=0)
    measured = run(tmp_path, pairs, *POINTS)
    assert ((tmp_path / journal.TRACE_FILE).read_bytes(), measured) == whole


def test_a_run_whose_result_got_lost_goes_on_from_its_last_checkpoint(
    pairs: Pairs, whole: tuple[bytes, list[Measurement]], tmp_path: Path
) -> None:
    """Also in the last cool-down, which may be long."""
    recipe = dataclasses.replace(RECIPE, cooldown=0.5)
    first = run(tmp_path, pairs, 20 * BATCH, recipe=recipe, checkpoint_seconds=0)
    before = (tmp_path / journal.TRACE_FILE).read_bytes()
    few = stopping(pairs, 9, stop)
    assert run(tmp_path, few, 20 * BATCH, recipe=recipe, checkpoint_seconds=0) == first
    assert (tmp_path / journal.TRACE_FILE).read_bytes() == before


@pytest.mark.slow
def test_a_killed_run_goes_on_exactly(
    pairs: Pairs, whole: tuple[bytes, list[Measurement]], tmp_path: Path
) -> None:
    kill_when_ready("tests.train.killed", tmp_path, 20)
    assert (tmp_path / STATE_FILE).exists()
    measured = run(tmp_path, pairs, *POINTS)
    assert ((tmp_path / journal.TRACE_FILE).read_bytes(), measured) == whole


def test_a_branch_leaves_no_mark_on_the_trunk(
    pairs: Pairs, whole: tuple[bytes, list[Measurement]], tmp_path: Path
) -> None:
    """The second point of two is the only point of a run that never branched off before."""
    assert run(tmp_path, pairs, POINTS[1]) == [whole[1][1]]


def test_repeated_pairs_are_drawn_by_their_repeats(tmp_path: Path) -> None:
    pairs = flat_pairs(40, repeats=[3] * 10 + [1] * 30)
    drawn: list[int] = []

    class Counting:
        def submit(self, places: np.ndarray) -> object:
            drawn.extend(places.tolist())
            return pairs.images.submit(places)

    run(tmp_path, dataclasses.replace(pairs, images=Counting()), 15 * BATCH)  # 4 epochs of 60 draws
    counts = np.bincount(drawn[: 15 * BATCH], minlength=40)
    assert abs(counts - 4 * pairs.repeats).max() <= 1  # but for what the last batch put off


def test_the_seed_decides_the_whole_run(
    pairs: Pairs, whole: tuple[bytes, list[Measurement]], tmp_path: Path
) -> None:
    assert run(tmp_path / "again", pairs, *POINTS) == whole[1]
    assert (tmp_path / "again" / journal.TRACE_FILE).read_bytes() == whole[0]


@pytest.mark.parametrize("loss", ["siglip", "clip"])
@pytest.mark.parametrize("model", [RECIPE.model, VIT])
def test_both_losses_and_precisions_run(tmp_path: Path, loss: str, model: str) -> None:
    pairs = flat_pairs(32, model=model)
    first = {}
    for precision in ("fp32", "bf16"):
        recipe = dataclasses.replace(RECIPE, model=model, loss=loss, precision=precision, flip=True, crop=2)
        run(tmp_path / precision, pairs, 3 * BATCH, recipe=recipe)
        first[precision] = losses(tmp_path / precision)[2][0]
    assert first["bf16"] == pytest.approx(first["fp32"], rel=0.02)
    assert first["bf16"] != first["fp32"]


def test_a_loss_that_is_no_number_ends_the_run_in_a_sentence(pairs: Pairs, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, lr=1e30)
    with pytest.raises(InputError, match=r"the loss became (nan|inf) at step 10; lower lr \(now 10+\)"):
        run(tmp_path, pairs, 20 * BATCH, recipe=recipe)


def test_a_batch_that_does_not_divide_by_the_processes_is_refused(pairs: Pairs, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="batch_size 16 does not divide by 3 processes"):
        run(tmp_path, pairs, BATCH, ranks=Ranks(rank=0, world=3, local=0))


def test_a_damaged_checkpoint_is_answered_in_a_sentence(pairs: Pairs, tmp_path: Path) -> None:
    (tmp_path / STATE_FILE).write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match=r"state.pt is damaged, .* delete it to start the run anew$"):
        run(tmp_path, pairs, BATCH)


def test_only_matrices_and_kernels_decay() -> None:
    model = load_towers(RECIPE.model, sigmoid=True).model
    decayed, plain = make_optimizer(model, RECIPE).param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (RECIPE.weight_decay, 0)
    assert {p.ndim >= 2 for p in decayed["params"]} == {True}
    assert {p.ndim >= 2 for p in plain["params"]} == {False}
    assert len(decayed["params"]) + len(plain["params"]) == len(list(model.parameters()))


def test_a_run_stopped_while_it_measures_trains_no_step_again(
    pairs: Pairs, whole: tuple[bytes, list[Measurement]], tmp_path: Path
) -> None:
    """The checkpoint holds both the model that is measured and the trunk that the run goes on with."""

    def stop_measuring(_: Towers) -> NoReturn:
        raise Stop

    with pytest.raises(Stop):
        run(tmp_path, pairs, *POINTS, evaluate=stop_measuring, checkpoint_seconds=0)
    before = (tmp_path / journal.TRACE_FILE).read_bytes()
    few = stopping(pairs, 1, stop)
    calls = []

    def measure_once(towers: Towers) -> dict[str, float]:
        calls.append(measure(towers))
        return calls[-1]

    with pytest.raises(Stop):  # at the first batch after the measurement
        run(tmp_path, few, *POINTS, evaluate=measure_once, checkpoint_seconds=0)
    assert calls == [whole[1][0].metrics]
    assert (tmp_path / journal.TRACE_FILE).read_bytes() == before


def draw_random_numbers(patch: pytest.MonkeyPatch) -> None:
    """As dropout does; here it is noise on the images."""
    augment = loop.augment
    patch.setattr(loop, "augment", lambda *given: torch.dropout(augment(*given), 0.1, train=True))


@pytest.fixture(scope="module")
def random_whole(pairs: Pairs, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[Measurement]]:
    folder = tmp_path_factory.mktemp("random")
    with pytest.MonkeyPatch.context() as patch:
        draw_random_numbers(patch)
        measured = run(folder, pairs, *POINTS)
    return (folder / journal.TRACE_FILE).read_bytes(), measured


@pytest.mark.parametrize("at", [10, *(pytest.param(n, marks=pytest.mark.soak) for n in (6, 22))])
def test_a_model_that_draws_random_numbers_goes_on_exactly(
    pairs: Pairs,
    random_whole: tuple[bytes, list[Measurement]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
) -> None:
    draw_random_numbers(monkeypatch)
    with pytest.raises(Stop):
        run(tmp_path, stopping(pairs, at, stop), *POINTS, checkpoint_seconds=0)
    torch.rand(3)
    measured = run(tmp_path, pairs, *POINTS)
    assert ((tmp_path / journal.TRACE_FILE).read_bytes(), measured) == random_whole
