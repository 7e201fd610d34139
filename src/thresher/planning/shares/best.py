"""The best shares of domains: the lowest mean of the losses among mixes of those that were run.

The search takes means of three mixes, keeps the best, and goes on from those, so it never leaves what the
runs span. How sure the answer is, joint draws of all losses tell: they hold how the losses' errors go
together.

Axes: N runs, D domains, M losses, Q mixes, S draws.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from thresher.budget import format_count
from thresher.errors import InputError
from thresher.planning.runs.mixture_table import MixtureTable
from thresher.planning.shares.inputs import Floats
from thresher.planning.shares.model import ShareFit, fit_shares
from thresher.tables import Block, chance_text, error_text, percent, sentences, table, text_of

_ROUNDS, _NEW, _KEPT = 8, 2000, 40
_RIVALS = 20
_DRAWS = 400
_SURE = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class BestShares:
    """The best mix, beside the best of those that were run.

    Attributes:
        shares: Domain to its share; sums to 1.
        size: Parameters of the model that it is meant for; None where the table tells none.
        loss: Mean of the losses over the draws, by the weights asked for.
        low: 5% quantile over the draws, without the noise of a run.
        high: 95% quantile.
        losses: Each loss.
        rival: Name of the run whose mix is the best of those that were run, by the fit.
        rival_shares: Its mix.
        rival_loss: Mean of the losses there, likewise.
        chance: Share of the draws in which the best mix is better than every mix that was run.
        rank_correlation: Spearman's, of means of the losses with those foretold by fits without the mix.
    """

    shares: Mapping[str, float]
    size: float | None
    loss: float
    low: float
    high: float
    losses: Mapping[str, float]
    rival: str
    rival_shares: Mapping[str, float]
    rival_loss: float
    chance: float
    rank_correlation: float

    def __str__(self) -> str:
        return text_of(_blocks(self))


def best_shares(
    runs: MixtureTable,
    *,
    weights: Mapping[str, float] | None = None,
    size: float | None = None,
    seed: int = 0,
) -> BestShares:
    """The mix with the lowest weighted mean of the losses.

    Args:
        runs: The mixture table.
        weights: Loss to its weight in the mean; all alike where absent, none where a loss is not named.
        size: Parameters of the model that is planned; those of the largest model of the table where absent.
        seed: Of the search and the draws.

    Raises:
        InputError: a weight names no loss of the table or is negative, a size is asked for although all runs
            have one, or `fit_shares` refuses the table.
    """
    weight_M = _weights(runs, weights)
    sizes = runs.covariates
    if size is not None and sizes is None:
        raise InputError("the runs do not differ in size, so nothing tells what size does; leave --size out")
    fitted = fit_shares(runs.shares, runs.losses, covariates=sizes)
    target = None if runs.sizes is None else float(size or runs.sizes.max())
    covariates = None if sizes is None or target is None else np.log([[target]])
    random = np.random.default_rng(seed)
    run_QD = np.unique(runs.shares, axis=0)
    best_D = _search(fitted, run_QD, covariates, weight_M, random)
    near_QD = run_QD[np.argsort(_mean(fitted, run_QD, covariates, weight_M), kind="stable")[:_RIVALS]]
    asked_QD = np.vstack([best_D, near_QD])
    drawn_SQM = fitted.draws(asked_QD, _repeated(covariates, len(asked_QD)), _DRAWS, random)
    mean_SQ = drawn_SQM @ weight_M
    low, high = np.quantile(mean_SQ[:, 0], (0.05, 0.95))
    rival = int(mean_SQ[:, 1:].mean(0).argmin()) + 1
    name = next(
        name for name, row in zip(runs.runs, runs.shares, strict=True) if (row == asked_QD[rival]).all()
    )
    return BestShares(
        shares=_named(runs, best_D),
        size=target,
        loss=float(mean_SQ[:, 0].mean()),
        low=float(low),
        high=float(high),
        losses=dict(zip(runs.metrics, drawn_SQM[:, 0].mean(0).tolist(), strict=True)),
        rival=name,
        rival_shares=_named(runs, asked_QD[rival]),
        rival_loss=float(mean_SQ[:, rival].mean()),
        chance=float((mean_SQ[:, :1] < mean_SQ[:, 1:]).all(1).mean()),
        rank_correlation=_spearman(runs.losses @ weight_M, fitted.left_out @ weight_M),
    )


def _weights(runs: MixtureTable, weights: Mapping[str, float] | None) -> Floats:
    named = dict.fromkeys(runs.metrics, 1.0) if weights is None else weights
    for name, weight in named.items():
        if name not in runs.metrics:
            raise InputError(f"there is no loss {name!r}; the table has {', '.join(runs.metrics)}")
        if not 0 <= weight < np.inf:
            raise InputError(f"the weight of {name} is {weight}; weights are 0 or more")
    weight_M = np.array([named.get(name, 0.0) for name in runs.metrics])
    if not weight_M.sum() > 0:
        raise InputError("all weights are 0; give one of the losses a weight")
    return np.asarray(weight_M / weight_M.sum())


def _search(
    fitted: ShareFit, run_QD: Floats, covariates: Floats | None, weight_M: Floats, random: np.random.Generator
) -> Floats:
    kept_QD = run_QD
    for _ in range(_ROUNDS):
        three = kept_QD[random.integers(len(kept_QD), size=(_NEW, 3))]
        new = (random.dirichlet(np.ones(3), _NEW)[..., None] * three).sum(1)
        all_QD = np.vstack([kept_QD, new])
        order = np.argsort(_mean(fitted, all_QD, covariates, weight_M), kind="stable")
        kept_QD = all_QD[order[:_KEPT]]
    return np.asarray(kept_QD[0])


def _mean(fitted: ShareFit, shares_QD: Floats, covariates: Floats | None, weight_M: Floats) -> Floats:
    losses_QM, _ = fitted.predict(shares_QD, _repeated(covariates, len(shares_QD)))
    return np.asarray(losses_QM @ weight_M)


def _repeated(covariates: Floats | None, count: int) -> Floats | None:
    return None if covariates is None else np.repeat(covariates, count, axis=0)


def _named(runs: MixtureTable, shares_D: Floats) -> dict[str, float]:
    return {name: float(f"{share:.6g}") for name, share in zip(runs.domains, shares_D, strict=True)}


def _spearman(one_N: Floats, other_N: Floats) -> float:
    from scipy.stats import spearmanr  # slow to load

    return float(spearmanr(one_N, other_N).statistic)


def _blocks(best: BestShares) -> list[Block]:
    at = "" if best.size is None else f" at {format_count(round(best.size))} parameters"
    losses = "loss" if len(best.losses) == 1 else f"mean of {len(best.losses)} losses"
    loss, low, high = (error_text(value, True) for value in (best.loss, best.low, best.high))
    rival = f"the best mix that was run, {best.rival} ({error_text(best.rival_loss, True)})"
    chance = chance_text(best.chance)
    said = (
        f"This mix is better than {rival}: chance {chance}."
        if best.chance >= _SURE
        else f"Cannot tell it from {rival}: chance {chance} that it is better."
    )
    rows = sorted(best.shares, key=lambda name: -best.shares[name])
    return [
        sentences(
            f"Best shares of domains{at}: {losses} {loss}, {low} to {high}. {said}",
            f"Ranks of mixes that a fit had not seen: Spearman {best.rank_correlation:.3f}.",
        ),
        table(
            ("domain", "share", "in the best that was run"),
            [[name, percent(best.shares[name], 1), percent(best.rival_shares[name], 1)] for name in rows],
        ),
    ]
