"""One law fitted: its parameters with intervals and draws, and what it says about itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from thresher.planning.laws.fits import Fit, Interval, PoolLaw
from thresher.planning.laws.law import Floats
from thresher.planning.laws.law_weights import LawTrial
from thresher.planning.laws.layout import pool_values, to_natural
from thresher.planning.laws.limits import ASSUMED_HALF_LIFE
from thresher.planning.laws.problem import Problem, degrees_of_freedom
from thresher.planning.laws.profile import bootstrap, profile, quantiles
from thresher.planning.laws.result import LawScore
from thresher.planning.laws.solve import Solution
from thresher.planning.laws.status import pool_status, shared_status
from thresher.planning.runs.record import Run, mix_pool_samples, mix_unique

DRAW_DIGITS = 6


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A fit, and what it was made from."""

    fit: Fit
    problem: Problem
    solution: Solution
    draws_SX: Floats


def made_from(
    solved: tuple[Problem, Solution],
    runs: Sequence[Run],
    held: Mapping[str, float],
    num_draws: int,
    seed: int,
) -> Made:
    """The fit that a solved problem makes, with `num_draws` bootstrap draws."""
    problem, solution = _with_assumed_half_lives(*solved)
    draws_SX = bootstrap(problem, solution, num_draws=num_draws, seed=seed)
    natural_X = to_natural(problem.layout, solution.coordinates_X)
    layout = problem.layout
    fitted = Fit(
        law=problem.law.name,
        shared={name: float(natural_X[place]) for place, name in enumerate(layout.shared)},
        pools=_pool_laws(problem, solution, draws_SX, runs),
        num_params=problem.num_params,
        intervals=_intervals(problem, draws_SX, layout.shared_places),
        noise=_noise(problem, solution),
        noise_freedom=float(f"{_freedom(problem, solution):.{DRAW_DIGITS}g}"),
        status=tuple(shared_status(problem, solution, list(held))),
        draws_SX=_rounded(to_natural(layout, draws_SX)),
        draw_names=layout.names,
        own=layout.own,
    )
    return Made(fitted, problem, solution, draws_SX)


def with_profiles(made: Made) -> Made:
    """The same fit with intervals by profile likelihood."""
    layout, free_X = made.problem.layout, made.problem.free_X
    low_X, high_X = (to_natural(layout, end_X) for end_X in profile(made.problem, made.solution))

    def of(names: Mapping[str, int]) -> dict[str, Interval]:
        free = {name: place for name, place in names.items() if free_X[place]}
        return {name: (float(low_X[place]), float(high_X[place])) for name, place in free.items()}

    pools = []
    for number, pool in enumerate(made.fit.pools):
        places = {kind: place for kind, place, _ in pool_values(layout, low_X, number) if kind in pool.values}
        pools.append(replace(pool, intervals=of(places)))
    return replace(made, fit=replace(made.fit, pools=tuple(pools), intervals=of(layout.shared_places)))


def score(
    name: str,
    trial: LawTrial | None,
    solved: tuple[Problem, Solution],
    num_held: int,
    weight: float,
) -> LawScore:
    """The row of a law in the comparison."""
    rmse = float(np.sqrt((_error_residuals(*solved) ** 2).mean()))
    return LawScore(
        law=name,
        num_parameters=int(solved[0].free_X.sum()),
        rmse=rmse,
        heldout_mae=None if trial is None else trial.mae,
        heldout_runs=0 if trial is None else num_held,
        weight=weight,
    )


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
    return float(np.sqrt((residual_R**2).sum() / _freedom(problem, solution)))


def _freedom(problem: Problem, solution: Solution) -> float:
    return max(1.0, degrees_of_freedom(problem, solution.coordinates_X))


def _rounded(draws_SX: Floats) -> Floats:
    """Six significant digits: the doubt is far larger, and a fit in memory equals the one read back."""
    return np.array([[float(f"{value:.{DRAW_DIGITS}g}") for value in row] for row in draws_SX]).reshape(
        draws_SX.shape
    )
