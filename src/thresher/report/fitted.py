"""The fit in words: every parameter with its interval, every status sentence, every warning."""

import dataclasses

from thresher.budget import format_count
from thresher.laws.result import Fit, PoolLaw
from thresher.report.wording import Scale, interval_text, number_text

PARAMETERS = {
    "A": "A, reducible error at the meeting point",
    "n0": "n₀, samples seen at the meeting point",
    "d": "d, irreducible error",
    "gamma": "γ, how the half-life grows with the pool's size",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Tables and sentences of a fit, ready to print."""

    shared: list[tuple[str, str, str]]
    pools: list[tuple[str, ...]]
    noise: str
    check: str
    status: list[str]
    warnings: list[str]


def fitted(fit: Fit, scale: Scale) -> Fitted:
    """What a fit says, in tables and sentences."""
    values = {"A": fit.A, "n0": fit.n0, "d": fit.d, "gamma": fit.gamma}
    status = [*fit.status, *(_about(pool.name, sentence) for pool in fit.pools for sentence in pool.status)]
    return Fitted(
        shared=[
            (PARAMETERS[name], number_text(value), interval_text(fit.intervals.get(name)) or "held")
            for name, value in values.items()
        ],
        pools=[_pool_row(pool) for pool in fit.pools],
        noise=scale.gap(fit.noise),
        check=check_sentence(fit, scale),
        status=status,
        warnings=list(fit.warnings),
    )


def check_sentence(fit: Fit, scale: Scale) -> str:
    """How well the fit predicted mixes that it never saw, beside predicting the mean; empty without."""
    if fit.check.mae is None:
        return ""
    miss = scale.gap(fit.check.mae)
    text = f"On check mixes, which the fit never saw, predictions miss by {miss} on average"
    if fit.check.mae_of_mean is not None:
        text += f"; always predicting the mean would miss by {scale.gap(fit.check.mae_of_mean)}"
    return text + "."


def _pool_row(pool: PoolLaw) -> tuple[str, ...]:
    sizes = (format_count(pool.num_unique), format_count(pool.pool_samples))
    return (pool.name, _with_interval(pool, "b", pool.b), _with_interval(pool, "tau", pool.tau), *sizes)


def _with_interval(pool: PoolLaw, name: str, value: float | None) -> str:
    ends = interval_text(pool.intervals.get(name))
    return f"{number_text(value)} ({ends})" if ends else number_text(value)


def _about(name: str, sentence: str) -> str:
    return sentence if name in sentence else f"{name}: {sentence}"
