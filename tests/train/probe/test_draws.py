from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models.small import TINY
from tests.small_pool import uid, write_shards
from thresher.errors import InputError
from thresher.models.towers import load_towers
from thresher.train.dataset import describe_dataset, open_dataset
from thresher.train.probe.trials import draw_pairs, num_unique, subsample

UIDS = [uid(n) for n in range(60)]
MEMBERS = {"a": tuple(UIDS[:20]), "b": tuple(UIDS[20:60])}


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=2), st.integers(1, 60))
def test_a_smaller_subsample_lies_in_a_larger_one(fractions: list[float], size: int) -> None:
    smaller, larger = (subsample(UIDS[:size], fraction) for fraction in sorted(fractions))
    assert set(smaller) <= set(larger) <= set(UIDS[:size])
    assert len(set(smaller)) == len(smaller) == max(1, round(size * min(fractions)))


def test_a_subsample_is_no_prefix_and_always_the_same() -> None:
    assert subsample(UIDS, 0.5) == subsample(UIDS, 0.5)
    assert set(subsample(UIDS, 0.5)) != set(UIDS[:30])


def test_the_whole_pool_is_all_of_it() -> None:
    assert set(subsample(UIDS, 1.0)) == set(UIDS)


@pytest.mark.parametrize(
    ("weights", "fraction", "samples_seen", "repeats"),
    [
        ({"a": 1.0}, 1.0, 1000, {"a": 1}),
        ({"a": 1 / 3, "b": 2 / 3}, 1.0, 1000, {"a": 1, "b": 1}),
        ({"a": 0.5, "b": 0.5}, 1.0, 1000, {"a": 2, "b": 1}),
        ({"a": 0.6, "b": 0.4}, 0.5, 1000, {"a": 3, "b": 1}),
        ({"a": 0.8, "b": 0.2}, 1.0, 50, {"a": 2, "b": 0.25}),  # the run is shorter than a pass over b
    ],
)
def test_repeats_give_pools_their_weights(
    tmp_path: Path,
    weights: dict[str, float],
    fraction: float,
    samples_seen: int,
    repeats: dict[str, float],
) -> None:
    shards = write_shards(tmp_path / "pool", (60,))
    dataset = describe_dataset(shards, load_towers(TINY), cache=tmp_path / "cache")
    with open_dataset(dataset) as opened:
        pairs = draw_pairs(MEMBERS, weights, fraction, samples_seen, opened)
        drawn = dict(zip(opened.uids.take(pairs.rows).to_pylist(), pairs.repeats.tolist(), strict=True))
    assert len(drawn) == len(pairs.rows)
    total = sum(drawn.values())
    counts = num_unique(MEMBERS, weights, fraction)
    for name, weight in weights.items():
        of_pool = [drawn.get(one, 0) for one in subsample(MEMBERS[name], fraction)]
        assert len(of_pool) == counts[name]
        assert sum(of_pool) / total == pytest.approx(weight)
        assert np.mean(of_pool) == repeats[name]
    assert set(drawn) <= {one for name in weights for one in MEMBERS[name]}


def test_pairs_whose_images_are_gone_are_answered_in_a_sentence(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "pool", (60,))
    dataset = describe_dataset(shards, load_towers(TINY), cache=tmp_path / "cache", uids=UIDS[:10])
    with open_dataset(dataset) as opened, pytest.raises(InputError, match="score and cut the shards again"):
        draw_pairs(MEMBERS, {"a": 1.0}, 1.0, 100, opened)
