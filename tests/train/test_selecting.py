"""Training whose batches are chosen from super-batches."""

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch

from tests.killing import kill_when_ready
from tests.models.small import VIT
from tests.train.small import (
    BATCH,
    JOINT,
    RECIPE,
    InMemory,
    Stop,
    flat_pairs,
    random_reference,
    run,
    stopping,
)
from thresher.errors import InputError
from thresher.models.towers import autocast, load_towers, to_input
from thresher.selection.across_ranks import select_across
from thresher.train import chooser as choice
from thresher.train import journal, ledger, picks, telemetry
from thresher.train.chooser import selection_dtype
from thresher.train.loop import STATE_FILE, Measurement
from thresher.train.pairs import Pairs
from thresher.train.scoring import embed

POINTS = (12 * BATCH, 24 * BATCH)


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    return flat_pairs(model=VIT)


@pytest.fixture(scope="module")
def reference(pairs: Pairs) -> InMemory:
    return random_reference(pairs)


def files_of(folder: Path) -> dict[str, bytes]:
    """All that a run leaves but its checkpoint and its speed."""
    names = (journal.TRACE_FILE, ledger.FILE, telemetry.FILE, picks.FILE, telemetry.MATRIX_FILE)
    return {name: (folder / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def whole(
    pairs: Pairs, reference: InMemory, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, bytes], list[Measurement]]:
    folder = tmp_path_factory.mktemp("whole")
    measured = run(folder, pairs, *POINTS, recipe=JOINT, reference=reference)
    return files_of(folder), measured


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def stop() -> NoReturn:
    raise Stop


def spy(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What every call of `select_across` was given and gave."""
    calls: list[dict[str, Any]] = []

    def watched(learner: object, reference: object, keys: torch.Tensor, **settings: Any) -> object:
        found = select_across(learner, reference, keys, **settings)
        calls.append({"learner": learner, "reference": reference, "keys": keys, "found": found} | settings)
        return found

    monkeypatch.setattr("thresher.train.chooser.select_across", watched)
    return calls


@pytest.mark.parametrize("method", ["joint", "independent"])
@pytest.mark.parametrize("criterion", ["learnability", "easy-reference", "hard-learner"])
def test_every_step_trains_on_what_the_selector_takes(
    pairs: Pairs,
    reference: InMemory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    criterion: str,
) -> None:
    calls = spy(monkeypatch)
    recipe = dataclasses.replace(JOINT, select=method, criterion=criterion)
    run(tmp_path, pairs, 3 * BATCH, recipe=recipe, reference=reference)
    # The first call of a step; telemetry asks again afterwards.
    steps = [next(call for call in calls if call["step"] == step) for step in range(3)]
    found = list(picks.read(tmp_path))
    assert [pick.step for pick in found] == [1, 2, 3]
    for call, pick in zip(steps, found, strict=True):
        assert len(call["keys"]) == 4 * BATCH
        assert pick.rows.tolist() == call["keys"][call["found"].places_b].tolist()  # keys are the row numbers
        assert len(set(pick.rows.tolist())) == BATCH


def test_uniform_batches_need_no_uids_no_reference_and_score_nothing(pairs: Pairs, tmp_path: Path) -> None:
    plain = dataclasses.replace(pairs, uids=None)
    run(tmp_path, plain, 3 * BATCH, recipe=dataclasses.replace(JOINT, select="uniform"))
    (line,) = lines(tmp_path, ledger.FILE)[-1:]
    assert line["samples_scored"] == line["flops"]["score"] == line["flops"]["select"] == 0
    assert not (tmp_path / picks.FILE).exists()


def test_scoring_leaves_dropout_and_batch_norm_alone(tmp_path: Path) -> None:
    """A selector that takes the whole super-batch in order trains as uniform batches do, to the last bit."""
    pairs = flat_pairs()
    reference = random_reference(pairs)
    recipe = dataclasses.replace(RECIPE, select="joint", filter_ratio=0.001)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("thresher.train.chooser.Chooser.choose", _all_of_them)
        run(tmp_path / "scored", pairs, 6 * BATCH, recipe=recipe, reference=reference)
    run(tmp_path / "plain", pairs, 6 * BATCH)
    traces = [(tmp_path / name / journal.TRACE_FILE).read_bytes() for name in ("scored", "plain")]
    assert traces[0] == traces[1]


def test_scoring_has_the_precision_of_training_and_keeps_no_graph(pairs: Pairs) -> None:
    towers, rows = load_towers(VIT, sigmoid=True), np.arange(8)
    batch = pairs.fetched(rows, pairs.images.submit(rows)())
    found = {
        name: embed(towers, batch, dataclasses.replace(JOINT, precision=name)) for name in ("fp32", "bf16")
    }
    for name, embeddings in found.items():
        with torch.no_grad(), autocast(towers.device, name):
            image = towers.model.eval().encode_image(to_input(towers, batch.images_BHWC)).float()
        assert torch.allclose(embeddings.image_BD, torch.nn.functional.normalize(image, dim=-1), atol=1e-6)
        assert not embeddings.image_BD.requires_grad
        assert not embeddings.text_BD.requires_grad
    assert not torch.allclose(found["fp32"].image_BD, found["bf16"].image_BD, atol=1e-5)


def _all_of_them(chooser: Any, batch: Any, step: int) -> Any:
    from thresher.train.chooser import ChosenBatch

    embed(chooser.towers, batch, chooser.recipe)
    return ChosenBatch(batch=batch, rows_b=batch.rows_B)


@pytest.mark.parametrize(
    ("device", "precision", "dtype"),
    [
        ("cuda", "bf16", torch.float16),
        ("cuda", "fp32", torch.float32),
        ("cpu", "bf16", torch.float32),
        ("cpu", "fp32", torch.float32),
    ],
)
def test_a_gpu_in_mixed_precision_selects_by_half_products(
    device: str, precision: str, dtype: torch.dtype
) -> None:
    assert selection_dtype(torch.device(device), precision) is dtype


def test_halves_choose_nearly_what_full_numbers_choose(
    pairs: Pairs, reference: InMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = {}
    for dtype in (torch.float32, torch.float16):
        monkeypatch.setattr(choice, "selection_dtype", lambda *_, dtype=dtype: dtype)
        folder = tmp_path / str(dtype)
        run(folder, pairs, BATCH, recipe=JOINT, reference=reference)
        first = next(picks.read(folder))
        chosen[dtype] = set(first.rows.tolist())
    shared = len(chosen[torch.float32] & chosen[torch.float16])
    assert shared >= 0.9 * BATCH


@pytest.mark.parametrize("at", [14, *(pytest.param(n, marks=pytest.mark.soak) for n in (1, 27))])
def test_a_run_stopped_inside_an_epoch_goes_on_with_the_same_picks(
    pairs: Pairs,
    reference: InMemory,
    whole: tuple[dict[str, bytes], list[Measurement]],
    tmp_path: Path,
    at: int,
) -> None:
    with pytest.raises(Stop):
        run(
            tmp_path,
            stopping(pairs, at, stop),
            *POINTS,
            recipe=JOINT,
            reference=reference,
            checkpoint_seconds=0,
        )
    measured = run(tmp_path, pairs, *POINTS, recipe=JOINT, reference=reference, checkpoint_seconds=0)
    assert files_of(tmp_path) == whole[0]
    assert measured == whole[1]


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_same_picks(
    pairs: Pairs,
    reference: InMemory,
    whole: tuple[dict[str, bytes], list[Measurement]],
    tmp_path: Path,
) -> None:
    kill_when_ready("tests.train.killed", tmp_path, 16, "joint")
    assert (tmp_path / STATE_FILE).exists()
    measured = run(tmp_path, pairs, *POINTS, recipe=JOINT, reference=reference)
    assert (files_of(tmp_path), measured) == whole


def test_selection_can_begin_and_end_at_a_sample(
    pairs: Pairs, reference: InMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = spy(monkeypatch)
    recipe = dataclasses.replace(JOINT, select_from=2 * BATCH, select_to=5 * BATCH)
    run(tmp_path, pairs, 7 * BATCH, recipe=recipe, reference=reference)
    steps = [call["step"] for call in calls if call["method"] == "joint"]
    assert steps == [2, 3, 4]
    assert len(list(picks.read(tmp_path))) == 7  # those of the uniform steps as well


def test_the_filter_ratio_moves_over_the_selected_stretch(
    pairs: Pairs, reference: InMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = spy(monkeypatch)
    recipe = dataclasses.replace(JOINT, filter_ratio=0.75, filter_ratio_end=0.5, select_from=2 * BATCH)
    run(tmp_path, pairs, 5 * BATCH, recipe=recipe, reference=reference)
    sizes = {call["step"]: len(call["keys"]) for call in calls}
    assert sizes == {2: 4 * BATCH, 3: round(BATCH / 0.375), 4: 2 * BATCH}


def test_the_ledger_counts_every_forward_pass(
    pairs: Pairs, reference: InMemory, whole: tuple[dict[str, bytes], list[Measurement]], tmp_path: Path
) -> None:
    (tmp_path / ledger.FILE).write_bytes(whole[0][ledger.FILE])
    first, *_, last = lines(tmp_path, ledger.FILE)
    assert first["samples_scored"] == 4 * first["samples_seen"]
    flops = last["flops"]
    assert 4 / 3 < flops["score"] / flops["train"] < 4 / 2.5
    assert 0 < flops["select"] < flops["score"]
    (measured,) = [m for m in whole[1] if m.samples_seen == last["samples_seen"]]
    assert measured.flops == sum(flops.values())
    assert measured.flops_by_kind == flops


def test_telemetry_says_what_the_chosen_the_independent_and_the_uniform_teach(
    whole: tuple[dict[str, bytes], list[Measurement]], tmp_path: Path
) -> None:
    (tmp_path / telemetry.FILE).write_bytes(whole[0][telemetry.FILE])
    for line in lines(tmp_path, telemetry.FILE):
        assert len(line["chosen"]) == len(line["candidates"]) == len(line["repeats"])
        assert set(line["learnability"]) == {"chosen", "independent", "uniform"}
    first = lines(tmp_path, telemetry.FILE)[0]
    assert np.mean(first["chosen"]) > np.mean(first["candidates"])
    assert first["learnability"]["chosen"] > first["learnability"]["uniform"]
    assert first["repeats"][0] == 0


def test_the_matrix_holds_on_its_diagonal_what_pairs_score_by_themselves(
    pairs: Pairs, reference: InMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = spy(monkeypatch)
    run(tmp_path, pairs, 2 * BATCH, recipe=JOINT, reference=reference)
    matrix = np.load(tmp_path / telemetry.MATRIX_FILE)
    found = next(call["found"] for call in calls if call["step"] == 0)  # later only every 100 steps
    assert matrix.shape == (BATCH, BATCH)
    np.testing.assert_allclose(np.diagonal(matrix), found.score_B[found.places_b], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"select": "best"}, "select 'best' is unknown; take one of uniform, independent, joint"),
        ({"criterion": "hard"}, "criterion 'hard' is unknown; take one of learnability"),
        ({"filter_ratio": 1.0}, r"filter_ratio 1 is not in \[0, 1\)"),
        ({"filter_ratio": 0.9}, "super-batches of up to 160 pairs, and there are 96 unique pairs"),
        ({"across": "local"}, "across 'local' is unknown; take one of global, stratified"),
        ({"chunks": 0}, "chunks is 0; take at least 1"),
        ({"gain": -1.0}, "gain is -1; take 0"),
        ({"select_from": 64, "select_to": 64}, "select_to 64 is not above select_from 64"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    pairs: Pairs, reference: InMemory, tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        run(
            tmp_path,
            pairs,
            BATCH,
            recipe=dataclasses.replace(JOINT, **change),
            reference=reference,
        )


def test_a_reference_that_is_needed_and_not_there_is_asked_for(pairs: Pairs, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="criterion 'learnability' needs the embeddings of a reference"):
        run(tmp_path, pairs, BATCH, recipe=JOINT)
    run(tmp_path, pairs, BATCH, recipe=dataclasses.replace(JOINT, criterion="hard-learner"))


def test_a_pair_without_a_reference_embedding_is_named(
    pairs: Pairs, reference: InMemory, tmp_path: Path
) -> None:
    few = dataclasses.replace(reference, uids=reference.uids[:50])
    with pytest.raises(InputError, match=f"uid {50:032x} has no reference embedding"):
        run(tmp_path, pairs, BATCH, recipe=JOINT, reference=few)
    only = dataclasses.replace(pairs, rows=pairs.rows[:50], repeats=pairs.repeats[:50])
    recipe = dataclasses.replace(JOINT, filter_ratio=0.5)
    run(tmp_path, only, BATCH, recipe=recipe, reference=few)  # those that are not drawn need none


def test_a_run_that_diverges_says_so(pairs: Pairs, reference: InMemory, tmp_path: Path) -> None:
    recipe = dataclasses.replace(JOINT, lr=1e30, warmup_samples=0)
    with pytest.raises(InputError, match=r"lower lr \(now 10+\)"):
        run(tmp_path, pairs, 20 * BATCH, recipe=recipe, reference=reference)


@pytest.mark.parametrize("select", ["uniform", "joint"])
def test_the_reference_can_steer_the_loss_and_a_stopped_run_goes_on(
    pairs: Pairs, reference: InMemory, tmp_path: Path, select: str
) -> None:
    """The moving averages of all pairs are part of the checkpoint."""
    recipe = dataclasses.replace(JOINT, loss="rho", select=select, filter_ratio=0.5, rho_temperature=0.1)
    measured = run(tmp_path / "whole", pairs, 20 * BATCH, recipe=recipe, reference=reference)
    with pytest.raises(Stop):
        run(
            tmp_path / "stopped",
            stopping(pairs, 17, stop),
            20 * BATCH,
            recipe=recipe,
            reference=reference,
            checkpoint_seconds=0,
        )
    again = run(tmp_path / "stopped", pairs, 20 * BATCH, recipe=recipe, reference=reference)
    assert again == measured
    traces = [(tmp_path / name / journal.TRACE_FILE).read_bytes() for name in ("whole", "stopped")]
    assert traces[0] == traces[1]


def test_the_graph_of_the_scores_gives_the_gradients_of_another_pass(
    pairs: Pairs, reference: InMemory, tmp_path: Path
) -> None:
    """The same picks and losses but for rounding; it costs more, since all of the graph is gone through."""
    for reuse in (False, True):
        recipe = dataclasses.replace(JOINT, reuse_scoring=reuse)
        run(tmp_path / str(reuse), pairs, 5 * BATCH, recipe=recipe, reference=reference)
    again, reused = (
        [loss for line in lines(tmp_path / name, journal.TRACE_FILE) for loss in line["loss"]]
        for name in ("False", "True")
    )
    assert reused == pytest.approx(again, rel=1e-3)
    first = [next(picks.read(tmp_path / name)).rows.tolist() for name in ("False", "True")]
    assert first[0] == first[1]
    spent = [sum(lines(tmp_path / name, ledger.FILE)[-1]["flops"].values()) for name in ("False", "True")]
    assert spent[1] > 1.3 * spent[0]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"flip": True}, "does not go with flip or crop"),
        ({"crop": 1}, "does not go with flip or crop"),
        ({"criterion": "easy-reference"}, "does not go with criterion easy-reference"),
        ({"model": RECIPE.model}, "does not go with dropout or batch norm"),
    ],
)
def test_the_graph_of_other_passes_is_not_reused(
    pairs: Pairs, reference: InMemory, tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    recipe = dataclasses.replace(JOINT, reuse_scoring=True, **change)
    with pytest.raises(InputError, match=sentence):
        run(tmp_path, pairs, BATCH, recipe=recipe, reference=reference)


def test_a_reference_of_another_loss_is_warned_of(
    pairs: Pairs, reference: InMemory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    softmax = dataclasses.replace(reference, bias=0.0)
    with caplog.at_level(logging.WARNING):
        run(
            tmp_path / "clip", pairs, BATCH, recipe=dataclasses.replace(JOINT, loss="clip"), reference=softmax
        )
        assert "no bias" not in caplog.text
        run(tmp_path / "siglip", pairs, BATCH, recipe=JOINT, reference=softmax)
    assert "the reference has no bias, so it was trained with the softmax loss" in caplog.text
