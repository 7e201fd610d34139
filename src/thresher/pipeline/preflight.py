"""Checks, before anything is trained, that the probes of a config can determine its laws."""

from collections.abc import Mapping

from thresher.curate.pools.edges import ends_of_edges, names_of
from thresher.errors import InputError
from thresher.pipeline.config import Config
from thresher.planning.laws.problem import build_problem
from thresher.planning.laws.registry import LAWS
from thresher.planning.plans.mixes import filled_pools
from thresher.planning.runs.record import Run
from thresher.train.probe.stage import plan_trials
from thresher.train.probe.trials import Trial

SMALLEST = "utility"  # of the laws that auto weighs, one with the fewest parameters
ANY_ERROR = 0.5  # how many parameters there are does not depend on what is measured


def expected_sizes(config: Config, num_pairs: int) -> dict[str, int]:
    """Pairs in each pool that the edges of a config cut, best first; pools of thresholds count as equal."""
    if config.cut.thresholds:
        names = names_of((), config.cut.thresholds)
        return dict.fromkeys(names, max(1, num_pairs // len(names)))
    ends = [0, *ends_of_edges(config.cut.edges, num_pairs)]
    names = names_of(config.cut.edges, ())
    return {name: max(1, ends[place + 1] - ends[place]) for place, name in enumerate(names)}


def check_config(config: Config, num_pairs: int) -> None:
    """Refuse, before the pairs are scored, what would fail after the probes; raises as `check_probes`."""
    sizes = expected_sizes(config, num_pairs)
    if config.cut.thresholds:  # the sizes, hence the repeats, are not known yet
        _check_mixes(config, sizes)
    else:
        check_probes(config, sizes)


def check_probes(config: Config, sizes: Mapping[str, int]) -> None:
    """Refuse what would fail only after the probes are trained; `sizes` are pairs by pool, best first.

    Raises:
        InputError: a check mix of a pool that is not cut, or fewer runs than the law has parameters.
    """
    trials = _check_mixes(config, sizes)
    runs = [run for trial in trials if trial.role == "fit" for run in _runs(trial, sizes)]
    try:
        build_problem(LAWS[SMALLEST if config.fit.law == "auto" else config.fit.law], runs, list(sizes), {})
    except InputError as error:
        raise InputError(
            f"[probe] plans {len(runs)} runs for {len(sizes)} pools, too few for the law "
            f"({str(error).partition(' (')[0]}); add a share to `fractions`, a point to `samples` or "
            "`targets`, or a seed to `seeds`, or cut fewer pools"
        ) from None


def _check_mixes(config: Config, sizes: Mapping[str, int]) -> list[Trial]:
    filled_pools(list(sizes), sizes)
    return plan_trials(list(sizes), config.probe, config.plan.budgets, sizes)


def _runs(trial: Trial, sizes: Mapping[str, int]) -> list[Run]:
    unique = {pool: max(1, round(sizes[pool] * trial.fraction)) for pool in trial.weights}
    return [
        Run(
            weights=trial.weights, unique_samples=unique, samples_seen=point, error=ANY_ERROR, seed=trial.seed
        )
        for point in trial.points
    ]
