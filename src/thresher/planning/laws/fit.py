"""The joint fit of laws to the runs of all pools: nonlinear least squares in the log of the error.

Meeting point (n0, A + d) and d are shared unless pools get their own A or d, b and tau are each pool's own,
gamma is fitted where a pool was repeated at two subsample sizes. The loss is Huber's, the Jacobian analytic,
the starts deterministic, and weak priors (`limits.py`) settle what few noisy runs leave open. Runs of one
metric, recipe and model are taken, and refused with a sentence where they are too few. With `law="auto"`
several laws are fitted and weighed by how well they predict the longest runs (`law_weights.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from thresher.errors import InputError
from thresher.planning.laws.doubt import USUAL_DRIFT, USUAL_MIXES, USUAL_POOLS, Doubt, doubt_of
from thresher.planning.laws.fitted import Made, made_from, score, with_profiles
from thresher.planning.laws.law import Floats, Law, shared_names
from thresher.planning.laws.law_weights import (
    LawTrial,
    candidates,
    hold_out,
    judge_checks,
    log_evidence,
    most_repeated,
    registered,
    stacked_weights,
    try_law,
    weights_of,
)
from thresher.planning.laws.layout import design_of, layout_of
from thresher.planning.laws.limits import check_own, hold
from thresher.planning.laws.predict import predict_designs
from thresher.planning.laws.registry import LAWS
from thresher.planning.laws.result import Check, Laws, Point
from thresher.planning.laws.signal import chance_of, nothing_in, signal_of
from thresher.planning.laws.solve import solve_runs
from thresher.planning.laws.status import (
    choice_status,
    order_warnings,
    outlier_warnings,
    run_warnings,
    structure_warnings,
)
from thresher.planning.laws.surface import is_dense, places, tune_surface
from thresher.planning.runs.nested import disjoint, nested_warnings
from thresher.planning.runs.record import Run, is_loss, mix_weights

BASELINE = "power"
BASIC = "utility"
"""The law by which pools are held against each other."""
INTERVALS = ("bootstrap", "profile")


def fit(
    runs: Sequence[Run],
    *,
    law: str = "auto",
    metric: str | None = None,
    recipe: str | None = None,
    model: str | None = None,
    pool_order: Sequence[str] | None = None,
    within: Mapping[str, str] | None = None,
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
        within: Pools that lie in another one, to that one: the fit is of the disjoint parts.
        fixed: Values at which to hold shared parameters, such as d.
        own: "d", "A" or both: every pool has its own, near a shared one. Laws without A share their start.
        num_draws: Bootstrap refits, shared out among the laws by weight; 0 for none.
        seed: Of the bootstrap. The same runs and seed give the same fit.
        intervals: Of the parameters: "bootstrap", from the draws, or "profile" likelihood. Predictions and
            plans take their doubt from the draws either way.

    Raises:
        InputError: where the runs cannot be fitted: none with role "fit", several metrics, recipes or
            models, fewer runs than parameters; or where pools cannot lie `within` one another so.
    """
    if intervals not in INTERVALS:
        raise InputError(f"there are no {intervals!r} intervals; choose {' or '.join(INTERVALS)}")
    fixed = {} if fixed is None else fixed
    given, within = comparable(runs, metric=metric, recipe=recipe, model=model), dict(within or {})
    used = disjoint(given, within)
    fit_runs = [run for run in used if run.role == "fit"]
    if not fit_runs:
        raise InputError("no run has the role `fit`; probe the pools, or set the role of the runs to fit")
    names = candidates(fit_runs, fixed) if law == "auto" else (registered(law).name,)
    check_held(fixed, names, min(run.error for run in fit_runs))
    pools = ordered_pools(fit_runs, pool_order)
    check_own(own, fixed, [registered(name) for name in names], len(pools))
    signal, spread = signal_of(registered(BASIC), fit_runs, pools, held_of(registered(BASIC), fixed))
    tried = dict.fromkeys((*names, BASELINE))
    held = {name: held_of(registered(name), fixed) for name in tried}
    trials = {
        name: try_law(registered(name), fit_runs, pools, held[name], own, spread=spread) for name in tried
    }
    solved = {
        name: solve_runs(
            registered(name),
            fit_runs,
            pools,
            held[name],
            own,
            spread=spread,
            near=None if trial is None else trial.solved,
        )
        for name, trial in trials.items()
    }
    weights = {law: 1.0}
    if law == "auto":
        fitted = dict(solved)
        if not any(problem.free_X[problem.layout.half_lives].any() for problem, _ in fitted.values()):
            fitted.pop(BASELINE, None)  # without repetition it agrees with the others and would deny all wear
        evidence = {name: log_evidence(*found) for name, found in fitted.items()}
        fitted_trials = {name: trials[name] for name in fitted}
        known = [run for run in used if run.role == "check" and set(mix_weights(run)) <= set(pools)]
        checks: dict[str, float] = {}
        for name, (problem, solution) in fitted.items() if known else ():
            checks[name] = judge_checks(problem, solution, known)
        noise = min(problem.noise for problem, _ in fitted.values())
        # with a surface above them laws agree, and what tells them apart on runs held out is not wear
        stacked = None if is_dense(fit_runs) else stacked_weights(fitted_trials, fit_runs)
        weights = stacked or weights_of(trials, evidence, checks, noise)
    ends = np.rint(np.cumsum([0.0, *weights.values()]) * num_draws).astype(int)
    made = {}
    for name, count in zip(weights, np.diff(ends).tolist(), strict=True):
        made[name] = made_from(solved[name], fit_runs, held[name], count, seed)
        if intervals == "profile":
            made[name] = with_profiles(made[name])
    best = made[next(iter(weights))]
    laws = Laws(
        metric=used[0].metric,
        recipe=next((run.recipe for run in used if run.recipe is not None), None),
        model=models.pop() if len(models := {run.model for run in used} - {None}) == 1 else None,
        fits=tuple(one.fit for one in made.values()),
        weights=tuple(weights.values()),
        comparison=tuple(
            score(name, trials[name], solved[name], len(hold_out(fit_runs)[1]), weights.get(name, 0.0))
            for name in tried
        ),
        warnings=(
            *run_warnings(fit_runs),
            *nested_warnings(given, within),
            *outlier_warnings(best.problem, best.solution, fit_runs),
            *structure_warnings(best.problem, best.solution),
            *(order_warnings(best.problem, best.solution, best.draws_SX) if pool_order else ()),
        ),
        longest=float(max(run.samples_seen for run in fit_runs)),
        chance_error=chance_of(fit_runs),
        doubt=_doubt(trials, weights, fit_runs, pools, best),
        signal=signal,
        within=within,
        replacement=all(run.replacement is True for run in fit_runs),
        params=max((run.params for run in fit_runs if run.params is not None), default=None),
    )
    repeated = most_repeated(fit_runs) is not None
    status = choice_status(laws, automatic=law == "auto", most_repeated=repeated)
    nothing = nothing_in(signal)
    if nothing is not None:
        status.append(f"Nothing to decide: {nothing}")
    laws = _on_surface(replace(laws, status=tuple(status)), fit_runs)
    return _with_points(laws, fit_runs, [run for run in used if run.role == "check"])


def _doubt(
    trials: Mapping[str, LawTrial | None],
    weights: Mapping[str, float],
    runs: Sequence[Run],
    pools: Sequence[str],
    best: Made,
) -> Doubt:
    """How far mixes may stray from the laws, by what all of them together made of the longest runs."""
    shorter, longest = hold_out(runs)
    tried = {name: trial for name in weights if (trial := trials[name]) is not None}
    if not tried:
        return Doubt(drift=USUAL_DRIFT, pools=USUAL_POOLS, mixes=USUAL_MIXES)
    total = sum(weights[name] for name in tried)
    return doubt_of(
        np.asarray(sum(weights[name] / total * trial.ratio_H for name, trial in tried.items())),
        longest,
        shorter,
        pools,
        noise=best.problem.noise,
        bound=None if is_loss(runs[0].metric) else 1.0,
        d=best.fit.shared["d"],
    )


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


def _on_surface(laws: Laws, runs: Sequence[Run]) -> Laws:
    """The laws with a surface of what they leave over, and its noise, where the runs are dense."""
    if not is_dense(runs):
        return laws
    points = _points(laws, runs)
    error_R = np.array([run.error for run in runs])
    residual_R = np.log(error_R) - np.log([point.predicted for point in points])
    surface = tune_surface(places(design_of(runs, laws.pool_names, sized=True)), residual_R)
    noise = float(surface.noise * np.exp(np.log(error_R).mean()))
    fits = tuple(replace(fit, noise=noise) for fit in laws.fits)
    return replace(laws, fits=fits, surface=surface, points=points)


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


def held_of(law: Law, fixed: Mapping[str, float]) -> dict[str, float]:
    """What of `fixed` this law has."""
    return {name: value for name, value in fixed.items() if name in shared_names(law, sized=True)}


def check_held(fixed: Mapping[str, float], names: Sequence[str], least_error: float) -> None:
    """Refuse a parameter that none of these laws has, or a value that one of them cannot take."""
    known = dict.fromkeys(held for name in names for held in shared_names(LAWS[name], sized=True))
    for held in fixed:
        if held not in known:
            raise InputError(f"cannot hold {held!r}; one of {', '.join(known)} can be held")
    for name in names:
        layout = layout_of(LAWS[name], (), sized=True)
        free_X = np.ones(layout.size, bool)
        hold(held_of(LAWS[name], fixed), layout, np.zeros(layout.size), free_X, least_error)


def comparable(runs: Sequence[Run], **wanted: str | None) -> list[Run]:
    """Runs of one metric, recipe and model, roles "fit" and "check"; refuses to mix them.

    Models of known sizes are one family, whose law has a term for the size.
    """
    used = [run for run in runs if run.role in ("fit", "check")]
    for name, value in wanted.items():
        found = sorted({str(getattr(run, name)) for run in used if getattr(run, name) is not None})
        if value is not None:
            used = [run for run in used if getattr(run, name) == value]
            if not used:
                raise InputError(
                    f"no run has the {name} {value!r}; the runs have {', '.join(found) or 'none'}"
                )
        elif len(found) > 1 and not (name == "model" and all(run.params for run in used)):
            raise InputError(
                f"the runs mix {len(found)} {name}s ({', '.join(found)}), which one law cannot describe; "
                f"choose one with {name}={found[0]!r}"
                + (", or give the `params` of every run" if name == "model" else "")
            )
    return used


def ordered_pools(runs: Sequence[Run], pool_order: Sequence[str] | None) -> list[str]:
    """Pools of the runs in the given order, those that it leaves out last."""
    seen = list(dict.fromkeys(pool for run in runs for pool in mix_weights(run)))
    if pool_order is None:
        return seen
    return [pool for pool in pool_order if pool in seen] + [pool for pool in seen if pool not in pool_order]
