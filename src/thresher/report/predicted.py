"""What the laws predict for a run or a mix over a grid of samples seen: mean and 5-95% band.

Axes: S draws, N samples seen, P pools.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from thresher.laws.interval import HIGH, LOW
from thresher.laws.law import Floats, design
from thresher.laws.result import Fit, Laws, predict_designs, utility_curve
from thresher.runs import Run, mix_unique, mix_weights


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Predicted:
    """Mean over the draws with the 5% and 95% quantiles; no quantiles where the laws have no draws."""

    mean: Floats
    low: Floats | None
    high: Floats | None


def predict_run(laws: Laws | None, run: Run, samples_seen: Floats) -> Predicted | None:
    """What runs like this one would reach, [N]; None without laws, or where a pool has none."""
    return predict_weights(
        laws,
        mix_weights(run),
        mix_unique(run),
        samples_seen,
        params=run.params,
        replacement=bool(run.replacement),
    )


def predict_weights(
    laws: Laws | None,
    weights: Mapping[str, float],
    unique: Mapping[str, float],
    samples_seen: Floats,
    *,
    params: float | None = None,
    replacement: bool = False,
) -> Predicted | None:
    """What a mix would reach, [N]; None without laws, or where a pool has no law or no size."""
    known = laws is not None and set(weights) <= set(laws.pool_names)
    if laws is None or not known or not all(unique.get(pool, 0) > 0 for pool in weights):
        return None
    total = sum(weights.values())
    weights_P = np.array([weights.get(name, 0.0) / total for name in laws.pool_names])
    unique_P = np.array([unique.get(name, 1.0) for name in laws.pool_names])
    size = laws.params if params is None else params
    with_replacement = np.full(samples_seen.shape, replacement)
    error_SN = predict_designs(
        laws,
        lambda fit: design(
            samples_seen,
            weights_P,
            unique_P,
            num_params=size if fit.num_params is not None else None,
            replacement=with_replacement,
        ),
    )
    return _summed_up(error_SN, has_draws=has_draws(laws))


def worth(fit: Fit, pool: str, repetitions: Floats) -> Predicted:
    """What a sample of the pool is worth on its k-th repetition, 1 when fresh."""
    fitted = utility_curve(fit, pool, repetitions)
    if len(fit.draws_SX) < 2:
        return Predicted(mean=fitted, low=None, high=None)
    drawn_SN = np.array([utility_curve(drawn, pool, repetitions) for drawn in _drawn(fit, pool)])
    low_N, high_N = np.quantile(drawn_SN, (LOW, HIGH), axis=0)
    return Predicted(mean=fitted, low=low_N, high=high_N)


def has_draws(laws: Laws) -> bool:
    """Whether there is a band to draw."""
    return any(len(fit.draws_SX) > 1 for fit in laws.fits)


def _summed_up(error_SN: Floats, *, has_draws: bool) -> Predicted:
    mean_N = error_SN.mean(0)
    if not has_draws:
        return Predicted(mean=mean_N, low=None, high=None)
    low_N, high_N = np.quantile(error_SN, (LOW, HIGH), axis=0)
    return Predicted(mean=mean_N, low=low_N, high=high_N)


def _drawn(fit: Fit, pool: str) -> Sequence[Fit]:
    """The fit with the parameters of each draw, for one pool."""
    place = {name: number for number, name in enumerate(fit.draw_names)}
    own = next(law for law in fit.pools if law.name == pool)
    drawn = []
    for row_X in fit.draws_SX:
        values = {name: float(row_X[place[f"{name}:{pool}"]]) for name in own.values}
        shared = {name: float(row_X[place[name]]) for name in fit.shared}
        drawn.append(
            dataclasses.replace(fit, shared=shared, pools=(dataclasses.replace(own, values=values),))
        )
    return drawn
