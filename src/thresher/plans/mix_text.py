"""Mixes as people and plans write them: "0-10% + 10-20%", or "0.7 x 0-10% + 0.3 x 10-20%"."""

import re
from collections.abc import Mapping

from thresher.errors import InputError

_WEIGHTED = re.compile(r"\s*(?P<weight>[0-9.]+(?:[eE][+-]?[0-9]+)?)\s*x\s+(?P<pool>.*\S)\s*")


def parse_mix(text: str, sizes: Mapping[str, float]) -> dict[str, float]:
    """Pool to sampling weight; drawn uniformly over the samples of the pools where no weights stand.

    Args:
        text: Names of pools joined by `+`, each with its weight before an `x` or none of them.
        sizes: Samples in each pool that there is.

    Raises:
        InputError: a pool is unknown or stands there twice, or only some of them have weights.

    >>> parse_mix("top + rest", {"top": 100, "rest": 300})
    {'top': 0.25, 'rest': 0.75}
    >>> parse_mix("3 x top + 1 x rest", {"top": 100, "rest": 300})
    {'top': 0.75, 'rest': 0.25}
    """
    if text.strip() in sizes:
        return {text.strip(): 1.0}
    weights: dict[str, float] = {}
    bare = 0
    for part in text.split(" + "):
        pool, weight = part.strip(), None
        match = _WEIGHTED.fullmatch(part)
        if pool not in sizes and match is not None:
            pool, weight = match["pool"], _weight(match["weight"], text)
        if pool not in sizes:
            raise InputError(f"mix {text!r}: there is no pool {pool!r}; there are {', '.join(sizes)}")
        if pool in weights:
            raise InputError(f"mix {text!r}: pool {pool!r} stands there twice; add its weights up")
        bare += weight is None
        weights[pool] = float(sizes[pool]) if weight is None else weight
    if 0 < bare < len(weights):
        raise InputError(f"mix {text!r}: give every pool a weight (0.7 x POOL), or none of them")
    total = sum(weights.values())
    if not total > 0:
        raise InputError(f"mix {text!r}: the weights sum to zero; give one pool a positive weight")
    return {pool: weight / total for pool, weight in weights.items()}


def _weight(text: str, mix: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"mix {mix!r}: {text!r} is not a number") from None
