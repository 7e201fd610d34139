import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.curate.pools.scores import write_scores
from tests.small_pool import uid
from thresher.curate.pools.cut import cut
from thresher.curate.pools.record import Pools
from thresher.curate.subset.manifest import manifest, repeat_rates, whole_repeats
from thresher.data.uids import uid_words
from thresher.errors import InputError


@pytest.fixture
def pools(tmp_path: Path) -> Pools:
    """Pools of 10, 10 and 20 pairs; pair n has the score -n."""
    scores = write_scores(tmp_path / "s", [[-n for n in range(start, start + 20)] for start in (0, 20)])
    return cut(scores, by="clip", edges=(0.25, 0.5, 1), out=tmp_path / "p")


def test_a_uniform_mix_draws_every_pair_once(pools: Pools) -> None:
    table = manifest(pools, ["0-25%", "50-100%"]).table().to_pydict()
    assert table["uid"] == [uid(n) for n in (*range(10), *range(20, 40))]
    assert table["pool"] == ["0-25%"] * 10 + ["50-100%"] * 20
    assert table["repeats"] == [1] * 30
    by_weight = manifest(pools, {"0-25%": 1 / 3, "50-100%": 2 / 3})
    assert by_weight.table().to_pydict() == table


def test_weights_become_repeats(pools: Pools) -> None:
    table = manifest(pools, {"0-25%": 0.6, "25-50%": 0.2, "50-100%": 0.2}).table().to_pydict()
    repeats = {name: set() for name in pools.names}
    for name, count in zip(table["pool"], table["repeats"], strict=True):
        repeats[name].add(count)
    assert repeats == {"0-25%": {6}, "25-50%": {2}, "50-100%": {1}}


def test_the_order_in_which_a_mix_names_its_pools_changes_nothing(pools: Pools) -> None:
    weights = dict(zip(pools.names, (0.6, 0.2, 0.2), strict=True))
    backwards = {name: weights[name] for name in reversed(pools.names)}
    assert manifest(pools, backwards).table().equals(manifest(pools, weights).table())


def test_broken_repeats_add_up_and_depend_on_the_uid_alone(pools: Pools, tmp_path: Path) -> None:
    mix = {"0-25%": 0.23, "25-50%": 0.1}
    table = manifest(pools, mix).table().to_pydict()
    drawn = [count for name, count in zip(table["pool"], table["repeats"], strict=True) if name == "0-25%"]
    assert sum(drawn) == 23
    assert set(drawn) == {2, 3}
    # the same pairs in another order of shards get the same repeats
    shuffled = [uid(n) for n in reversed(range(40))]
    scores = write_scores(tmp_path / "r", [[-n for n in reversed(range(40))]], uids=shuffled)
    other = (
        manifest(cut(scores, by="clip", edges=(0.25, 0.5, 1), out=tmp_path / "q"), mix).table().to_pydict()
    )
    assert dict(zip(other["uid"], other["repeats"], strict=True)) == dict(
        zip(table["uid"], table["repeats"], strict=True)
    )


def test_which_pairs_get_one_repeat_more_is_the_same_on_every_machine() -> None:
    words = uid_words(pa.array([uid(n) for n in range(16)]))
    assert whole_repeats(words, 2.5).tolist() == [3, 3, 2, 3, 2, 2, 3, 2, 2, 3, 3, 3, 2, 2, 3, 2]


def test_a_pass_is_never_longer_than_the_budget(pools: Pools) -> None:
    table = manifest(pools, {"0-25%": 1 - 1e-6, "50-100%": 1e-6}, samples_seen=35).table().to_pydict()
    assert sum(table["repeats"]) == 35
    assert set(table["pool"]) == {"0-25%"}  # a millionth of 35 samples is no sample


@pytest.mark.parametrize("samples_seen", [5, 17, 36, 61])
@pytest.mark.parametrize("first", [0.13, 0.37, 0.77, 0.91])
def test_a_budget_is_shared_out_to_the_draw(pools: Pools, first: float, samples_seen: int) -> None:
    mix = {"0-25%": first, "25-50%": (1 - first) / 3, "50-100%": 2 * (1 - first) / 3}
    table = manifest(pools, mix, samples_seen=samples_seen).table().to_pydict()
    length = min(samples_seen, max(size / mix[name] for name, size in pools.sizes.items()))
    for name, size in pools.sizes.items():
        rows = zip(table["pool"], table["repeats"], strict=True)
        drawn = [repeats for pool, repeats in rows if pool == name]
        assert abs(sum(drawn) - length * mix[name]) <= 0.5 + 1e-9
        assert {0, math.floor(length * mix[name] / size), math.ceil(length * mix[name] / size)} >= set(drawn)


def test_where_many_uids_hash_alike_a_budget_is_shared_out_to_the_draw_all_the_same(tmp_path: Path) -> None:
    count = 60_000  # nearly as many as there are values of the upper bits that are counted
    scores = write_scores(tmp_path / "s", [np.zeros(count)])
    pool = cut(scores, by="clip", edges=(1.0,), out=tmp_path / "p")
    words = uid_words(pool.uids(0))
    for samples_seen in range(20_000, 20_008):
        table = manifest(pool, pool.names, samples_seen=samples_seen).table()
        kept = whole_repeats(words, samples_seen / count) > 0
        assert table.num_rows == samples_seen
        assert table.column("uid").equals(pool.uids(0).filter(pa.array(kept)))


@given(st.floats(0, 20), st.integers(1, 500), st.integers(0, 2**32))
def test_whole_repeats_keep_the_mean(rate: float, count: int, seed: int) -> None:
    words = np.random.default_rng(seed).integers(0, 2**63, (count, 2)).astype(np.uint64)
    repeats = whole_repeats(words, rate)
    assert abs(int(repeats.sum()) - rate * count) <= 0.5 + 1e-9
    assert repeats.max() - repeats.min() <= 1
    order = np.random.default_rng(seed + 1).permutation(count)
    assert whole_repeats(words[order], rate).tolist() == repeats[order].tolist()


@given(
    st.dictionaries(
        st.sampled_from("abcde"), st.tuples(st.floats(0.01, 1), st.integers(1, 10**6)), min_size=1
    )
)
def test_exposure_follows_the_weights(mix: dict[str, tuple[float, int]]) -> None:
    weights = {name: weight for name, (weight, _) in mix.items()}
    counts = {name: count for name, (_, count) in mix.items()}
    rates = repeat_rates(weights, counts, None)
    total = sum(rates[name] * counts[name] for name in mix)
    for name in mix:
        share = rates[name] * counts[name] / total
        assert share == pytest.approx(weights[name] / sum(weights.values()), rel=1e-6)
    assert min(rates.values()) == pytest.approx(1.0)


def test_excluded_pairs_are_not_drawn(pools: Pools) -> None:
    table = manifest(pools, ["0-25%"], exclude=frozenset({uid(3)})).table()
    assert table.column("uid").to_pylist() == [uid(n) for n in range(10) if n != 3]


@pytest.mark.parametrize(
    ("mix", "sentence"),
    [
        ({"0-25": 1.0}, r"no pool '0-25' in .*; did you mean '0-25%'\?"),
        ({"0-25%": 0.0}, "weight of pool '0-25%' is 0.0; it must be positive"),
        ({"0-25%": float("nan")}, "is nan"),
        ({}, "names no pools"),
        ("0-25%", "names no pools"),
    ],
)
def test_a_mix_that_cannot_be_drawn_is_refused(pools: Pools, mix, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        manifest(pools, mix)
    with pytest.raises(InputError, match="pool 0-25% has no pairs left"):
        manifest(pools, ["0-25%"], exclude=frozenset(uid(n) for n in range(10)))
