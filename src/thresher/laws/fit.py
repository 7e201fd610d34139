"""The joint fit of laws to the runs of all pools: nonlinear least squares in the log of the error.

Meeting point (n0, A + d) and d are shared unless pools get their own A or d, b and tau are each pool's own,
gamma is fitted where a pool was repeated at two subsample sizes. The loss is Huber's, the Jacobian analytic,
the starts deterministic, and weak priors (`limits.py`) settle what few noisy runs leave open. With
`law="auto"` several laws are fitted and weighed by how well they predict the longest runs (`choice.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from thresher.budget import format_count
from thresher.errors import InputError
from thresher.laws import LAWS
from thresher.laws.choice import (
    AUTO,
    Trial,
    drift_of,
    hold_out,
    log_evidence,
    registered,
    try_law,
    weights_of,
)
from thresher.laws.interval import bootstrap, quantiles
from thresher.laws.law import Floats, Law, shared_names
from thresher.laws.layout import layout_of, pool_values, to_natural
from thresher.laws.limits import ASSUMED_HALF_LIFE, check_own, hold
from thresher.laws.problem import Problem, TooFewRuns, build_problem, degrees_of_freedom, design_of
from thresher.laws.profile import profile
from thresher.laws.result import Check, Fit, Interval, Laws, LawScore, Point, PoolLaw, predict_designs
from thresher.laws.solve import Solution, solve
from thresher.laws.status import (
    choice_status,
    order_warnings,
    outlier_warnings,
    pool_status,
    run_warnings,
    shared_status,
    structure_warnings,
)
from thresher.runs import Run, mix_pool_samples, mix_unique, mix_weights

_DRAW_DIGITS = 6
_LENGTHS_ALONE = 3
BASELINE = "power"
INTERVALS = ("bootstrap", "profile")


def fit(
    runs: Sequence[Run],
    *,
    law: str = "auto",
    metric: str | None = None,
    recipe: str | None = None,
    model: str | None = None,
    pool_order: Sequence[str] | None = None,
    fixed: Mapping[str, float] | None = None,
    own: Sequence[str] = (),
    num_draws: int = 200,
    seed: int = 0,
    intervals: str = "bootstrap",
) -> Laws:
    """The laws that fit the runs of role "fit" best, tested on those of role "check".

    Args:
        runs: As `read_runs` gives them; other roles are left out.
        law: "auto", or a name in `LAWS`.
        metric: Which metric's runs to use; needed where the runs hold several, like `recipe` and `model`.
        recipe: Which training recipe's runs to use.
        model: Which model's runs to use.
        pool_order: Pools by score, best first; the order of first appearance where absent.
        fixed: Values at which to hold shared parameters, such as d.
        own: "d", "A" or both: every pool has its own, near a shared one. Laws without A share their start.
        num_draws: Bootstrap refits, shared out among the laws by weight; 0 for none.
        seed: Of the bootstrap. The same runs and seed give the same fit.
        intervals: Of the parameters: "bootstrap", from the draws, or "profile" likelihood. Predictions and
            plans take their doubt from the draws either way.

    Raises:
        InputError: where the runs cannot be fitted: none with role "fit", several metrics, recipes or
            models, fewer runs than parameters.
    """
    if intervals not in INTERVALS:
        raise InputError(f"there are no {intervals!r} intervals; choose {' or '.join(INTERVALS)}")
    fixed = {} if fixed is None else fixed
    names = AUTO if law == "auto" else (registered(law).name,)
    used = _comparable(runs, metric=metric, recipe=recipe, model=model)
    fit_runs = [run for run in used if run.role == "fit"]
    if not fit_runs:
        raise InputError("no run has the role `fit`; probe the pools, or set the role of the runs to fit")
    _check_held(fixed, names, min(run.error for run in fit_runs))
    pools = _ordered_pools(fit_runs, pool_order)
    check_own(own, fixed, [registered(name) for name in names], len(pools))
    _check_lengths(fit_runs, pools)
    tried = dict.fromkeys((*names, BASELINE))
    held = {name: _held_of(registered(name), fixed) for name in tried}
    trials = {name: try_law(registered(name), fit_runs, pools, held[name], own) for name in tried}
    solved = {name: _solved(registered(name), fit_runs, pools, held[name], own) for name in tried}
    weights = {law: 1.0}
    if law == "auto":
        fitted = {name: found for name in tried if (found := solved[name]) is not None}
        if not any(problem.free_X[problem.layout.half_lives].any() for problem, _ in fitted.values()):
            fitted.pop(BASELINE, None)  # without repetition it agrees with the others and would deny all wear
        evidence = {name: log_evidence(*found) for name, found in fitted.items()}
        weights = weights_of(trials, evidence) if evidence else {AUTO[0]: 1.0}
    ends = np.rint(np.cumsum([0.0, *weights.values()]) * num_draws).astype(int)
    made = {}
    for name, count in zip(weights, np.diff(ends).tolist(), strict=True):
        problem_and_solution = solved[name] or solve(
            build_problem(registered(name), fit_runs, pools, held[name], own)
        )
        made[name] = _made(problem_and_solution, fit_runs, held[name], count, seed)
        if intervals == "profile":
            made[name] = _with_profiles(made[name])
    best = made[next(iter(weights))]
    laws = Laws(
        metric=used[0].metric,
        recipe=next((run.recipe for run in used if run.recipe is not None), None),
        model=next((run.model for run in used if run.model is not None), None),
        fits=tuple(one.fit for one in made.values()),
        weights=tuple(weights.values()),
        comparison=tuple(
            _score(name, trials[name], solved[name], len(hold_out(fit_runs)[1]), weights.get(name, 0.0))
            for name in tried
        ),
        warnings=(
            *run_warnings(fit_runs),
            *outlier_warnings(best.problem, best.solution, fit_runs),
            *structure_warnings(best.problem, best.solution),
            *order_warnings(best.problem, best.solution, best.draws_SX),
        ),
        longest=float(max(run.samples_seen for run in fit_runs)),
        drift=float(f"{drift_of(trials, weights):.{_DRAW_DIGITS}g}"),
        replacement=all(run.replacement is True for run in fit_runs),
        params=max((run.params for run in fit_runs if run.params is not None), default=None),
    )
    laws = replace(laws, status=tuple(choice_status(laws, automatic=law == "auto")))
    return _with_points(laws, fit_runs, [run for run in used if run.role == "check"])


def predict_runs(laws: Laws, runs: Sequence[Run]) -> Floats:
    """Predicted error of each run, the mean over the draws of all laws, [R].

    Raises:
        InputError: naming a pool that has no law.
    """
    return np.asarray(
        predict_designs(
            laws, lambda one: design_of(runs, laws.pool_names, sized=one.num_params is not None)
        ).mean(0)
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """A fit, and what it was made from."""

    fit: Fit
    problem: Problem
    solution: Solution
    draws_SX: Floats


def _solved(
    law: Law, runs: Sequence[Run], pools: Sequence[str], held: Mapping[str, float], own: Sequence[str]
) -> tuple[Problem, Solution] | None:
    """The law fitted to all runs; None where it has more parameters than there are runs."""
    try:
        return solve(build_problem(law, runs, pools, held, own))
    except TooFewRuns:
        return None


def _made(
    solved: tuple[Problem, Solution],
    runs: Sequence[Run],
    held: Mapping[str, float],
    num_draws: int,
    seed: int,
) -> _Made:
    problem, solution = _with_assumed_half_lives(*solved)
    draws_SX = bootstrap(problem, solution, num_draws=num_draws, seed=seed)
    natural_X = to_natural(problem.layout, solution.coordinates_X)
    layout = problem.layout
    fitted = Fit(
        law=problem.law.name,
        shared={name: float(natural_X[place]) for place, name in enumerate(layout.shared)},
        pools=_pool_laws(problem, solution, draws_SX, runs),
        num_params=problem.num_params,
        intervals=_intervals(problem, draws_SX, {name: place for place, name in enumerate(layout.shared)}),
        noise=_noise(problem, solution),
        status=tuple(shared_status(problem, solution, list(held))),
        draws_SX=_rounded(to_natural(layout, draws_SX)),
        draw_names=layout.names,
        own=layout.own,
    )
    return _Made(fitted, problem, solution, draws_SX)


def _held_of(law: Law, fixed: Mapping[str, float]) -> dict[str, float]:
    """What of `fixed` this law has."""
    return {name: value for name, value in fixed.items() if name in shared_names(law, sized=True)}


def _check_held(fixed: Mapping[str, float], names: Sequence[str], least_error: float) -> None:
    """Refuse a parameter that none of these laws has, or a value that one of them cannot take."""
    known = dict.fromkeys(held for name in names for held in shared_names(LAWS[name], sized=True))
    for held in fixed:
        if held not in known:
            raise InputError(f"cannot hold {held!r}; one of {', '.join(known)} can be held")
    for name in names:
        layout = layout_of(LAWS[name], (), sized=True)
        free_X = np.ones(layout.size, bool)
        hold(_held_of(LAWS[name], fixed), layout, np.zeros(layout.size), free_X, least_error)


def _with_profiles(made: _Made) -> _Made:
    """The same fit with intervals by profile likelihood."""
    layout, free_X = made.problem.layout, made.problem.free_X
    ends = [to_natural(layout, end_X) for end_X in profile(made.problem, made.solution)]
    low_X, high_X = ends

    def of(names: Mapping[str, int]) -> dict[str, Interval]:
        return {
            name: (float(low_X[place]), float(high_X[place]))
            for name, place in names.items()
            if free_X[place]
        }

    pools = tuple(
        replace(
            pool,
            intervals=of(
                {kind: place for kind, place, _ in pool_values(layout, low_X, number) if kind in pool.values}
            ),
        )
        for number, pool in enumerate(made.fit.pools)
    )
    shared = of({name: place for place, name in enumerate(layout.shared)})
    return replace(made, fit=replace(made.fit, pools=pools, intervals=shared))


def _score(
    name: str,
    trial: Trial | None,
    solved: tuple[Problem, Solution] | None,
    num_held: int,
    weight: float,
) -> LawScore:
    rmse = None if solved is None else float(np.sqrt((_error_residuals(*solved) ** 2).mean()))
    return LawScore(
        law=name,
        num_parameters=0 if solved is None else int(solved[0].free_X.sum()),
        rmse=rmse,
        heldout_mae=None if trial is None else trial.mae,
        heldout_runs=0 if trial is None else num_held,
        weight=weight,
    )


def _comparable(runs: Sequence[Run], **wanted: str | None) -> list[Run]:
    """Runs of one metric, recipe and model, roles "fit" and "check"; refuses to mix them."""
    used = [run for run in runs if run.role in ("fit", "check")]
    for name, value in wanted.items():
        found = sorted({str(getattr(run, name)) for run in used if getattr(run, name) is not None})
        if value is not None:
            used = [run for run in used if getattr(run, name) == value]
            if not used:
                raise InputError(
                    f"no run has the {name} {value!r}; the runs have {', '.join(found) or 'none'}"
                )
        elif len(found) > 1:
            raise InputError(
                f"the runs mix {len(found)} {name}s ({', '.join(found)}), which one law cannot describe; "
                f"choose one with {name}={found[0]!r}"
            )
    return used


def _check_lengths(runs: Sequence[Run], pools: Sequence[str]) -> None:
    """A pool needs runs of two lengths, a pool that is alone runs of four.

    Raises:
        InputError: naming the pool and the run that would help.
    """
    for pool in pools:
        lengths = sorted({run.samples_seen for run in runs if pool in mix_weights(run)})
        if len(lengths) == 1:
            raise InputError(
                f"pool {pool!r} has runs of one length ({format_count(lengths[0])} samples seen), and a law "
                f"needs two; add a run on it of another length, such as {format_count(4 * lengths[0])}, or "
                f"leave it out"
            )
        if len(pools) == 1 and len(lengths) < _LENGTHS_ALONE:
            raise InputError(
                f"all {len(runs)} runs are on pool {pool!r}, which has to identify the law alone; add runs "
                f"of {_LENGTHS_ALONE} lengths on it, or runs on a second pool"
            )


def _ordered_pools(runs: Sequence[Run], pool_order: Sequence[str] | None) -> list[str]:
    seen = list(dict.fromkeys(pool for run in runs for pool in mix_weights(run)))
    if pool_order is None:
        return seen
    return [pool for pool in pool_order if pool in seen] + [pool for pool in seen if pool not in pool_order]


def _with_assumed_half_lives(problem: Problem, solution: Solution) -> tuple[Problem, Solution]:
    """Half-lives that no run shows, set to the geometric mean of the measured ones."""
    is_tau = np.zeros(problem.layout.size, bool)
    is_tau[problem.layout.half_lives] = True
    measured, assumed = is_tau & problem.free_X, is_tau & problem.assumed_X
    mean = solution.coordinates_X[measured].mean() if measured.any() else np.log(ASSUMED_HALF_LIFE)
    start_X = np.where(assumed, mean, problem.start_X)
    coordinates_X = np.where(assumed, mean, solution.coordinates_X)
    return replace(problem, start_X=start_X), replace(solution, coordinates_X=coordinates_X)


def _intervals(problem: Problem, draws_SX: Floats, columns: Mapping[str, int]) -> dict[str, Interval]:
    """5-95% intervals by name; none for what was held or without draws."""
    natural_SX = to_natural(problem.layout, draws_SX)
    return {
        name: quantiles(natural_SX[:, index])
        for name, index in columns.items()
        if len(draws_SX) and (problem.free_X[index] or np.ptp(draws_SX[:, index]) > 0)
    }


def _pool_laws(
    problem: Problem, solution: Solution, draws_SX: Floats, runs: Sequence[Run]
) -> tuple[PoolLaw, ...]:
    natural_X = to_natural(problem.layout, solution.coordinates_X)
    sizes = [(mix_pool_samples(run), mix_unique(run)) for run in runs]
    laws = []
    for index, pool in enumerate(problem.pools):
        values, columns = {}, {}
        for kind, place, value in pool_values(problem.layout, natural_X, index):
            if kind != "tau" or problem.law.has_half_life:
                values[kind], columns[kind] = value, place
        laws.append(
            PoolLaw(
                name=pool,
                values=values,
                num_unique=float(problem.reference_P[index]),
                pool_samples=max(whole[pool] for whole, _ in sizes if pool in whole),
                intervals=_intervals(problem, draws_SX, columns),
                status=tuple(pool_status(problem, solution, draws_SX, index)),
            )
        )
    return tuple(laws)


def _error_residuals(problem: Problem, solution: Solution) -> Floats:
    return np.asarray(np.exp(problem.log_error_R) * np.expm1(solution.residual_R / problem.scale_R))


def _noise(problem: Problem, solution: Solution) -> float:
    """Standard deviation of the residuals in units of the error, parameters paid for."""
    residual_R = _error_residuals(problem, solution)
    return float(
        np.sqrt((residual_R**2).sum() / max(1.0, degrees_of_freedom(problem, solution.coordinates_X)))
    )


def _with_points(laws: Laws, fit_runs: Sequence[Run], check_runs: Sequence[Run]) -> Laws:
    known = set(laws.pool_names)
    strange = [run for run in check_runs if not set(mix_weights(run)) <= known]
    checked = [run for run in check_runs if run not in strange]
    warnings = [
        f"Check run {run.run or run.samples_seen} was left out: no fit run holds "
        f"{', '.join(sorted(set(mix_weights(run)) - known))}; probe that pool."
        for run in strange
    ]
    check = Check()
    if checked:
        points = _points(laws, checked)
        errors = np.array([run.error for run in checked])
        check = Check(
            mae=float(np.mean([abs(point.residual) for point in points])),
            mae_of_mean=float(np.abs(errors - errors.mean()).mean()),
            points=points,
        )
    return replace(laws, points=_points(laws, fit_runs), check=check, warnings=(*laws.warnings, *warnings))


def _points(laws: Laws, runs: Sequence[Run]) -> tuple[Point, ...]:
    return tuple(
        Point(run=run, predicted=float(predicted), residual=run.error - float(predicted))
        for run, predicted in zip(runs, predict_runs(laws, runs), strict=True)
    )


def _rounded(draws_SX: Floats) -> Floats:
    """Six significant digits: the doubt is far larger, and a fit in memory equals the one read back."""
    return np.array([[float(f"{value:.{_DRAW_DIGITS}g}") for value in row] for row in draws_SX]).reshape(
        draws_SX.shape
    )
