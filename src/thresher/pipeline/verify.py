"""Trains the winners of a plan, to check that it ranked them correctly."""

from collections.abc import Callable, Sequence
from pathlib import Path

from thresher.curate.pools.record import load_pools
from thresher.models.evaluation.settings import Evaluate
from thresher.planning.plans.plan import Plan
from thresher.planning.plans.result import winner
from thresher.planning.runs.record import Run
from thresher.train.probe.stage import jobs_of, open_bench, plan_trials, recipe_of
from thresher.train.probe.trials import Trial, run_trials
from thresher.train.settings import Probe


def run_verification(
    plan: Plan,
    pools: Path,
    shards: Sequence[str],
    ledger: Path,
    *,
    probe: Probe,
    evaluate: Evaluate,
    work: Path,
    device: str,
    exclude: frozenset[str] = frozenset(),
    progress: Callable[[str], None] | None = None,
) -> list[Run]:
    """Train the winners at the smallest and the largest budget at both, on whole pools.

    The recipe is that of the probes. Arguments as in `thresher.train.probe.stage.run_probes`.
    """
    cut = load_pools(pools)
    budgets = sorted(budget.samples_seen for budget in plan.budgets)
    recipe = recipe_of(plan_trials(cut.names, probe, budgets, cut.sizes), probe)
    bench = open_bench(
        cut,
        shards,
        recipe=recipe,
        probe=probe,
        evaluate=evaluate,
        work=work,
        device=device,
        exclude=exclude,
    )
    trials = verification_trials(plan, probe.seeds)
    return run_trials(bench, trials, ledger, jobs=jobs_of(probe, bench.device), progress=progress)


def verification_trials(plan: Plan, seeds: Sequence[int]) -> list[Trial]:
    """A trial for each distinct winner at the smallest and the largest budget, measured at both."""
    ordered = sorted(plan.budgets, key=lambda budget: budget.samples_seen)
    ends = (ordered[0], ordered[-1])
    points = tuple(sorted({end.samples_seen for end in ends}))
    mixes = {end.best: winner(end).weights for end in ends}
    return [
        Trial(role="verify", weights=dict(weights), fraction=1.0, points=points, seed=seed)
        for weights in mixes.values()
        for seed in seeds
    ]
