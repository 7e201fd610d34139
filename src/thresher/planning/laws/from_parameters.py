"""Laws whose parameters are known: a short laws file that a person writes, such as a published fit.

    {"schema": "thresher.laws", "version": 1, "law": "utility", "metric": "imagenet_error",
     "shared": {"A": 1, "n0": 4e6, "d": 0.1},
     "pools": [{"name": "top 10%", "b": -0.16, "tau": 6.73, "num_unique": 12800000}]}

The parameters have the names of the law. `num_unique` is the pool size at which `tau` holds, and the size of
the pool where `pool_samples` does not say another. `gamma` is 1, `harm` and `tail` 0, and
`mixing` as published (0, but 1 in the saturating law) where they are left out. A law with a term for the size
of the model has `size` and `alpha`, and `num_params` at which `size` holds beside `shared`. There are no
draws, so predictions have no intervals.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from thresher.errors import InputError
from thresher.planning.laws.fits import Fit, PoolLaw
from thresher.planning.laws.law import LOGARITHMIC, SIZE, Law, shared_names
from thresher.planning.laws.layout import layout_of
from thresher.planning.laws.registry import LAWS
from thresher.planning.laws.result import Laws
from thresher.planning.runs.record import is_loss
from thresher.tables import decimal

_WHERE_LEFT_OUT = {"gamma": 1.0, "harm": 0.0, "tail": 0.0, "mixing": 0.0}
_STATUS = "The parameters were given, not fitted: predictions have no intervals."


def laws_from_parameters(record: Mapping[str, Any]) -> Laws:
    """The laws of a file that holds parameters in place of fits.

    Raises:
        InputError: naming a parameter that is missing, strange or out of its range.
    """
    name, metric = _text(record, "law"), _text(record, "metric")
    if name not in LAWS:
        raise InputError(f"there is no law {name!r}; choose one of {', '.join(LAWS)}")
    law, given = LAWS[name], _mapping(record.get("shared"), "shared")
    sized = bool(set(SIZE) & set(given))
    shared = _shared(law, given, sized=sized, loss=is_loss(metric))
    pools = record.get("pools")
    if not isinstance(pools, Sequence) or isinstance(pools, str) or not pools:
        raise InputError("`pools` is no list of pools; give each pool with its name and parameters")
    known = [_pool(law, _mapping(pool, "a pool")) for pool in pools]
    names = [pool.name for pool in known]
    twice = next((pool for pool in names if names.count(pool) > 1), None)
    if twice is not None:
        raise InputError(f"pool {twice!r} stands there twice; drop one of them")
    num_params = (
        _size(record, "num_params", "the size term needs the model size at which it holds") if sized else None
    )
    fit = Fit(
        law=name,
        shared=shared,
        pools=tuple(known),
        num_params=num_params,
        intervals={},
        noise=_number(record.get("noise", 0.0), "noise"),
        status=(),
        draws_SX=np.empty((0, layout_of(law, names, sized=sized).size)),
        draw_names=layout_of(law, names, sized=sized).names,
    )
    return Laws(
        metric=metric,
        recipe=_label(record, "recipe"),
        model=_label(record, "model"),
        fits=(fit,),
        weights=(1.0,),
        status=(_STATUS,),
        params=num_params,
    )


def _label(record: Mapping[str, Any], name: str) -> str | None:
    return None if record.get(name) is None else str(record[name])


def _shared(law: Law, given: Mapping[str, Any], *, sized: bool, loss: bool) -> dict[str, float]:
    names = shared_names(law, sized=sized)
    for name in given:
        if name not in names:
            raise InputError(f"the {law.name} law has no parameter {name!r}; its own are {', '.join(names)}")
    shared = {}
    usual = {**_WHERE_LEFT_OUT, "mixing": 1.0} if law.worth == "quality" else _WHERE_LEFT_OUT
    for name in names:
        if name not in given and name not in usual:
            raise InputError(f"`shared` lacks {name!r}; the {law.name} law has {', '.join(names)}")
        shared[name] = _parameter(name, given.get(name, usual.get(name)))
    if shared["d"] >= 1 and not loss:
        raise InputError(
            f"d is {decimal(shared['d'])}; an irreducible error lies below 1, or name the metric a loss"
        )
    return shared


def _pool(law: Law, given: Mapping[str, Any]) -> PoolLaw:
    name = _text(given, "name")
    own = (law.worth, "tau") if law.has_half_life else (law.worth,)
    missing = next((parameter for parameter in own if parameter not in given), None)
    if missing is not None:
        raise InputError(f"pool {name!r} lacks {missing!r}; give it")
    values = {parameter: _parameter(parameter, given[parameter], f" of pool {name!r}") for parameter in own}
    reason = f"pool {name!r} needs its number of samples"
    num_unique = _size(given, "num_unique", reason)
    whole = num_unique if given.get("pool_samples") is None else _size(given, "pool_samples", reason)
    return PoolLaw(name=name, values=values, num_unique=num_unique, pool_samples=whole, intervals={})


def _parameter(name: str, value: Any, of: str = "") -> float:
    number = _number(value, f"{name}{of}")
    if name in LOGARITHMIC and number <= 0:
        raise InputError(f"{name}{of} is {decimal(number)}; give a positive value")
    if name == "b" and number > 0:
        raise InputError(f"{name}{of} is {decimal(number)}; the error falls, so that b is at most 0")
    if name not in LOGARITHMIC and name != "b" and number < 0:
        raise InputError(f"{name}{of} is {decimal(number)}; give a value of at least 0")
    return number


def _size(record: Mapping[str, Any], name: str, reason: str) -> float:
    if record.get(name) is None:
        raise InputError(f"{reason}; give `{name}`")
    number = _number(record[name], name)
    if number < 1:
        raise InputError(f"`{name}` is {decimal(number)}; {reason}, at least 1")
    return number


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{name} is {value!r}; give a finite number")
    return float(value)


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"`{name}` is {value!r}; write it as text")
    return value


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{name} is {value!r}; write an object of names and values")
    return value
