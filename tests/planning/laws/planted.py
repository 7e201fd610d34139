"""Runs whose law is known, for any law."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from thresher.planning.laws.law import Floats, Law, Parameters, design, error, shared_names
from thresher.planning.laws.registry import LAWS
from thresher.planning.laws.utility import log_exposure
from thresher.planning.runs.record import Run

POOL_SIZE = 12_800_000
LENGTHS = (8_000_000, 32_000_000, 64_000_000, 128_000_000, 256_000_000)
REFERENCE_PARAMS = 1e8
_SHARED = {"A": 0.85, "start": 1.0, "n0": 4e6, "d": 0.1, "gamma": 1.0, "tail": 0.0, "harm": 0.1, "b": -0.2}
_SIZE = {"size": 0.1, "alpha": 0.35}


def parameters(
    law: str = "utility",
    *,
    tau: Sequence[float],
    b: float | Sequence[float] | None = None,
    quality: Sequence[float] | None = None,
    num_unique: float | Sequence[float] = POOL_SIZE,
    sized: bool = False,
    **shared: float,
) -> Parameters:
    """Parameters of a law; what is not given is ordinary. In a law with qualities `b` is shared."""
    if LAWS[law].worth == "quality":
        worth_P = quality
        shared |= {} if b is None else {"b": b}
    else:
        worth_P = b
    values = {**_SHARED, "mixing": float(LAWS[law].worth == "quality"), **_SIZE, **shared}
    names = shared_names(LAWS[law], sized=sized)
    assert set(shared) <= set(names)
    return Parameters(
        shared={name: np.asarray(values[name], float) for name in names},
        worth_P=np.asarray(worth_P, float),
        tau_P=np.asarray(tau, float),
        num_unique_P=np.broadcast_to(np.asarray(num_unique, float), len(tau)).copy(),
        num_params=REFERENCE_PARAMS if sized else None,
    )


PUBLISHED = parameters(
    b=(-0.16, -0.125, -0.10, -0.085), tau=(6.727272727, 8.545454545, 5.272727273, 2.272727273), A=1.0
)
"""The authors' utility fit of the T-MARS pools of DataComp medium."""


def predict(
    law: Law, truth: Parameters, samples_seen: ArrayLike, weights: ArrayLike, num_unique: ArrayLike
) -> Floats:
    """The error of exact passes by a law with these parameters; the arguments as in `Design`."""
    return error(law, truth, design(samples_seen, weights, num_unique))


def error_of_pool(
    samples_seen: ArrayLike,
    num_unique: float,
    *,
    A: float,
    n0: float,
    d: float,
    b: float,
    tau: float,
) -> Floats:
    """Error after training on one pool of `num_unique` samples by the utility law, exact passes."""
    seen, interval, half_life = (np.asarray(value, float) for value in (samples_seen, num_unique, tau))
    start = log_exposure(np.asarray(n0, float), interval, half_life).value
    return np.asarray(A * np.exp(b * (log_exposure(seen, interval, half_life).value - start)) + d)


def planted_run(
    truth: Parameters,
    weights: Sequence[float],
    samples_seen: int,
    *,
    law: str = "utility",
    noise: float = 0.0,
    **fields,
):
    """A run on pools p0, p1, ... with the error of `truth`.

    `unique` overrides the size of the pools; `params` and `replacement` reach the law, too.
    """
    unique = np.broadcast_to(fields.pop("unique", truth.num_unique_P), len(weights))
    of = design(
        samples_seen,
        weights,
        unique,
        num_params=fields.get("params"),
        replacement=bool(fields.get("replacement")),
    )
    drawn = [number for number, weight in enumerate(weights) if weight > 0]
    one = len(drawn) == 1
    return Run(
        pool=f"p{drawn[0]}" if one else None,
        weights=None if one else {f"p{number}": float(weights[number]) for number in drawn},
        unique_samples=int(unique[drawn[0]])
        if one
        else {f"p{number}": int(unique[number]) for number in drawn},
        samples_seen=samples_seen,
        error=float(error(LAWS[law], truth, of)) + noise,
        **{"metric": "zeroshot_error", "final": True, **fields},
    )


def planted_runs(
    truth: Parameters,
    *,
    law: str = "utility",
    noise: float = 0.0,
    seed: int = 0,
    lengths: Sequence[int] = LENGTHS,
    **fields,
):
    """One run a pool and length."""
    rng = np.random.default_rng(seed)
    return [
        planted_run(truth, row, length, law=law, noise=noise * rng.standard_normal(), **fields)
        for row in np.eye(truth.tau_P.size)
        for length in lengths
    ]
