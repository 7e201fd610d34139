"""Laws made of draws around known values, without a fit."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from thresher.planning.laws.fits import Fit, PoolLaw
from thresher.planning.laws.layout import layout_of
from thresher.planning.laws.registry import LAWS
from thresher.planning.laws.result import Laws
from thresher.planning.plans.prediction import Predictor

POOL_SIZE = 12_800_000
B = (-0.16, -0.125, -0.10, -0.085)
TAU = (6.727272727, 8.545454545, 5.272727273, 2.272727273)
_SHARED = {"A": 1.0, "start": 1.0, "n0": 4e6, "d": 0.1, "tail": 0.0, "gamma": 1.0, "harm": 0.2, "b": -0.2}


def drawn_laws(
    worth: Sequence[float] = B,
    tau: Sequence[float] = TAU,
    *,
    law: str = "utility",
    spread: float = 0.0,
    num_draws: int = 100,
    seed: int = 0,
    metric: str = "imagenet_error",
    size: int = POOL_SIZE,
    **shared: float,
) -> Laws:
    """Laws of pools p0, p1, ...; in the draws worth varies by the share `spread`, half-lives by thrice it.

    Without spread there are no draws: the laws are known.
    """
    names = [f"p{number}" for number in range(len(worth))]
    layout = layout_of(LAWS[law], names, sized=False)
    values = {**_SHARED, "mixing": 0.5 if LAWS[law].worth == "quality" else 0.0, **shared}
    middle_X = np.array([*(values[name] for name in layout.shared), *worth, *tau])
    scale_X = np.zeros(middle_X.size)
    scale_X[layout.worths], scale_X[layout.half_lives] = spread, 3 * spread
    noise_SX = np.random.default_rng(seed).standard_normal((num_draws if spread else 0, middle_X.size))
    fit = Fit(
        law=law,
        shared={name: values[name] for name in layout.shared},
        pools=tuple(
            PoolLaw(
                name=name,
                values={layout.worth: worth[number], "tau": tau[number]},
                num_unique=size,
                pool_samples=size,
                intervals={},
            )
            for number, name in enumerate(names)
        ),
        num_params=None,
        intervals={},
        noise=0.003,
        status=(),
        draws_SX=middle_X * np.exp(scale_X * noise_SX),
        draw_names=layout.names,
    )
    return Laws(metric=metric, recipe=None, model=None, fits=(fit,), weights=(1.0,))


def both_laws(first: Laws, second: Laws) -> Laws:
    """Two laws that are equally likely."""
    return replace(first, fits=first.fits + second.fits, weights=(0.5, 0.5))


def predictor(laws: Laws, sizes: Sequence[float] | None = None) -> Predictor:
    """The laws for pools of these sizes, their own where absent."""
    own = [pool.pool_samples for pool in laws.pools]
    return Predictor(laws=laws, size_P=np.asarray(own if sizes is None else sizes, float))
