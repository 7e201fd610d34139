"""The fit in words: the laws side by side, every parameter with its interval, every sentence and warning."""

import dataclasses

from thresher.budget import format_count
from thresher.planning.laws.fits import Fit, PoolLaw
from thresher.planning.laws.registry import LAWS
from thresher.planning.laws.result import Laws, LawScore
from thresher.report.wording import ABSENT, Scale, interval_text, number_text
from thresher.tables import percent

PARAMETERS = {
    "A": "A, reducible error at the meeting point",
    "start": "Error before the first sample",
    "n0": "n₀, samples seen at the meeting point",
    "d": "d, irreducible error",
    "b": "b, utility of all pools",
    "gamma": "γ, how the half-life grows with the pool's size",
    "harm": "Harm of a worn sample, as a share of what it taught fresh",
    "size": "Error of the model's size, at the largest model",
    "alpha": "α, how fast that error falls with size",
}
MEANINGS = {
    ("bounded", "n0"): "n₀, samples before learning shows",
    ("saturating", "n0"): "n₀, a scale of samples",
    ("saturating", "harm"): "Harm for each factor e of wasted samples",
}
"""Where a law means something else by a name."""
OF_POOLS = {"b": "b, utility", "quality": "Quality", "tau": "τ, half-life (passes)"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FitTable:
    """One law with its parameters, ready to print; `title` says its share in the predictions."""

    title: str
    about: str
    shared: list[tuple[str, str, str]]
    columns: list[str]
    pools: list[tuple[str, ...]]
    status: list[str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Tables and sentences of fitted laws, ready to print; the best law stands first in `fits`."""

    comparison: list[tuple[str, ...]]
    fits: list[FitTable]
    noise: str
    check: str
    status: list[str]
    warnings: list[str]


def fitted(laws: Laws, scale: Scale) -> Fitted:
    """What the fits say, in tables and sentences."""
    return Fitted(
        comparison=[
            _score_row(score, scale)
            for score in sorted(laws.comparison, key=lambda s: s.weight, reverse=True)
        ],
        fits=[_fit_table(fit, weight) for fit, weight in zip(laws.fits, laws.weights, strict=True)],
        noise=scale.gap(laws.noise),
        check=check_sentence(laws, scale),
        status=list(laws.status),
        warnings=list(laws.warnings),
    )


def check_sentence(laws: Laws, scale: Scale) -> str:
    """How well the laws predicted mixes that they never saw, beside predicting the mean; empty without."""
    check = laws.check
    if check.mae is None:
        return ""
    text = f"On check mixes, which the fit never saw, predictions miss by {scale.gap(check.mae)} on average"
    if check.mae_of_mean is not None:
        text += f"; always predicting their mean would miss by {scale.gap(check.mae_of_mean)}"
    return text + "."


def _score_row(score: LawScore, scale: Scale) -> tuple[str, ...]:
    """Law, what it says, parameters, rmse, error on the runs held out, share."""
    held = ABSENT
    if score.heldout_mae is not None:
        held = f"{scale.gap(score.heldout_mae)} ({score.heldout_runs} runs)"
    return (
        score.law,
        LAWS[score.law].about if score.law in LAWS else "",
        str(score.num_parameters) if score.rmse is not None else "more than runs",
        ABSENT if score.rmse is None else scale.gap(score.rmse),
        held,
        percent(score.weight, 0) if score.weight > 0 else ABSENT,
    )


def _fit_table(fit: Fit, weight: float) -> FitTable:
    kinds = list(fit.pools[0].values)
    return FitTable(
        title=f"{fit.law} law, {percent(weight, 0)} of the predictions",
        about=LAWS[fit.law].about,
        shared=[
            (
                MEANINGS.get((fit.law, name), PARAMETERS.get(name, name)),
                number_text(value),
                interval_text(fit.intervals.get(name)) or "held",
            )
            for name, value in fit.shared.items()
        ],
        columns=[
            "Pool",
            *(OF_POOLS.get(kind, kind) for kind in kinds),
            "Half-life measured on",
            "Whole pool",
        ],
        pools=[_pool_row(pool) for pool in fit.pools],
        status=[
            *fit.status,
            *(_about(pool.name, sentence) for pool in fit.pools for sentence in pool.status),
        ],
    )


def _pool_row(pool: PoolLaw) -> tuple[str, ...]:
    values = (_with_interval(pool, name, value) for name, value in pool.values.items())
    return (pool.name, *values, format_count(pool.num_unique), format_count(pool.pool_samples))


def _with_interval(pool: PoolLaw, name: str, value: float) -> str:
    ends = interval_text(pool.intervals.get(name))
    return f"{number_text(value)} ({ends})" if ends else number_text(value)


def _about(name: str, sentence: str) -> str:
    return sentence if name in sentence else f"{name}: {sentence}"
