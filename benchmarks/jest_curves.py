"""Accuracy of a method over steps and FLOPs, from runs of several lengths and seeds."""

import math
from dataclasses import dataclass

import numpy as np

KINDS = ("train", "score", "select")


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A method: means over its seeds at every length.

    Attributes:
        method: its name.
        lr: its learning rate.
        seeds: of the runs.
        steps: lengths, ascending.
        values: metric of each seed at each length, [seeds][lengths].
        also: further metrics, likewise.
        flops: by kind at each length.
        clean: mean share of right captions among the pairs trained on, at each length.
        ranks: mean rank correlation of scores at low and at full resolution, nan where there is none.
    """

    method: str
    lr: float
    seeds: tuple[int, ...]
    steps: tuple[int, ...]
    values: tuple[tuple[float, ...], ...]
    also: dict[str, tuple[tuple[float, ...], ...]]
    flops: tuple[dict[str, float], ...]
    clean: tuple[float, ...]
    ranks: float = math.nan

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean over the seeds at each length."""
        return tuple(np.mean(self.values, axis=0).tolist())

    @property
    def total_flops(self) -> tuple[float, ...]:
        """FLOPs of all kinds but the reference's at each length."""
        return tuple(sum(flops[kind] for kind in KINDS) for flops in self.flops)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """Where a curve reaches a value.

    Attributes:
        steps: by straight lines over log steps between the lengths; the first length where it lies above.
        measured: the first length whose mean is no lower.
        flops: by kind, at `steps`.
    """

    steps: float
    measured: int
    flops: dict[str, float]


def reach(curve: Curve, target: float) -> Reached | None:
    """Where the mean of a curve reaches `target`; None where no length does."""
    mean, steps = curve.mean, curve.steps
    place = next((k for k, value in enumerate(mean) if value >= target), None)
    if place is None:
        return None
    share = 1.0
    if place > 0:
        share = (target - mean[place - 1]) / (mean[place] - mean[place - 1])
        share = np.log(steps[place - 1]) * (1 - share) + np.log(steps[place]) * share
        share = float(np.exp(share)) / steps[place]
    flops = {kind: share * curve.flops[place][kind] for kind in KINDS}
    return Reached(steps=share * steps[place], measured=steps[place], flops=flops)


def value_at(curve: Curve, flops: float, extra: float = 0.0) -> float | None:
    """Mean of a curve where it and `extra` have cost `flops`, on straight lines over log FLOPs.

    The best of what costs no more than that; None where even the shortest run costs more.
    """
    spent = np.asarray(curve.total_flops) + extra
    if flops < spent[0]:
        return None
    within = [value for value, cost in zip(curve.mean, spent, strict=True) if cost <= flops]
    return float(max([*within, np.interp(np.log(flops), np.log(spent), curve.mean)]))
