import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.curate.pools.scores import write_scores
from tests.small_pool import uid
from thresher.budget import Price
from thresher.curate.pools.cut import cut
from thresher.curate.subset.from_plan import subset_from_plan
from thresher.curate.subset.npy import read_npy_subset
from thresher.errors import InputError
from thresher.planning.plans.plan import Plan, load_plan, save_plan
from thresher.planning.plans.result import BudgetPlan, Candidate, Weighting


def candidate(weights: dict[str, float], error: float) -> Candidate:
    return Candidate(
        name=" + ".join(weights),
        pools=tuple(weights),
        weights=weights,
        predicted_error=error,
        low=error - 0.01,
        high=error + 0.01,
        chance_best=0.5,
        expected_regret=0.0,
        repeats=dict.fromkeys(weights, 2.0),
        num_unique=4,
    )


@pytest.fixture
def planned(tmp_path: Path) -> Path:
    """A workdir with pools of 4 and 4 pairs and a plan with two budgets."""
    scores = write_scores(tmp_path / "s", [[-n for n in range(8)]])
    cut(scores, by="clip", edges=(0.5, 1), out=tmp_path / "pools")
    one, both = candidate({"0-50%": 1.0}, 0.5), candidate({"0-50%": 0.75, "50-100%": 0.25}, 0.4)
    budgets = (
        BudgetPlan(samples_seen=1000, best=one.name, candidates=(one, both), decision="take one"),
        BudgetPlan(samples_seen=8_000_000, best=both.name, candidates=(both, one), decision="take both"),
    )
    plan = Plan(
        law="utility",
        metric="zeroshot_error",
        budgets=budgets,
        crossovers=(),
        pools={"0-50%": 4, "50-100%": 4},
        status=(),
    )
    save_plan(tmp_path / "plan.json", plan)
    return tmp_path


def repeats(folder: Path) -> dict[str, int]:
    return dict(zip(*read_npy_subset(folder / "subset.npy").to_pydict().values(), strict=True))


def test_the_best_candidate_of_the_budget_is_written(planned: Path) -> None:
    subset_from_plan(planned / "plan.json", 1000, pools=planned / "pools", out=planned / "small")
    assert repeats(planned / "small") == {uid(n): 1 for n in range(4)}
    summary = subset_from_plan(planned / "plan.json", "8M", pools=planned / "pools", out=planned / "large")
    assert repeats(planned / "large") == {uid(n): 3 if n < 4 else 1 for n in range(8)}
    assert (summary.num_unique, summary.num_rows) == (8, 16)
    meta = json.loads((planned / "large/meta.json").read_text())
    assert meta["samples_seen"] == 8_000_000
    assert meta["plan"] == {"candidate": "0-50% + 50-100%", "predicted_error": 0.4}
    assert [pool["mean_repeats"] for pool in meta["pools"]] == [3.0, 1.0]
    assert "--train-num-samples 16 --epochs 500000" in "\n".join(summary.how_to_train)


def test_another_candidate_can_be_asked_for(planned: Path) -> None:
    subset_from_plan(
        planned / "plan.json", "8M", pools=planned / "pools", out=planned / "out", candidate="0-50%"
    )
    assert repeats(planned / "out") == {uid(n): 1 for n in range(4)}


def test_a_budget_in_flops_is_found_by_what_it_buys(planned: Path) -> None:
    price = Price(flops_per_sample=1e10)
    out = {"pools": planned / "pools", "out": planned / "out"}
    subset_from_plan(planned / "plan.json", "8e16FLOPs", price=price, **out)
    assert repeats(planned / "out") == {uid(n): 3 if n < 4 else 1 for n in range(8)}
    with pytest.raises(InputError, match="needs the FLOPs of one sample seen"):
        subset_from_plan(planned / "plan.json", "8e16FLOPs", **out)


def test_budgets_and_candidates_that_are_not_there_are_named_with_those_that_are(planned: Path) -> None:
    with pytest.raises(InputError, match=r"plan.json has no budget 2M; it has 1k, 8M: take one of these"):
        subset_from_plan(planned / "plan.json", "2M", pools=planned / "pools", out=planned / "out")
    with pytest.raises(InputError, match=r"no candidate '0-5%' at 1k; did you mean '0-50%'\?"):
        subset_from_plan(
            planned / "plan.json", 1000, pools=planned / "pools", out=planned / "out", candidate="0-5%"
        )
    with pytest.raises(InputError, match=r"absent.json"):
        subset_from_plan(planned / "absent.json", 1000, pools=planned / "pools", out=planned / "out")
    assert not (planned / "out").exists()


def test_the_free_weights_beside_the_best_subset_can_be_asked_for(planned: Path) -> None:
    free = replace(candidate({"0-50%": 0.75, "50-100%": 0.25}, 0.3), name="0.75 x 0-50% + 0.25 x 50-100%")
    one = candidate({"0-50%": 1.0}, 0.5)
    budget = BudgetPlan(
        samples_seen=31_415_926,
        best=one.name,
        candidates=(one,),
        decision="take one",
        weighting=Weighting(candidate=free, gain=0.2, low=0.1, high=0.3),
    )
    old = load_plan(planned / "plan.json")
    save_plan(planned / "plan.json", replace(old, budgets=(budget,)))
    subset_from_plan(
        planned / "plan.json", "31.42M", pools=planned / "pools", out=planned / "out", candidate=free.name
    )
    assert repeats(planned / "out") == {uid(n): 3 if n < 4 else 1 for n in range(8)}
