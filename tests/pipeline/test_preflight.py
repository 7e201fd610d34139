from typing import Any

import pytest

from thresher.curate.settings import Cut
from thresher.errors import InputError
from thresher.models.evaluation.settings import Evaluate
from thresher.pipeline.config import Config
from thresher.pipeline.estimate import check_config, expected_sizes
from thresher.planning.settings import Fit, Plan
from thresher.scores.settings import Score, Shards
from thresher.train.settings import Probe

PAIRS = 100_000_000


def config(*, cut: Cut | None = None, law: str = "utility", **probe: Any) -> Config:
    return Config(
        shards=Shards(paths=("a.tar",)),
        score=Score(scorers=("caption:as=clip",)),
        cut=cut or Cut(),
        probe=Probe(**probe),
        fit=Fit(law=law),
        evaluate=Evaluate(zeroshot=("b.tar",)),
        plan=Plan(budgets=(32_000_000, 128_000_000)),
    )


def test_the_defaults_are_enough_for_four_pools_and_two_budgets() -> None:
    check_config(config(), PAIRS)


def test_a_check_mix_of_an_unknown_pool_is_refused() -> None:
    named = config(checks=({"0-10%": 1.0, "10-30%": 1.0},))
    with pytest.raises(InputError, match="check mix names pool '10-30%'; the pools are 0-10%, 10-20%"):
        check_config(named, PAIRS)
    with pytest.raises(InputError, match=r"the pools are >=0.3, 0.2..0.3"):
        check_config(config(cut=Cut(thresholds=(0.3, 0.2)), checks=({"0-10%": 1.0},)), PAIRS)


def test_pools_of_thresholds_count_as_equal_and_hold_a_pair_at_least() -> None:
    named = config(cut=Cut(thresholds=(0.3, 0.2)))
    assert list(expected_sizes(named, 7).values()) == [3, 3]
    assert list(expected_sizes(named, 1).values()) == [1, 1]


def test_more_pools_than_a_plan_compares_in_full_are_searched() -> None:
    edges = tuple(number / 100 for number in range(1, 14))
    check_config(config(cut=Cut(edges=edges)), PAIRS)


def test_pools_are_as_large_as_the_edges_say() -> None:
    assert expected_sizes(config(cut=Cut(edges=(0.25, 1.0))), 400) == {"0-25%": 100, "25-100%": 300}
