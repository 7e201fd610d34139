"""The schedule of a run: its learning rate, and how many candidates each step draws for a batch.

The rate warms up, stays and decays. The trunk trains at a constant rate; for each measuring point a branch
leaves it and cools down to zero, so that one run gives several end-of-training points.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from thresher.errors import InputError
from thresher.tables import decimal
from thresher.train.recipe import Recipe


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
    ends = [whole_steps(point, batch_size) for point in points]
    return [Branch(start=min(end - 1, round(end * (1 - cooldown))), end=end) for end in ends]


def whole_steps(samples: float, batch_size: int) -> int:
    """The number of steps that comes nearest to so many samples, at least one."""
    return max(1, round(samples / batch_size))


def learning_rate(step: int, peak: float, warmup_steps: int, branch: Branch | None) -> float:
    """Rate of step number `step` (from 0): linear warm-up, constant, and linear to zero in a branch."""
    rate = peak * min(1.0, (step + 1) / max(1, warmup_steps))
    if branch is not None and step >= branch.start:
        rate *= (branch.end - step) / (branch.end - branch.start + 1)
    return rate


def filter_ratio(recipe: Recipe, samples_seen: int, samples_end: int) -> float:
    """Share of the candidates that is left out after `samples_seen` of a run that ends at `samples_end`.

    0 where nothing is selected. Between `select_from` and `select_to` it moves from `filter_ratio` to
    `filter_ratio_end`, if there is one.
    """
    end = samples_end if recipe.select_to is None else min(recipe.select_to, samples_end)
    if not recipe.selects or not recipe.select_from <= samples_seen < end:
        return 0.0
    if recipe.filter_ratio_end is None:
        return recipe.filter_ratio
    way = (samples_seen - recipe.select_from) / max(1, end - recipe.batch_size - recipe.select_from)
    return recipe.filter_ratio + min(1.0, way) * (recipe.filter_ratio_end - recipe.filter_ratio)


def num_candidates(recipe: Recipe, step: int, samples_end: int, world: int = 1) -> int:
    """Pairs that step number `step` (from 0) draws, over all `world` ranks; divides by their number.

    >>> num_candidates(Recipe(model="ViT-B-32", select="joint", filter_ratio=0.8), 0, 10**6)
    320
    """
    ratio = filter_ratio(recipe, step * recipe.batch_size, samples_end)
    if ratio == 0:
        return recipe.batch_size
    return max(recipe.batch_size, world * math.ceil(round(recipe.batch_size / (1 - ratio)) / world))


def most_candidates(recipe: Recipe, world: int = 1) -> int:
    """The largest super-batch of a run.

    Raises:
        InputError: a filter ratio is not in [0, 1), or the selected stretch is empty.
    """
    for ratio in (recipe.filter_ratio, recipe.filter_ratio_end):
        if ratio is not None and not 0 <= ratio < 1:
            raise InputError(
                f"filter_ratio {decimal(ratio)} is not in [0, 1); .8 trains on one candidate in five"
            )
    if recipe.select_to is not None and recipe.select_to <= recipe.select_from:
        raise InputError(
            f"select_to {recipe.select_to} is not above select_from {recipe.select_from}, so nothing would "
            "be selected; raise it"
        )
    if not recipe.selects:
        return recipe.batch_size
    ratio = max(recipe.filter_ratio, recipe.filter_ratio_end or 0.0)
    return max(recipe.batch_size, world * math.ceil(round(recipe.batch_size / (1 - ratio)) / world))
