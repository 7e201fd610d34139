"""Scoring at low resolution, and training a share of every batch at it."""

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.small import BATCH, RECIPE, InMemory, flat_pairs, random_reference, run
from thresher.errors import InputError
from thresher.models.flexi import FlexiForward
from thresher.models.towers import load_towers
from thresher.selection.keys import uid_keys
from thresher.train import journal, ledger, telemetry
from thresher.train.chooser import Chooser
from thresher.train.distributed import SINGLE
from thresher.train.ledger import measure_costs
from thresher.train.pairs import Batch, Pairs
from thresher.train.reference import join
from thresher.train.scoring import embed

PATCHED = "thresher-tiny-vit-32"
FLEXI = dataclasses.replace(RECIPE, model=PATCHED, select="joint", filter_ratio=0.75, chunks=4, flexi=8)


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    return flat_pairs(model=PATCHED)


@pytest.fixture(scope="module")
def reference(pairs: Pairs) -> InMemory:
    return random_reference(pairs)


def last_line(folder: Path, name: str) -> dict[str, object]:
    line: dict[str, object] = json.loads((folder / name).read_text().splitlines()[-1])
    return line


@pytest.mark.parametrize("low_share", [0.0, 0.25, 1.0])
def test_the_asked_share_of_a_batch_is_trained_at_low_resolution(
    pairs: Pairs, reference: InMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, low_share: float
) -> None:
    asked: list[int] = []
    forward = FlexiForward.forward

    def watched(module: FlexiForward, images: torch.Tensor, *rest: Any) -> object:
        if len(images) == BATCH:  # else FLOPs are being counted
            asked.append(rest[1])
        return forward(module, images, *rest)

    monkeypatch.setattr(FlexiForward, "forward", watched)
    recipe = dataclasses.replace(FLEXI, low_share=low_share)
    run(tmp_path, pairs, 2 * BATCH, recipe=recipe, reference=reference)
    assert asked == [round(low_share * BATCH)] * 2


def test_scoring_at_low_resolution_is_what_the_ledger_counts(
    pairs: Pairs, reference: InMemory, tmp_path: Path
) -> None:
    for flexi in (0, 8):
        recipe = dataclasses.replace(FLEXI, flexi=flexi)
        run(tmp_path / str(flexi), pairs, 2 * BATCH, recipe=recipe, reference=reference)
    full, low = (last_line(tmp_path / name, ledger.FILE)["flops"] for name in ("0", "8"))
    towers = load_towers(PATCHED, sigmoid=True)
    costs = measure_costs(towers, pairs.tokens.shape[1], FLEXI)
    assert low["score"] / full["score"] == pytest.approx(costs.forward_low / costs.forward)
    assert low["train"] < full["train"]
    assert 0.1 < costs.forward_low / costs.forward < 0.5


def test_low_and_full_resolution_give_other_embeddings_of_the_same_texts(pairs: Pairs) -> None:
    towers = load_towers(PATCHED, sigmoid=True, seed=0)
    batch = Batch(pairs.rows[:8], pairs.images.submit(pairs.rows[:8])(), pairs.tokens[:8].long())
    low, full = (embed(towers, batch, FLEXI, low=choice) for choice in (True, False))
    assert torch.allclose(low.text_BD, full.text_BD, atol=1e-6)
    assert not torch.allclose(low.image_BD, full.image_BD, atol=1e-3)
    assert towers.model.training


def test_the_scores_at_both_resolutions_are_compared_and_poor_ones_warned_of(
    pairs: Pairs,
    reference: InMemory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(telemetry, "RANK_EVERY", 4)
    monkeypatch.setattr(telemetry, "POOR", 1.1)
    with caplog.at_level(logging.WARNING):
        run(tmp_path, pairs, 4 * BATCH, recipe=FLEXI, reference=reference)
    found = last_line(tmp_path, telemetry.FILE)["rank_correlation"]
    assert -1 <= found <= 1
    assert f"have a rank correlation of {found:.2f}; raise low_share" in caplog.text


def test_resolutions_are_compared_by_what_the_learner_says_alone(pairs: Pairs, reference: InMemory) -> None:
    towers = load_towers(PATCHED, sigmoid=True, seed=0)
    keys = uid_keys(list(pairs.uids or ()))
    chooser = Chooser(
        recipe=FLEXI, towers=towers, reference=join(reference, pairs), keys_n=keys, seed=0, ranks=SINGLE
    )
    rows = pairs.rows[:64]
    batch = Batch(rows, pairs.images.submit(rows)(), pairs.tokens[torch.from_numpy(rows)].long())
    same = embed(towers, batch, FLEXI, low=False)
    others = dataclasses.replace(same, image_BD=same.image_BD.roll(1, 0))
    assert telemetry.rank_correlation(chooser, batch, same) == (pytest.approx(1.0), 64)
    assert telemetry.rank_correlation(chooser, batch, others)[0] < 0.6


def test_no_low_resolution_training_is_warned_of(
    pairs: Pairs, reference: InMemory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = dataclasses.replace(FLEXI, low_share=0.0)
    with caplog.at_level(logging.WARNING):
        run(tmp_path, pairs, BATCH, recipe=recipe, reference=reference)
    assert "low_share is 0: the model scores at a resolution at which it is never trained" in caplog.text


def test_uniform_batches_can_be_trained_at_two_resolutions(pairs: Pairs, tmp_path: Path) -> None:
    run(tmp_path, pairs, 2 * BATCH, recipe=dataclasses.replace(FLEXI, select="uniform"))
    assert last_line(tmp_path, ledger.FILE)["flops"]["score"] == 0
    assert len(last_line(tmp_path, journal.TRACE_FILE)["loss"]) > 0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"flexi": 5}, "5"),
        ({"flexi": 4}, "4"),
        ({"model": RECIPE.model}, "cannot work with two patch sizes"),
        ({"low_share": 1.5}, "low_share 1.5 is not a share"),
    ],
)
def test_what_cannot_work_is_refused_before_a_step(
    pairs: Pairs, reference: InMemory, tmp_path: Path, change: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        run(
            tmp_path,
            pairs,
            BATCH,
            recipe=dataclasses.replace(FLEXI, **change),
            reference=reference,
        )
