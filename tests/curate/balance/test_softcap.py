from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.cli.conftest import Call, call
from tests.curate.balance.planted import planted_uids, repeats_by_uid
from thresher.curate.balance.softcap import soft_cap, soft_cap_scores
from thresher.curate.subset.npy import read_npy_subset
from thresher.data.files.atomic import write_json, write_table
from thresher.data.uids import uid_words
from thresher.errors import InputError

__all__ = ["call"]

COUNT = 400
WORDS = uid_words(planted_uids(COUNT))
SCORES = np.linspace(0, 3, COUNT)


@pytest.mark.parametrize("size", [1, 399, 400, 1234, 5000])
def test_the_size_is_met_exactly(size: int) -> None:
    assert soft_cap(SCORES, WORDS, size, batch=min(size, 150)).sum() == size


def test_one_round_is_a_draw_without_replacement_with_the_chances_of_softmax() -> None:
    """The first of one draw, over many seeds."""
    scores = np.log(np.array([1.0, 2.0, 5.0]))
    counts = sum(soft_cap(scores, WORDS[:3], 1, seed=seed) for seed in range(1500))
    assert counts / 1500 == pytest.approx([0.125, 0.25, 0.625], abs=0.05)
    assert soft_cap(SCORES, WORDS, 200, batch=200).max() == 1


def obvious(scores: np.ndarray, size: int, penalty: float, batch: int, seed: int) -> np.ndarray:
    """Rounds drawn one after the other, each with noise of its own, as published."""
    draw, left, drawn = np.random.default_rng(seed), scores.copy(), np.zeros(len(scores), int)
    for _ in range(size // batch):
        chances = np.exp(left - left.max())
        chosen = draw.choice(len(left), batch, replace=False, p=chances / chances.sum())
        drawn[chosen] += 1
        left[chosen] -= penalty
    return drawn


def test_counts_agree_with_rounds_drawn_one_after_the_other() -> None:
    scores = np.linspace(0, 3, 40)
    many = [soft_cap(scores, WORDS[:40], 120, penalty=0.3, batch=6, seed=seed) for seed in range(60)]
    slow = [obvious(scores, 120, 0.3, 6, seed) for seed in range(60)]
    assert np.mean(many, axis=0) == pytest.approx(np.mean(slow, axis=0), abs=0.8)
    assert np.std(many, axis=0).mean() == pytest.approx(np.std(slow, axis=0).mean(), rel=0.15)


def test_pairs_looked_out_ahead_are_those_that_come_next(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = soft_cap(SCORES, WORDS, 3000, batch=30)  # a window of more than all pairs
    monkeypatch.setattr("thresher.curate.balance.softcap.WINDOW", 2)
    assert (soft_cap(SCORES, WORDS, 3000, batch=30) == whole).all()


def test_scores_far_apart_neither_overflow_nor_hang() -> None:
    drawn = soft_cap(np.array([-4000.0, 0.0, 4000.0]), WORDS[:3], 30, penalty=100.0, batch=1)
    assert drawn.tolist() == [0, 0, 30]
    assert soft_cap(np.array([-4000.0, 0.0, 4000.0]), WORDS[:3], 90, batch=3).tolist() == [30, 30, 30]


def test_better_pairs_are_drawn_more_often_and_the_penalty_caps_them() -> None:
    free = soft_cap(SCORES, WORDS, 4000, penalty=0, batch=40)
    capped = soft_cap(SCORES, WORDS, 4000, penalty=0.3, batch=40)
    assert np.corrcoef(SCORES, free)[0, 1] > 0.8
    assert np.corrcoef(SCORES, capped)[0, 1] > 0.8
    assert capped.max() < 0.7 * free.max()
    assert (capped == 0).sum() < (free == 0).sum()


def test_a_large_penalty_draws_every_pair_before_it_draws_one_again() -> None:
    assert (soft_cap(SCORES, WORDS, COUNT, penalty=1e6, batch=40) == 1).all()


def test_a_low_temperature_keeps_to_the_best() -> None:
    drawn = soft_cap(SCORES, WORDS, 50, temperature=1e-3, batch=50)
    assert drawn[-50:].sum() >= 48


def test_row_order_does_not_matter_and_the_seed_does() -> None:
    order = np.random.default_rng(1).permutation(COUNT)
    drawn = soft_cap(SCORES, WORDS, 900)
    assert (soft_cap(SCORES[order], WORDS[order], 900) == drawn[order]).all()
    assert (soft_cap(SCORES, WORDS, 900, seed=1) != drawn).any()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"scores": np.where(np.arange(COUNT) == 7, np.nan, SCORES)}, "score of row 7 is nan"),
        ({"scores": SCORES[:-1]}, "399 scores do not go with 400 uids"),
        ({"size": 0}, "size is 0"),
        ({"penalty": -1.0}, "penalty -1.0"),
        ({"temperature": 0.0}, "temperature 0.0"),
        ({"batch": 401}, "a batch of 401 cannot be drawn from 400 pairs"),
        ({"batch": 0}, "a batch of 0"),
    ],
)
def test_bad_input_is_named(changed: dict[str, object], said: str) -> None:
    given = {"scores": SCORES, "size": 10, **changed}
    with pytest.raises(InputError, match=said):
        soft_cap(given.pop("scores"), WORDS, given.pop("size"), **given)  # type: ignore[arg-type]


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """Forty pairs with scores, as `thresher score` leaves them."""
    columns = {name: [f"{name} {number}" for number in range(40)] for name in ("key", "shard", "text")}
    columns["caption"] = columns.pop("text")
    uids = [f"{number:032x}" for number in range(40)]
    values = pa.array(np.linspace(0, 1, 40), pa.float32())
    table = pa.table({"uid": uids, **columns, "quality": values})
    write_table(tmp_path / "scores" / "parts" / "00000-all.parquet", table)
    content = {"scorers": [{"column": "quality", "name": "quality"}], "counts": {"pairs": 40}}
    write_json(tmp_path / "scores" / "scores.json", content)
    return tmp_path / "scores"


def test_the_command_writes_a_subset_of_a_scores_folder(call: Call, scores: Path, tmp_path: Path) -> None:
    done = call("softcap", scores, "--by", "quality", "--size", "90", "--out", tmp_path / "capped")
    assert done.exit_code == 0, done.stderr
    assert "90 draws" in done.stdout
    drawn = repeats_by_uid(read_npy_subset(tmp_path / "capped" / "subset.npy"))
    assert sum(drawn.values()) == 90
    assert set(drawn) <= {f"{number:032x}" for number in range(40)}
    done = call("softcap", scores, "--by", "clip", "--size", "90", "--out", tmp_path / "no")
    assert done.exit_code == 2
    assert "has no score column 'clip'" in done.stderr
    with pytest.raises(InputError, match="not as 'shards'"):
        soft_cap_scores(scores, tmp_path / "no", by="quality", size=9, format="shards")
