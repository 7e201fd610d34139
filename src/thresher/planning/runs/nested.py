"""Pools inside pools: runs on a whole become runs on a mix of its disjoint parts.

`within` says of a pool in which other one it lies, such as {"laion_filter": "no_filter"}. What the other one
holds beside it is a pool that no run draws from alone, `no_filter - laion_filter`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from thresher.errors import InputError, nearest
from thresher.planning.runs.record import Run, mix_pool_samples, mix_weights

Within = Mapping[str, str]
"""A pool to the one that it lies in; pools that lie in one and the same have nothing in common."""

_EVERYTHING = re.compile(r"(no|un)[ _-]?filter(ed)?|all|everything|raw|full|whole", re.I)
_TOP = re.compile(r"(?P<before>.*top[ _-]?)(?P<share>\d+(\.\d+)?)(?P<behind>\D*)", re.I)


def parts_of(pool: str, within: Within) -> list[str]:
    """The disjoint pools that make up a pool: those of the pools in it and, last, its rest.

    >>> parts_of("no_filter", {"laion_filter": "no_filter"})
    ['laion_filter', 'no_filter - laion_filter']
    """
    inside = _inside(pool, within)
    return [*(part for one in inside for part in parts_of(one, within)), " - ".join([pool, *inside])]


def part_sizes(sizes: Mapping[str, int], within: Within) -> dict[str, int]:
    """Samples in each disjoint pool, of those in the pools as a person knows them; empty rests are left out.

    Raises:
        InputError: `within` names a pool that there is not, is a ring, or a pool is larger than the one that
            it lies in.
    """
    for part, whole in within.items():
        unknown = next((name for name in (part, whole) if name not in sizes), None)
        if unknown is not None:
            raise InputError(f"within: there is no pool {unknown!r}; {nearest(unknown, list(sizes))}")
        above = [part]
        while above[-1] in within:
            above.append(within[above[-1]])
            if above[-1] in above[:-1]:
                raise InputError(f"within: {' lies in '.join(above)}; a pool lies in no part of itself")
    found = {}
    for pool, size in sizes.items():
        inside = _inside(pool, within)
        rest = size - sum(sizes[part] for part in inside)
        if rest < 0:
            raise InputError(
                f"within: the pools in {pool} ({', '.join(inside)}) hold {size - rest:,} samples, more than "
                f"its {size:,}; correct the sizes, or leave one out"
            )
        if rest or not inside:
            found[parts_of(pool, within)[-1]] = rest
    return found


def whole_sizes(sizes: Mapping[str, int], within: Within) -> dict[str, int]:
    """The sizes of the disjoint pools, and those of the pools that they make up."""
    wholes = {pool: sum(sizes.get(part, 0) for part in parts_of(pool, within)) for pool in within.values()}
    return {**wholes, **sizes}


def split_weights(weights: Mapping[str, float], sizes: Mapping[str, int], within: Within) -> dict[str, float]:
    """The weights of disjoint pools, of these sizes, that draw as these weights do."""
    found: dict[str, float] = {}
    for pool, weight in weights.items():
        parts = [part for part in parts_of(pool, within) if part in sizes] or [pool]
        total = sum(sizes.get(part, 0) for part in parts)
        for part in parts:
            share = sizes[part] / max(total, 1) if len(parts) > 1 else 1.0
            found[part] = found.get(part, 0.0) + weight * share
    return found


def wholes_in(pools: Sequence[str], within: Within) -> dict[str, str]:
    """The mix of disjoint pools, as a plan names it, to the pool that it is."""
    wholes = {whole: parts_of(whole, within) for whole in dict.fromkeys(within.values())}
    return {" + ".join(pool for pool in pools if pool in parts): whole for whole, parts in wholes.items()}


def disjoint(runs: Sequence[Run], within: Within) -> list[Run]:
    """The runs as runs on disjoint pools; those on pools in which none lies stay as they are.

    A pool is as large as the largest that a run says. A run on it draws from its parts in proportion.

    Raises:
        InputError: as `part_sizes`.
    """
    if not within:
        return list(runs)
    sizes = part_sizes({pool: round(size) for pool, size in _largest(runs).items()}, within)
    wholes = set(within.values())
    return [_split(run, sizes, within) if wholes & set(mix_weights(run)) else run for run in runs]


def _split(run: Run, sizes: Mapping[str, int], within: Within) -> Run:
    def split(counts: Any) -> Any:
        if counts is None or (run.pool is None and not isinstance(counts, Mapping)):
            return counts  # of the union, which is shared out by weight
        found: dict[str, int] = {}
        for pool in mix_weights(run):
            count = counts[pool] if isinstance(counts, Mapping) else counts
            for part, number in split_weights({pool: count}, sizes, within).items():
                found[part] = max(1, round(number), found.get(part, 1))
        return found

    changed = {name: split(getattr(run, name)) for name in ("unique_samples", "pool_samples")}
    return replace(run, pool=None, weights=split_weights(mix_weights(run), sizes, within), **changed)


def _largest(runs: Sequence[Run]) -> dict[str, float]:
    """The size of each pool, the largest that a run says."""
    sizes: dict[str, float] = {}
    for run in runs:
        for pool, size in mix_pool_samples(run).items():
            sizes[pool] = max(size, sizes.get(pool, 0.0))
    return sizes


def nested_warnings(runs: Sequence[Run], within: Within) -> list[str]:
    """A sentence where one pool could lie in another, by names and sizes, and `within` does not say so."""
    sizes, found = _largest(runs), {}
    for part in (pool for pool in sizes if pool not in within):
        around = [whole for whole in sizes if sizes[part] < sizes[whole] and _seems_within(part, whole)]
        if around:
            found[part] = min(around, key=sizes.__getitem__)
    if not found:
        return []
    pairs = sorted(found.items(), key=lambda pair: sizes[pair[0]])
    said = ", ".join(f"{part} in {whole}" for part, whole in pairs)
    options = " ".join(f"--within '{part}:{whole}'" for part, whole in pairs)
    return [
        f"By names and sizes pools could lie in one another ({said}). They were taken for disjoint, so that "
        f"a mix may hold pairs twice; where they do, fit again with {options} (or `within` in [plan])."
    ]


def _seems_within(part: str, whole: str) -> bool:
    one, other = _TOP.fullmatch(part), _TOP.fullmatch(whole)
    if one and other:
        same = (one["before"], one["behind"]) == (other["before"], other["behind"])
        return same and float(one["share"]) < float(other["share"])
    begins = part.startswith(whole) and part[len(whole)] in "_- .+"
    return begins or _EVERYTHING.fullmatch(whole) is not None


def _inside(pool: str, within: Within) -> list[str]:
    return [part for part, whole in within.items() if whole == pool]
