"""What scoring and probing cost, and after how many samples seen they have paid for themselves.

The alternative that needs neither is training on everything. At a budget of n samples seen the plan has an
error that everything reaches only after n' samples; scoring and probing have paid back where n' - n is at
least what their FLOPs would have bought. Axes: S draws, G budgets of the plan's grid, H of a longer grid.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from thresher.errors import InputError
from thresher.planning.laws.law import Floats
from thresher.planning.laws.profile import HIGH, LOW
from thresher.planning.plans.frontier import Survey
from thresher.planning.plans.prediction import Predictor, errors
from thresher.planning.plans.result import Charge, Payback
from thresher.planning.runs.record import Run
from thresher.tables import number, percent, plain

_REACH = 50.0
"""Everything is followed to this many times the largest budget."""
_STEPS = 121


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """FLOPs that were spent before the real run; what is None is not known and not charged.

    Attributes:
        scoring_flops: Of all pairs that were scored: pairs x FLOPs per pair.
        probing_flops: Of all probe runs.
        flops_per_sample: Training FLOPs of one sample seen by the real run.
    """

    scoring_flops: float | None = None
    probing_flops: float | None = None
    flops_per_sample: float | None = None

    def __post_init__(self) -> None:
        for name in ("scoring_flops", "probing_flops", "flops_per_sample"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < np.inf:
                raise InputError(f"{name} is {value}; give a number of FLOPs")


def costs_of_runs(runs: Iterable[Run], *, scoring_flops: float | None = None) -> Costs:
    """The costs that finished runs tell.

    Rows with one name, seed and recipe are measuring points of one run and count as the longest of them; the
    cool-downs of its earlier points, which branch off it, are not in the rows and not counted. Final
    trainings (role "verify") are no probes. FLOPs per sample are the median over the rows.
    """
    longest: dict[tuple[object, ...], float] = {}
    rates = []
    for row, run in enumerate(runs):
        if run.flops is not None and run.role != "verify":
            key = (run.run or row, run.seed, run.recipe, run.model)
            longest[key] = max(longest.get(key, 0.0), run.flops)
            rates.append(run.flops / run.samples_seen)
    return Costs(
        scoring_flops=scoring_flops,
        probing_flops=sum(longest.values()) if longest else None,
        flops_per_sample=float(np.median(rates)) if rates else None,
    )


def payback(
    predictor: Predictor, seen: Survey, everything_P: Floats, budgets: Sequence[int], costs: Costs
) -> Payback | None:
    """Scoring and probing beside the budgets; None where neither or not the FLOPs of a sample are known."""
    if not costs.flops_per_sample or (costs.scoring_flops is None and costs.probing_flops is None):
        return None
    samples = ((costs.scoring_flops or 0.0) + (costs.probing_flops or 0.0)) / costs.flops_per_sample
    long_H = np.geomspace(seen.budgets_G[0], seen.budgets_G[-1] * _REACH, _STEPS)
    all_SH = errors(predictor, long_H, np.broadcast_to(everything_P, (_STEPS, everything_P.size)))
    saved_SG = _saved(seen.error_GS.T, all_SH, seen.budgets_G, long_H)
    saved_G = _saved(seen.error_GS.mean(1)[None], all_SH.mean(0)[None], seen.budgets_G, long_H)[0]
    since = _since(saved_G, samples, seen.budgets_G)
    since_S = [_since(saved, samples, seen.budgets_G) for saved in saved_SG]
    low, high = np.quantile(since_S, (LOW, HIGH), method="nearest")
    charges = []
    for budget in budgets:
        place = int(np.searchsorted(seen.budgets_G, budget))
        charges.append(
            Charge(
                samples_seen=budget,
                share=samples / budget,
                saved_samples=float(saved_G[place]) if np.isfinite(saved_G[place]) else None,
                chance=float((saved_SG[:, place] >= samples).mean()),
            )
        )
    return Payback(
        scoring_flops=costs.scoring_flops,
        probing_flops=costs.probing_flops,
        flops_per_sample=costs.flops_per_sample,
        samples=samples,
        budgets=tuple(charges),
        since=float(since) if np.isfinite(since) else None,
        low=float(low) if seen.budgets_G[0] < low < np.inf else None,
        high=float(high) if np.isfinite(high) else None,
        sentence=_sentence(costs, samples, charges, since, seen.budgets_G),
    )


def _saved(plan_SG: Floats, all_SH: Floats, budgets_G: Floats, long_H: Floats) -> Floats:
    """Samples beyond the budget that everything needs for the plan's error; infinite where it never will."""
    saved_SG = np.empty_like(plan_SG)
    for plan_G, all_H, saved_G in zip(plan_SG, np.minimum.accumulate(all_SH, axis=1), saved_SG, strict=True):
        reached_G = np.exp(np.interp(-plan_G, -all_H, np.log(long_H)))
        saved_G[:] = np.where(plan_G < all_H[-1], np.inf, np.maximum(reached_G - budgets_G, 0.0))
    return saved_SG


def _since(saved_G: Floats, samples: float, budgets_G: Floats) -> float:
    """First budget at which at least `samples` are saved, between the grid's budgets where it lies there."""
    enough = np.flatnonzero(saved_G >= samples)
    if not enough.size:
        return np.inf
    place = int(enough[0])
    if place == 0 or not np.isfinite(saved_G[place]):
        return float(budgets_G[place])
    below, above = saved_G[place - 1], saved_G[place]
    share = (samples - below) / (above - below)
    return float(budgets_G[place - 1] * (budgets_G[place] / budgets_G[place - 1]) ** share)


def _sentence(
    costs: Costs, samples: float, charges: Sequence[Charge], since: float, budgets_G: Floats
) -> str:
    known = {"Scoring": costs.scoring_flops, "probing": costs.probing_flops}
    named = [f"{name} ({flops:.2g} FLOPs)" for name, flops in known.items() if flops is not None]
    missing = [name.lower() for name, flops in known.items() if flops is None]
    shares = [_share(charges[0])]
    if len(charges) > 1:
        shares.append(_share(charges[-1]))
    said = " and ".join(named)
    verb = "costs" if len(named) == 1 else "cost"
    said = (
        f"{said[:1].upper()}{said[1:]} {verb} as much as {number(samples)} samples seen, {', '.join(shares)}"
    )
    if missing:
        said += f" ({missing[0]} is not known and not counted)"
    start, end = number(budgets_G[0]), number(budgets_G[-1])
    if not np.isfinite(since):
        return f"{said}; up to {end} training on everything is as good for less."
    lost = [
        number(charge.samples_seen)
        for charge in charges
        if charge.saved_samples is not None and charge.saved_samples < samples
    ]
    late = f", though not at {', '.join(lost)}" if lost and since < charges[-1].samples_seen else ""
    where = f"at {start} already" if since <= budgets_G[0] else f"from {number(since)} samples seen on"
    return f"{said}; against training on everything that has paid back {where}{late}."


def _share(charge: Charge) -> str:
    if charge.share < 1:
        return f"{percent(charge.share)} of {number(charge.samples_seen)}"
    return f"{plain(charge.share, 2)} times {number(charge.samples_seen)}"
