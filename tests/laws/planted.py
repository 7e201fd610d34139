"""Runs whose law is known."""

from collections.abc import Sequence

import numpy as np

from thresher.laws import LAWS
from thresher.laws.mix import Parameters, predict
from thresher.runs import Run

POOL_SIZE = 12_800_000
LENGTHS = (8_000_000, 32_000_000, 64_000_000, 128_000_000, 256_000_000)


def parameters(
    *,
    b: Sequence[float],
    tau: Sequence[float],
    A: float = 0.85,
    n0: float = 4e6,
    d: float = 0.1,
    gamma: float = 1.0,
    num_unique: float = POOL_SIZE,
) -> Parameters:
    return Parameters(
        A=np.asarray(A),
        n0=np.asarray(n0),
        d=np.asarray(d),
        gamma=np.asarray(gamma),
        b_P=np.asarray(b, float),
        tau_P=np.asarray(tau, float),
        num_unique_P=np.full(len(b), float(num_unique)),
    )


PUBLISHED = parameters(
    b=(-0.16, -0.125, -0.10, -0.085), tau=(6.727272727, 8.545454545, 5.272727273, 2.272727273), A=1.0
)
"""The authors' utility fit of the T-MARS pools of DataComp medium."""


def planted_run(
    truth: Parameters, weights: Sequence[float], samples_seen: int, *, noise: float = 0.0, **fields
):
    """A run on pools p0, p1, ... with the error of `truth`; `unique` overrides the size of the pools."""
    unique = fields.pop("unique", POOL_SIZE)
    error = float(predict(LAWS["utility"], truth, samples_seen, weights, np.full(len(weights), unique)))
    drawn = [number for number, weight in enumerate(weights) if weight > 0]
    one = len(drawn) == 1
    return Run(
        pool=f"p{drawn[0]}" if one else None,
        weights=None if one else {f"p{number}": weights[number] for number in drawn},
        unique_samples=unique if one else {f"p{number}": unique for number in drawn},
        samples_seen=samples_seen,
        error=error + noise,
        **{"metric": "zeroshot_error", "final": True, **fields},
    )


def planted_runs(
    truth: Parameters, *, noise: float = 0.0, seed: int = 0, lengths: Sequence[int] = LENGTHS, **fields
):
    """One run a pool and length."""
    rng = np.random.default_rng(seed)
    return [
        planted_run(truth, row, length, noise=noise * rng.standard_normal(), **fields)
        for row in np.eye(truth.b_P.size)
        for length in lengths
    ]
