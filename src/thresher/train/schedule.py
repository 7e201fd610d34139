"""Learning rate of a warm-up-stable-decay run with cool-down branches.

The trunk trains at a constant rate; for each measuring point a branch leaves it and cools down to zero,
so that one run gives several end-of-training points.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One cool-down: leaves the trunk after `start` steps and ends after `end` steps."""

    start: int
    end: int


def branches(points: Sequence[int], batch_size: int, cooldown: float) -> list[Branch]:
    """Cool-downs that end at `points`.

    Args:
        points: samples seen at which a finished model is wanted, ascending.
        batch_size: samples a step.
        cooldown: share of a run that is spent cooling down, in (0, 1].

    Returns:
        One branch a point, in steps; a point is rounded to whole steps, at least one.
    """
    ends = [max(1, round(point / batch_size)) for point in points]
    return [Branch(start=min(end - 1, round(end * (1 - cooldown))), end=end) for end in ends]


def learning_rate(step: int, peak: float, warmup_steps: int, branch: Branch | None) -> float:
    """Rate of step number `step` (from 0): linear warm-up, constant, and linear to zero in a branch."""
    rate = peak * min(1.0, (step + 1) / max(1, warmup_steps))
    if branch is not None and step >= branch.start:
        rate *= (branch.end - step) / (branch.end - branch.start + 1)
    return rate
