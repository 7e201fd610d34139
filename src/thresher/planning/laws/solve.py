"""The solver of a joint fit: deterministic starts, then bounded robust least squares.

For given d, n0 and tau a law is linear in ln A and what it has of b (or nearly so in b and the qualities),
so each start is the solution of a small linear problem; the best few are refined together (`descent.py`).
Axes: S starts, R runs, X coordinates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from thresher.planning.laws.descent import descend, huber_cost
from thresher.planning.laws.law import Floats, Law, Parameters, added_terms, error, log_excess_error_of
from thresher.planning.laws.layout import to_natural, to_parameters
from thresher.planning.laws.limits import USUAL_SPREAD, Spread
from thresher.planning.laws.problem import (
    Problem,
    build_problem,
    degrees_of_freedom,
    log_noise,
    robust_deviation,
    without_own,
)
from thresher.planning.runs.record import Run

FIRST_HUBER_SCALE = 0.05
"""Log errors beyond 5% count as outliers before the noise is known."""
_HUBER_NOISES = 1.345
_SMALLEST_HUBER_SCALE = 1e-4
_D_SHARES = (0.0, 0.3, 0.6, 0.85, 0.97)
_N0_PLACES = (0.05, 0.35, 0.6, 0.8, 0.95)
_HALF_LIVES = (2.0, 6.0, 20.0)
_CROWDED_HALF_LIVES = (20.0, 100.0)
_SIZE_SHARES = (0.05, 0.2)
_GAMMAS = (0.2, 1.0)
_LEAST_B = -1e-3
_LEAST_ABOVE = 1e-3
_RIDGE = 1e-9
_REFINED_STARTS = 10
_COARSE_TOLERANCE = 1e-4
_TOLERANCE, _MAX_STEPS = 1e-9, 300
_ROUNDS = ((20, 1, _COARSE_TOLERANCE), (10, 2, 1e-6))
"""Without and with priors: steps of all starts, how many of the best go on, and how far."""
_NEAR_TOLERANCE = 1e-6
_NOISE_ROUNDS, _SAME_NOISE = 8, 0.03


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Where the solver stopped.

    Attributes:
        coordinates_X: All coordinates.
        residual_R: Log predicted minus log measured error, times the problem's scale.
        huber_scale: Log error beyond which a run counts less.
        cost: Robust cost with the priors.
        converged: Whether a tolerance was reached within the allowed steps.
        others_SX: Starts for a fit of nearly the same runs: where a few steps of every start led, best first.
    """

    coordinates_X: Floats
    residual_R: Floats
    huber_scale: float
    cost: float
    converged: bool
    others_SX: Floats


Solved = tuple[Problem, Solution]
"""A problem with the noise that weighs its priors, and its solution."""


def solve(problem: Problem, near: Solved | None = None) -> Solved:
    """The best of several starts, and the problem with the noise that weighs its priors.

    First the best start to the end without priors, which measures the noise; then every start with them, the
    best two to the end. Near a problem that was solved, with the same free coordinates, the first of these
    is not needed.
    """
    if problem.layout.own:
        return _solve_own(problem)
    if near is not None and np.array_equal(near[0].free_X, problem.free_X):
        return _solve_near(problem, *near)
    trials_SX, scale = _starts(problem), FIRST_HUBER_SCALE
    for steps, kept, tolerance in _ROUNDS:
        trials_SX = _coarsely(problem, trials_SX, scale, steps)
        best = _best(problem, trials_SX[:kept], scale, tolerance)
        problem = replace(problem, noise=log_noise(problem, best.coordinates_X))
        scale = _huber_scale(problem, best)
    end = _best(problem, best.coordinates_X[None], scale, _TOLERANCE)
    return problem, replace(end, others_SX=trials_SX)


def _solve_near(problem: Problem, other: Problem, solution: Solution) -> Solved:
    """From where the starts of the other problem led, until the noise stays the same."""
    (steps, kept, _), scale = _ROUNDS[-1], solution.huber_scale
    problem = replace(problem, noise=other.noise)
    start_SX = _coarsely(problem, solution.others_SX, scale, steps)
    return _until_same_noise(problem, start_SX[:kept], scale)


def _coarsely(problem: Problem, start_SX: Floats, scale: float, steps: int) -> Floats:
    """Where a few steps of every start lead, best first."""
    found = descend(problem, start_SX, scale, tolerance=_COARSE_TOLERANCE, max_steps=steps)
    return found.coordinates_BX[np.argsort(found.cost_B, kind="stable")]


def _until_same_noise(problem: Problem, start_SX: Floats, scale: float) -> Solved:
    """The best of the starts; what it leaves is the noise that weighs the priors the next time."""
    for _ in range(_NOISE_ROUNDS):
        solution = _best(problem, start_SX, scale, _NEAR_TOLERANCE)
        start_SX, scale = solution.coordinates_X[None], _huber_scale(problem, solution)
        noise, last = log_noise(problem, solution.coordinates_X), problem.noise
        problem = replace(problem, noise=noise)
        if abs(noise - last) <= _SAME_NOISE * last:
            break
    return problem, _best(problem, start_SX, scale, _TOLERANCE)


def solve_runs(
    law: Law,
    runs: Sequence[Run],
    pools: Sequence[str],
    held: Mapping[str, float],
    own: Sequence[str],
    *,
    spread: Spread = USUAL_SPREAD,
    near: Solved | None = None,
) -> Solved:
    """A law fitted to runs; `spread` is how widely their pools lie around their mean."""
    return solve(build_problem(law, runs, pools, held, own, spread=spread), near)


def _solve_own(problem: Problem) -> Solved:
    """What pools have of their own begins at the shared fit, and the noise falls as they part from it."""
    shared, solution = solve(without_own(problem))
    layout = problem.layout
    own = [np.repeat(solution.coordinates_X[layout.place(name)], len(layout.pools)) for name in layout.own]
    start_X = np.concatenate([solution.coordinates_X, *own])
    return _until_same_noise(replace(problem, noise=shared.noise), start_X[None], FIRST_HUBER_SCALE)


def _best(problem: Problem, start_SX: Floats, scale: float, tolerance: float) -> Solution:
    found = descend(problem, start_SX, scale, tolerance=tolerance, max_steps=_MAX_STEPS)
    best = int(found.cost_B.argmin())
    return Solution(
        found.coordinates_BX[best],
        found.residual_BR[best],
        scale,
        float(found.cost_B[best]),
        bool(found.converged_B[best]),
        start_SX,
    )


def _huber_scale(problem: Problem, solution: Solution) -> float:
    """Log error beyond which a run is taken for an outlier: 1.345 standard deviations, robustly measured."""
    freedom = degrees_of_freedom(problem, solution.coordinates_X)
    deviation = robust_deviation(solution.residual_R, freedom)
    return max(_SMALLEST_HUBER_SCALE, min(FIRST_HUBER_SCALE, _HUBER_NOISES * deviation))


def _starts(problem: Problem) -> Floats:
    """Best points of a coarse grid over d, n0 and tau with their own ln A and b, the best of each d first."""
    grid_SX = _grid(problem)
    layout, free = problem.layout, problem.free_X
    natural_SX = to_natural(layout, grid_SX)
    d_S1 = natural_SX[:, [layout.place("d")]]
    error_R = np.exp(problem.log_error_R)
    added_SR, _ = added_terms(_parameters(problem, natural_SX), problem.design)
    above_SR = np.maximum(error_R - d_S1 - added_SR, _LEAST_ABOVE * error_R)
    base_SR, columns = _linear_part(problem, natural_SX)
    weight_SR = above_SR / error_R * problem.scale_R * problem.weight_R
    design_SRC = np.stack([column_SR for _, column_SR in columns], -1) * weight_SR[..., None]
    design_SCR = design_SRC.transpose(0, 2, 1)
    normal_SCC = design_SCR @ design_SRC
    ridge_S11 = _RIDGE * (1.0 + normal_SCC.max((1, 2), keepdims=True))
    normal_SCC = normal_SCC + ridge_S11 * np.eye(len(columns))
    right_SC1 = design_SCR @ ((np.log(above_SR) - base_SR) * weight_SR)[..., None]
    solved_SC = np.linalg.solve(normal_SCC, right_SC1)[..., 0]
    for number, (place, _) in enumerate(columns):
        grid_SX[:, place] = solved_SC[:, number]
    if layout.worth == "quality":
        b_S1 = np.minimum(grid_SX[:, [layout.place("b")]], _LEAST_B)
        grid_SX[:, layout.place("b")] = b_S1[:, 0]
        grid_SX[:, layout.worths] = np.where(free[layout.worths], grid_SX[:, layout.worths] / b_S1, 0.0)
    else:
        grid_SX[:, layout.worths] = np.minimum(grid_SX[:, layout.worths], _LEAST_B)
    grid_SX[:, free] = np.clip(grid_SX[:, free], problem.limits.lower_X[free], problem.limits.upper_X[free])
    grid_SX[:, ~free] = problem.start_X[~free]
    predicted_SR = error(problem.law, _parameters(problem, to_natural(layout, grid_SX)), problem.design)
    residual_SR = (np.log(predicted_SR) - problem.log_error_R) * problem.scale_R * problem.weight_R
    costs = huber_cost(residual_SR, FIRST_HUBER_SCALE)
    order = np.argsort(costs, kind="stable")
    _, first = np.unique(grid_SX[order, layout.place("d")], return_index=True)
    others = np.setdiff1d(np.arange(len(order)), first)
    refined = order[np.concatenate([np.sort(first), others])[:_REFINED_STARTS]]
    return np.asarray(grid_SX[refined])


def _linear_part(problem: Problem, natural_SX: Floats) -> tuple[Floats, list[tuple[int, Floats]]]:
    """What `ln (y - d)` is without its linear coordinates, [S, R], and the place and column of each of them.

    In the qualities (times b) the law is linear only where they are equal, which is where it is taken.
    """
    layout, law = problem.layout, problem.law
    at_SX = natural_SX.copy()
    at_SX[:, layout.worths] = 1.0 if layout.worth == "quality" else 0.0
    if "b" in layout.shared:
        at_SX[:, layout.place("b")] = -1.0
    fall = log_excess_error_of(law, _parameters(problem, at_SX), problem.design)
    shape = (len(natural_SX), problem.log_error_R.size)
    columns = []
    if "A" in layout.shared and problem.free_X[layout.place("A")]:
        columns.append((layout.place("A"), np.ones(shape)))
    if "b" in layout.shared and problem.free_X[layout.place("b")]:
        columns.append((layout.place("b"), np.broadcast_to(fall.shared["b"], shape)))
    sign = -1.0 if layout.worth == "quality" else 1.0
    by_worth = sign * np.broadcast_to(fall.by_worth, (*shape, len(layout.pools)))
    for pool in range(len(layout.pools)):
        place = layout.worths.start + pool
        if problem.free_X[place]:
            columns.append((place, by_worth[..., pool]))
    if "start" in layout.shared:
        start_S, d_S = (natural_SX[:, layout.place(name)] for name in ("start", "d"))
        base_S = np.log(np.maximum(start_S - d_S, _LEAST_ABOVE))
    else:
        held = not problem.free_X[layout.place("A")]
        base_S = np.full(len(natural_SX), problem.start_X[layout.place("A")] if held else 0.0)
    base_SR = np.broadcast_to(base_S[:, None], shape)
    if "b" in layout.shared and not problem.free_X[layout.place("b")]:
        base_SR = base_SR + problem.start_X[layout.place("b")] * fall.shared["b"]
    return base_SR, columns


def _parameters(problem: Problem, natural_SX: Floats) -> Parameters:
    return to_parameters(problem.layout, natural_SX[:, None, :], problem.reference_P, problem.num_params)


def _grid(problem: Problem) -> Floats:
    """Coordinates of every combination of shared values and one half-life; what is held stays."""
    lower, upper, layout = problem.limits.lower_X, problem.limits.upper_X, problem.layout
    axes: dict[str, tuple[float, ...]] = {}
    free = {name for place, name in enumerate(layout.shared) if problem.free_X[place]}
    n0 = layout.place("n0")
    if "n0" in free:
        axes["n0"] = tuple(lower[n0] + np.array(_N0_PLACES) * (upper[n0] - lower[n0]))
    if "d" in free:
        axes["d"] = tuple(np.array(_D_SHARES) * upper[layout.place("d")])
    if "gamma" in free:
        axes["gamma"] = _GAMMAS
    if "size" in free:
        axes["size"] = tuple(np.log(np.array(_SIZE_SHARES) * np.exp(problem.log_error_R.min())))
    lives = problem.free_X[layout.half_lives]
    rows = []
    half_lives = np.log(_CROWDED_HALF_LIVES if "room" in free else _HALF_LIVES)
    for values in product(*axes.values(), half_lives if lives.any() else (0.0,)):
        start_X = problem.start_X.copy()
        for name, value in zip(axes, values, strict=False):
            start_X[layout.place(name)] = value
        fitted_tau = np.flatnonzero(lives) + layout.half_lives.start
        start_X[fitted_tau] = np.clip(values[-1], lower[fitted_tau], upper[fitted_tau])
        rows.append(start_X)
    return np.array(rows)
