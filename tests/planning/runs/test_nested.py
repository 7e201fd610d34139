"""Pools inside pools: what their runs become, what is refused, and what a plan makes of them."""

import numpy as np
import pytest

from tests.planning.laws.planted import parameters, planted_run, predict
from thresher.errors import InputError
from thresher.planning import api
from thresher.planning.laws.fit import fit
from thresher.planning.laws.registry import LAWS
from thresher.planning.runs.nested import disjoint, nested_warnings
from thresher.planning.runs.record import Run, mix_weights

WITHIN = {"strict": "loose", "loose": "everything"}
SIZES = np.array([12.8e6, 25.6e6, 89.6e6])
"""Of the disjoint parts, the strict filter's picks first."""
TRUTH = parameters("utility", tau=(4, 5, 3), b=(-0.2, -0.15, -0.08), num_unique=SIZES)


def run(pool: str, unique: int, **fields: object) -> Run:
    return Run(**{"pool": pool, "unique_samples": unique, "samples_seen": 1000, "error": 0.5, **fields})


def table() -> list[Run]:
    """Runs on three pools, each inside the next one, at three lengths, with a little noise."""
    noise = np.random.default_rng(0).normal(0, 0.001, (3, 3))
    runs = []
    for place, pool in enumerate(("strict", "loose", "everything")):
        for number, seen in enumerate((32_000_000, 128_000_000, 512_000_000)):
            drawn = planted_run(TRUTH, prefix(place), seen, noise=float(noise[place, number]))
            size = int(SIZES[: place + 1].sum())
            runs.append(run(pool, size, samples_seen=seen, error=drawn.error, final=True))
    return runs


def mixed(unique: int | dict[str, int]) -> Run:
    """A run on as much of a part as of the whole."""
    return Run(weights={"part": 1, "whole": 1}, unique_samples=unique, samples_seen=1000, error=0.5)


def prefix(place: int) -> list[float]:
    """The weights of drawing uniformly over the first few parts."""
    size_P = np.where(np.arange(3) <= place, SIZES, 0)
    return list(size_P / size_P.sum())


def test_a_run_on_a_whole_is_a_run_on_a_mix_of_its_parts():
    runs = [run("part", 20), run("whole", 80), run("whole", 40, pool_samples=80), run("other", 7)]
    part, whole, some, other = disjoint(runs, {"part": "whole"})
    assert (part, other) == (runs[0], runs[3])
    assert mix_weights(whole) == {"part": 0.25, "whole - part": 0.75}
    assert whole.unique_samples == {"part": 20, "whole - part": 60}
    assert (whole.samples_seen, whole.error, whole.pool, whole.pool_samples) == (1000, 0.5, None, None)
    assert some.unique_samples == {"part": 10, "whole - part": 30}
    assert some.pool_samples == {"part": 20, "whole - part": 60}


def test_pools_lie_in_one_another_through_several():
    runs = [run("a", 10), run("b", 30), run("c", 40), run("side", 20), run("all", 100)]
    *_, inner, _, whole = disjoint(runs, {"a": "b", "b": "c", "c": "all", "side": "all"})[1:]
    assert mix_weights(inner) == pytest.approx({"a": 0.25, "b - a": 0.5, "c - b": 0.25})
    shares = {"a": 0.1, "b - a": 0.2, "c - b": 0.1, "side": 0.2, "all - c - side": 0.4}
    assert mix_weights(whole) == pytest.approx(shares)


def test_parts_that_fill_a_whole_leave_no_rest():
    *_, whole = disjoint([run("a", 10), run("b", 30), run("c", 40)], {"a": "c", "b": "c"})
    assert mix_weights(whole) == {"a": 0.25, "b": 0.75}


def test_a_mix_of_a_whole_and_its_part_draws_the_part_twice():
    alone = [run("part", 20), run("whole", 80)]
    found = disjoint([*alone, mixed({"part": 20, "whole": 80})], {"part": "whole"})[-1]
    assert mix_weights(found) == {"part": 0.625, "whole - part": 0.375}
    assert found.unique_samples == {"part": 20, "whole - part": 60}
    assert disjoint([*alone, mixed(80)], {"part": "whole"})[-1].unique_samples == 80


@pytest.mark.parametrize(
    ("within", "said"),
    [
        ({"part": "hole"}, r"within: there is no pool 'hole'; did you mean 'whole'\?"),
        (
            {"part": "whole", "whole": "part"},
            "within: part lies in whole lies in part; a pool lies in no part",
        ),
        ({"part": "part"}, "within: part lies in part"),
        ({"whole": "part"}, r"within: the pools in part \(whole\) hold 80 samples, more than its 20"),
        (
            {"part": "whole", "other": "whole"},
            r"the pools in whole \(part, other\) hold 90 samples, more than its 80",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(within, said):
    with pytest.raises(InputError, match=said):
        disjoint([run("part", 20), run("whole", 80), run("other", 70)], within)


@pytest.mark.parametrize(
    ("sizes", "options"),
    [
        ({"top10": 1, "top30": 3, "top40": 4}, ["top10:top30", "top30:top40"]),
        ({"clip_top10p": 1, "clip_top30p": 3}, ["clip_top10p:clip_top30p"]),
        ({"laion": 9, "laion_filtered": 3}, ["laion_filtered:laion"]),
        ({"no_filter": 9, "english": 3}, ["english:no_filter"]),
        ({"top10": 3, "top30": 1}, []),
        ({"laion": 3, "laion_filtered": 9}, []),
        ({"clip_top10p": 1, "clip_10p_to_20p": 1, "clip_60p_to_bottom": 5}, []),
        ({"0-10%": 1, "10-30%": 2, "30-100%": 7}, []),
        ({"web": 3, "website": 1}, []),
    ],
)
def test_pools_that_could_lie_in_one_another_are_named_with_the_option(sizes, options):
    runs = [run(pool, size) for pool, size in sizes.items()]
    said = nested_warnings(runs, {})
    assert len(said) == bool(options)
    assert all(f"--within '{option}'" in said[0] for option in options)
    assert not nested_warnings(runs, dict(option.split(":") for option in options))


def test_a_plan_of_nested_pools_has_possible_mixes_and_the_right_crossover():
    """The truth is a law of the disjoint parts; the budget where the wider filter wins is that of the law."""
    seen = np.geomspace(1e7, 1e9, 2000)
    gap = [
        float(
            predict(LAWS["utility"], TRUTH, n, prefix(0), SIZES)
            - predict(LAWS["utility"], TRUTH, n, prefix(1), SIZES)
        )
        for n in seen
    ]
    true = seen[int(np.argmax(np.array(gap) > 0))]
    budgets = [64_000_000, 256_000_000]
    laws = fit(table(), within=WITHIN, num_draws=60)
    plan = api.plan(laws, budgets)
    assert plan.pools == {
        "strict": 12_800_000,
        "loose - strict": 25_600_000,
        "everything - loose": 89_600_000,
    }
    assert plan.wholes["strict + loose - strict"] == "loose"
    assert plan.budgets[1].best == "strict + loose - strict"
    assert "strict + loose - strict is the whole of loose." in str(plan)
    assert not any("could lie" in sentence for sentence in laws.warnings)

    undeclared = fit(table(), num_draws=60)
    assert any("--within 'strict:everything'" in sentence for sentence in undeclared.warnings)
    impossible = api.plan(undeclared, budgets)
    assert impossible.budgets[1].best == "strict + loose", "each pair of the strict filter stands in both"
    found, other = (one.crossovers[0].samples_seen for one in (plan, impossible))
    assert abs(np.log(found / true)) < 0.5 * abs(np.log(other / true))


def test_wholes_are_predicted_by_their_own_name_and_sized_by_it():
    laws = fit(table(), law="utility", within=WITHIN, num_draws=0)
    parts = {"strict": 12.8, "loose - strict": 25.6}
    sizes = {"strict": 12_800_000, "loose": 38_400_000, "everything": 128_000_000}
    one, other = api.predict(laws, {"loose": 1}, "64M", sizes=sizes), api.predict(laws, parts, "64M")
    assert one.error == pytest.approx(other.error)
    assert one.weights == pytest.approx(other.weights)
    assert api.plan(laws, "64M", sizes=sizes).pools == api.plan(laws, "64M").pools
