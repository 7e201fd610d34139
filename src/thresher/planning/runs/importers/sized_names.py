"""Pools whose names differ in a size alone, such as LAION-80M and LAION-2B: one recipe at several sizes.

As pools of their own they would say that repetition costs nothing, since what repeating one of them costs
would pass for what that pool is worth.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from thresher.planning.runs.record import Run, mix_weights

_SIZE = re.compile(r"[-_ ]?(?<![\d.])\d+(?:\.\d+)?[KMB](?![A-Za-z0-9])", re.I)


def without_size(name: str) -> str | None:
    """The name without the size in it; None where there is none, or more than one, or nothing else.

    >>> without_size("LAION-400M"), without_size("laion2b_en"), without_size("top10")
    ('LAION', 'laion_en', None)
    """
    stem, number = _SIZE.subn("", name)
    return stem.strip("-_ ") or None if number == 1 else None


def one_recipe(placed: Sequence[tuple[str, Run]]) -> tuple[list[tuple[str, Run]], list[str]]:
    """The runs, pools of one recipe under one name, each with its own `unique_samples`; and what was joined.

    Pools stay apart where their sizes do not differ, where a run draws from two of them, or where another
    pool has the common name.
    """
    sizes: dict[str, set[float]] = {}
    together: set[str] = set()
    for _, run in placed:
        for pool in mix_weights(run):
            unique = run.unique_samples
            sizes.setdefault(pool, set()).add(unique[pool] if isinstance(unique, Mapping) else unique)
        stems = [without_size(pool) for pool in mix_weights(run)]
        together |= {stem for stem in stems if stem is not None and stems.count(stem) > 1}
    groups: dict[str, list[str]] = {}
    for pool in sizes:
        stem = without_size(pool)
        if stem is not None and stem not in sizes and stem not in together:
            groups.setdefault(stem, []).append(pool)
    joined = {
        stem: pools
        for stem, pools in groups.items()
        if len(pools) > 1 and len(set().union(*(sizes[pool] for pool in pools))) >= len(pools)
    }
    names = {pool: stem for stem, pools in joined.items() for pool in pools}
    remarks = [
        f"{', '.join(pools)} are one recipe at {len(pools)} sizes by their names: their runs are on one "
        f"pool, {stem!r}, each with its own unique_samples; --sizes-apart keeps them apart"
        for stem, pools in joined.items()
    ]
    return [(place, _renamed(run, names)) for place, run in placed], remarks


def _renamed(run: Run, names: Mapping[str, str]) -> Run:
    def renamed(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {names.get(pool, pool): held for pool, held in value.items()}
        return value

    return replace(
        run,
        pool=None if run.pool is None else names.get(run.pool, run.pool),
        **{name: renamed(getattr(run, name)) for name in ("weights", "unique_samples", "pool_samples")},
    )
