from dataclasses import replace

import numpy as np
import pytest

from tests.planning.laws.planted import parameters, planted_run
from thresher.planning.laws import descent
from thresher.planning.laws import solve as solving
from thresher.planning.laws.problem import build_problem, predictions
from thresher.planning.laws.registry import LAWS
from thresher.planning.laws.solve import solve

POOLS = tuple(f"p{place}" for place in range(5))
B = (-0.2, -0.17, -0.13, -0.1, -0.07)
TAU = (6.0, 3.0, 8.0, 4.0, 2.5)
LENGTHS = (25_600_000, 51_200_000, 76_800_000, 102_400_000, 128_000_000)


def problem_of(noise=0.0, seed=0, own=()):
    truth = parameters(b=B, tau=TAU)
    rng = np.random.default_rng(seed)
    runs = []
    for place in range(len(POOLS)):
        for length in LENGTHS:
            run = planted_run(truth, np.eye(5)[place], length)
            runs.append(replace(run, error=run.error + noise * rng.standard_normal()))
    return build_problem(LAWS["utility"], runs, POOLS, {}, own)


def test_without_noise_it_finds_what_was_planted():
    problem, solution = solve(problem_of())
    layout = problem.layout
    np.testing.assert_allclose(solution.coordinates_X[layout.worths], B, rtol=1e-3)
    np.testing.assert_allclose(np.exp(solution.coordinates_X[layout.half_lives]), TAU, rtol=1e-3)
    assert solution.converged


@pytest.mark.parametrize("own", [(), ("d",)])
def test_the_same_table_gives_the_same_bytes(own):
    first, again = (solve(problem_of(0.003, 1, own)) for _ in range(2))
    assert first[1].coordinates_X.tobytes() == again[1].coordinates_X.tobytes()
    assert first[0].noise == again[0].noise
    assert first[1].huber_scale == again[1].huber_scale


def test_the_order_of_the_runs_does_not_matter():
    whole = problem_of(0.003, 2)
    turned = np.random.default_rng(0).permutation(whole.log_error_R.size)
    of = replace(
        whole.design,
        samples_seen=whole.design.samples_seen[turned],
        weights=whole.design.weights[turned],
        num_unique=whole.design.num_unique[turned],
    )
    mixed = replace(
        whole,
        design=of,
        log_error_R=whole.log_error_R[turned],
        scale_R=whole.scale_R[turned],
        weight_R=whole.weight_R[turned],
    )
    one, other = solve(whole)[1], solve(mixed)[1]
    np.testing.assert_allclose(other.coordinates_X, one.coordinates_X, atol=1e-3)
    assert other.cost == pytest.approx(one.cost, rel=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_a_fit_takes_few_looks_at_the_runs(monkeypatch, seed):
    looks = []
    count = descent.residuals
    monkeypatch.setattr(descent, "residuals", lambda *given: looks.append(len(given[1])) or count(*given))
    solve(problem_of(0.003, seed))
    assert len(looks) < 130
    assert sum(looks) < 700


class Begun(Exception):
    """The first descent begins."""


def starts_of(problem, monkeypatch):
    """Where the first descent begins, [S, X]."""

    def descend(problem, start_SX, *_, **__):
        raise Begun(start_SX)

    monkeypatch.setattr(solving, "descend", descend)
    with pytest.raises(Begun) as begun:
        solve(problem)
    return begun.value.args[0]


@pytest.mark.parametrize("name", ["utility", "bounded"])
@pytest.mark.parametrize("n0_place", [0.05, 0.35, 0.6, 0.8, 0.95])
@pytest.mark.parametrize("d_share", [0.0, 0.3])
def test_what_is_planted_on_the_grid_is_a_start_already(monkeypatch, name, n0_place, d_share):
    earliest = np.log(LENGTHS[0] / 1000)
    latest = np.log(LENGTHS[-1]) if name == "bounded" else np.log(LENGTHS[0] * LENGTHS[-1]) / 2
    begin = {"start": 1.0} if name == "bounded" else {"A": 0.5}
    n0 = np.exp(earliest + n0_place * (latest - earliest))

    def runs_of(d):
        truth = parameters(name, b=B[:2], tau=(6.0, 6.0), n0=n0, d=d, **begin)
        return [planted_run(truth, row, length, law=name) for row in np.eye(2) for length in LENGTHS]

    least, above = (min(run.error for run in runs_of(d)) for d in (0.0, 0.1))
    slope = (above - least) / 0.1  # the error is linear in d
    share = 0.98 * d_share  # of the smallest error, as d may be 98% of it at most
    runs = runs_of(share * least / (1 - share * slope))
    problem = build_problem(LAWS[name], runs, POOLS[:2], {})
    predicted_SR, _ = predictions(problem, starts_of(problem, monkeypatch))
    off_S = np.abs(np.log(predicted_SR) - problem.log_error_R).max(1)
    assert off_S.min() < 1e-4
