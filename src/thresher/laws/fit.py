"""The joint fit of a law to the runs of all pools: nonlinear least squares in the log of the error.

Meeting point (n0, A + d) and d are shared, b and tau are each pool's own, gamma is fitted where a pool
was repeated at two subsample sizes. The loss is Huber's, the Jacobian analytic, the starts deterministic,
and weak priors (`limits.py`) settle what few noisy runs leave open.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from thresher.errors import InputError
from thresher.laws import LAWS
from thresher.laws.interval import bootstrap, quantiles
from thresher.laws.law import Floats
from thresher.laws.limits import ASSUMED_HALF_LIFE, SHARED
from thresher.laws.mix import parameter_names, predict
from thresher.laws.problem import Problem, build_problem, degrees_of_freedom, run_arrays, to_natural
from thresher.laws.result import Check, Fit, Interval, Point, PoolLaw, parameters
from thresher.laws.solve import Solution, solve
from thresher.laws.status import (
    order_warnings,
    outlier_warnings,
    pool_status,
    run_warnings,
    shared_status,
    structure_warnings,
)
from thresher.runs import Run, mix_pool_samples, mix_unique, mix_weights

_DRAW_DIGITS = 6


def fit(
    runs: Sequence[Run],
    *,
    law: str = "utility",
    metric: str | None = None,
    recipe: str | None = None,
    model: str | None = None,
    pool_order: Sequence[str] | None = None,
    fixed: Mapping[str, float] | None = None,
    num_draws: int = 200,
    seed: int = 0,
) -> Fit:
    """The law that fits the runs of role "fit" best, tested on those of role "check".

    Args:
        runs: As `read_runs` gives them; other roles are left out.
        law: A name in `LAWS`.
        metric: Which metric's runs to use; needed where the runs hold several, like `recipe` and `model`.
        recipe: Which training recipe's runs to use.
        model: Which model's runs to use.
        pool_order: Pools by score, best first; the order of first appearance where absent.
        fixed: Values at which to hold any of A, n0, d and gamma.
        num_draws: Bootstrap refits; 0 for none.
        seed: Of the bootstrap. The same runs and seed give the same fit.

    Raises:
        InputError: where the runs cannot be fitted: none with role "fit", several metrics, recipes or
            models, fewer runs than parameters.
    """
    if law not in LAWS:
        raise InputError(f"there is no law {law!r}; choose one of {', '.join(sorted(LAWS))}")
    fixed = {} if fixed is None else fixed
    used = _comparable(runs, metric=metric, recipe=recipe, model=model)
    fit_runs = [run for run in used if run.role == "fit"]
    if not fit_runs:
        raise InputError("no run has the role `fit`; probe the pools, or set the role of the runs to fit")
    pools = _ordered_pools(fit_runs, pool_order)
    problem = build_problem(LAWS[law], fit_runs, pools, fixed)
    problem, solution = _with_assumed_half_lives(*solve(problem))
    draws_SX = bootstrap(problem, solution, num_draws=num_draws, seed=seed)
    shared = to_natural(problem, solution.coordinates_X)
    fitted = Fit(
        law=law,
        metric=used[0].metric,
        recipe=next((run.recipe for run in used if run.recipe is not None), None),
        model=next((run.model for run in used if run.model is not None), None),
        A=float(shared[0]),
        n0=float(shared[1]),
        d=float(shared[2]),
        gamma=float(shared[3]),
        pools=_pool_laws(problem, solution, draws_SX, fit_runs),
        intervals=_intervals(problem, draws_SX, {name: index for index, name in enumerate(SHARED)}),
        noise=_noise(problem, solution),
        status=tuple(shared_status(problem, solution, list(fixed))),
        warnings=(
            *run_warnings(fit_runs),
            *outlier_warnings(problem, solution, fit_runs),
            *structure_warnings(problem, solution),
            *order_warnings(problem, solution, draws_SX),
        ),
        draws_SX=_rounded(to_natural(problem, draws_SX)),
        draw_names=tuple(parameter_names(problem.pools)),
        points=(),
    )
    return _with_points(fitted, fit_runs, [run for run in used if run.role == "check"])


def predict_runs(fitted: Fit, runs: Sequence[Run]) -> Floats:
    """Predicted error of each run, [R].

    Raises:
        InputError: naming a pool that has no law.
    """
    weights_RP, unique_RP = run_arrays(runs, [pool.name for pool in fitted.pools])
    seen_R = np.array([run.samples_seen for run in runs], float)
    return predict(LAWS[fitted.law], parameters(fitted), seen_R, weights_RP, unique_RP)


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


def _ordered_pools(runs: Sequence[Run], pool_order: Sequence[str] | None) -> list[str]:
    seen = list(dict.fromkeys(pool for run in runs for pool in mix_weights(run)))
    if pool_order is None:
        return seen
    return [pool for pool in pool_order if pool in seen] + [pool for pool in seen if pool not in pool_order]


def _with_assumed_half_lives(problem: Problem, solution: Solution) -> tuple[Problem, Solution]:
    """Half-lives that no run shows, set to the geometric mean of the measured ones."""
    if not problem.law.has_half_life:
        return problem, solution
    is_tau = np.arange(problem.start_X.size) >= 4 + len(problem.pools)
    measured, assumed = is_tau & problem.free_X, is_tau & ~problem.free_X
    mean = solution.coordinates_X[measured].mean() if measured.any() else np.log(ASSUMED_HALF_LIFE)
    start_X = np.where(assumed, mean, problem.start_X)
    coordinates_X = np.where(assumed, mean, solution.coordinates_X)
    return replace(problem, start_X=start_X), replace(solution, coordinates_X=coordinates_X)


def _intervals(problem: Problem, draws_SX: Floats, columns: Mapping[str, int]) -> dict[str, Interval]:
    """5-95% intervals by name; none for what was held or without draws."""
    natural_SX = to_natural(problem, draws_SX)
    return {
        name: quantiles(natural_SX[:, index])
        for name, index in columns.items()
        if len(draws_SX) and (problem.free_X[index] or np.ptp(draws_SX[:, index]) > 0)
    }


def _pool_laws(
    problem: Problem, solution: Solution, draws_SX: Floats, runs: Sequence[Run]
) -> tuple[PoolLaw, ...]:
    natural_X = to_natural(problem, solution.coordinates_X)
    sizes = [(mix_pool_samples(run), mix_unique(run)) for run in runs]
    laws = []
    for index, pool in enumerate(problem.pools):
        columns = {"b": 4 + index, "tau": 4 + len(problem.pools) + index}
        has_tau = problem.law.has_half_life
        if not has_tau:
            del columns["tau"]
        laws.append(
            PoolLaw(
                name=pool,
                b=float(natural_X[4 + index]),
                tau=float(natural_X[columns["tau"]]) if has_tau else None,
                num_unique=float(problem.reference_P[index]),
                pool_samples=max(whole[pool] for whole, _ in sizes if pool in whole),
                intervals=_intervals(problem, draws_SX, columns),
                status=tuple(pool_status(problem, solution, draws_SX, index)),
            )
        )
    return tuple(laws)


def _noise(problem: Problem, solution: Solution) -> float:
    """Standard deviation of the residuals in units of the error, parameters paid for."""
    residual_R = np.exp(problem.log_error_R) * np.expm1(solution.residual_R)
    return float(
        np.sqrt((residual_R**2).sum() / max(1.0, degrees_of_freedom(problem, solution.coordinates_X)))
    )


def _with_points(fitted: Fit, fit_runs: Sequence[Run], check_runs: Sequence[Run]) -> Fit:
    known = {pool.name for pool in fitted.pools}
    strange = [run for run in check_runs if not set(mix_weights(run)) <= known]
    checked = [run for run in check_runs if run not in strange]
    warnings = [
        f"Check run {run.run or run.samples_seen} was left out: no fit run holds "
        f"{', '.join(sorted(set(mix_weights(run)) - known))}; probe that pool."
        for run in strange
    ]
    check = Check()
    if checked:
        points = _points(fitted, checked)
        errors = np.array([run.error for run in checked])
        check = Check(
            mae=float(np.mean([abs(point.residual) for point in points])),
            mae_of_mean=float(np.abs(errors - errors.mean()).mean()),
            points=points,
        )
    return replace(
        fitted, points=_points(fitted, fit_runs), check=check, warnings=(*fitted.warnings, *warnings)
    )


def _points(fitted: Fit, runs: Sequence[Run]) -> tuple[Point, ...]:
    return tuple(
        Point(run=run, predicted=float(predicted), residual=run.error - float(predicted))
        for run, predicted in zip(runs, predict_runs(fitted, runs), strict=True)
    )


def _rounded(draws_SX: Floats) -> Floats:
    """Six significant digits: the doubt is far larger, and a fit in memory equals the one read back."""
    return np.array([[float(f"{value:.{_DRAW_DIGITS}g}") for value in row] for row in draws_SX]).reshape(
        draws_SX.shape
    )
