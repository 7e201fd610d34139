from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.balance.planted import planted_uids, repeats_by_uid
from tests.cli.conftest import Call, call, stages
from thresher.balance import soft_cap, soft_cap_scores
from thresher.errors import InputError
from thresher.subset import read_npy_subset
from thresher.subset.npy import uid_words

__all__ = ["call", "stages"]

COUNT = 400
WORDS = uid_words(planted_uids(COUNT))
SCORES = np.linspace(0, 3, COUNT)


@pytest.mark.parametrize("size", [1, 399, 400, 1234, 5000])
def test_the_size_is_met_exactly(size: int) -> None:
    assert soft_cap(SCORES, WORDS, size, batch=min(size, 150)).sum() == size


def test_one_round_is_a_draw_without_replacement_with_the_chances_of_softmax() -> None:
    """The first of one draw, over many seeds."""
    scores = np.log(np.array([1.0, 2.0, 5.0]))
    counts = sum(soft_cap(scores, WORDS[:3], 1, seed=seed) for seed in range(4000))
    assert counts / 4000 == pytest.approx([0.125, 0.25, 0.625], abs=0.03)
    assert soft_cap(SCORES, WORDS, 200, batch=200).max() == 1


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


def test_the_command_writes_a_subset_of_a_scores_folder(
    call: Call, stages: SimpleNamespace, tmp_path: Path
) -> None:
    done = call("softcap", stages.scores, "--by", "caption", "--size", "90", "--out", tmp_path / "capped")
    assert done.exit_code == 0, done.stderr
    assert "90 draws" in done.stdout
    drawn = repeats_by_uid(read_npy_subset(tmp_path / "capped" / "subset.npy"))
    assert sum(drawn.values()) == 90
    assert set(drawn) <= {f"{number:032x}" for number in range(40)}
    done = call("softcap", stages.scores, "--by", "clip", "--size", "90", "--out", tmp_path / "no")
    assert done.exit_code == 2
    assert "has no score column 'clip'" in done.stderr
    with pytest.raises(InputError, match="not as 'shards'"):
        soft_cap_scores(stages.scores, tmp_path / "no", by="caption", size=9, format="shards")
