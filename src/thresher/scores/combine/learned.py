"""A combination learned from labelled pairs: logistic regression on the ranks of the scores.

It is kept as JSON, so that it can be read and never runs. Shapes: n pairs, C columns, m labelled pairs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from thresher.data.files.atomic import write_json
from thresher.data.files.record_file import from_record, named, read_record, to_record
from thresher.errors import InputError
from thresher.scores.combine.labels import Labels
from thresher.scores.combine.rank_shares import Quantiles, auc, columns_of, gain, normal_scores, quantiles
from thresher.tables import decimal

FOLDS = 5

Table = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float64]

SCHEMA = "thresher.combination"


@dataclass(frozen=True, slots=True)
class Column:
    """What a model knows of a column: its weight, how its values are ranked, the scorer they came from."""

    name: str
    weight: float
    quantiles: Quantiles
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Measured:
    """A value with its standard error."""

    value: float
    standard_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """How well a combination finds the good pairs of folds that it did not learn from.

    Attributes:
        num_pairs: Labelled pairs.
        num_good: Good ones of them.
        num_groups: Groups (images) they belong to.
        combined: AUC of the combination.
        columns: AUC of each column alone, over the same pairs.
        best: The column of the highest AUC.
        gain: AUC of the combination minus that of `best`.
    """

    num_pairs: int = field(metadata=named("pairs"))
    num_good: int = field(metadata=named("good"))
    num_groups: int = field(metadata=named("groups"))
    combined: Measured
    columns: Mapping[str, Measured]
    best: str
    gain: Measured


@dataclass(frozen=True, slots=True)
class LearnedModel:
    """A finished combination; `intercept` and the weights give the log-odds of a good pair."""

    columns: tuple[Column, ...]
    intercept: float
    l2: float
    held_out: HeldOut

    def scores(self, values_nC: Table) -> Numbers:
        """Log-odds that each pair is good, float64 [n]; columns in the order of `columns`."""
        weights_C = np.array([column.weight for column in self.columns])
        known_nC = features(values_nC, [column.quantiles for column in self.columns])
        odds_n: Numbers = known_nC @ weights_C + self.intercept
        return odds_n


def features(values_nC: Table, of_columns: Sequence[Quantiles]) -> Numbers:
    """Normal scores of the ranks, float64 [n, C]."""
    ranked = [
        normal_scores(one.shares_of(values_n))
        for one, values_n in zip(of_columns, columns_of(values_nC), strict=True)
    ]
    return np.stack(ranked, axis=1)


def learn(
    values_nC: Table,
    rows_m: npt.NDArray[np.int64],
    labels: Labels,
    columns: Mapping[str, str],
    *,
    l2: float = 1.0,
) -> LearnedModel:
    """The logistic regression that tells the good labelled pairs from the bad ones, and how well it does.

    A score enters by its rank among all pairs, labelled or not, brought to a normal distribution: so scores
    of any scale go together, and a rule of 0 and 1 does as well. The weights minimise the sum of the
    logarithmic losses plus l2 / 2 times the sum of their squares. The AUC comes from five folds, each scored
    by a model of the other four; a group is in the fold that its name hashes to.

    Args:
        values_nC: Scores of all pairs, without NaN.
        rows_m: Where in them the labelled pairs are.
        labels: Of those pairs, in that order.
        columns: Column -> fingerprint of its scorer.
        l2: Strength of the penalty on large weights.

    Raises:
        InputError: too few labelled pairs of a kind or groups, or a column has one value only.
    """
    if not l2 >= 0:
        raise InputError(f"l2={l2} is not a penalty; give 0 or more")
    ranked = [quantiles(values_n) for values_n in columns_of(values_nC)]
    for name, one in zip(columns, ranked, strict=True):
        if len(one.values) == 1:
            raise InputError(
                f"all pairs have {decimal(one.values[0])} in {name}, which tells nothing; leave it out"
            )
    known_mC = features(values_nC[rows_m], ranked)
    folds_m = (labels.keys % np.uint64(FOLDS)).astype(np.int64)
    held = _held_out(values_nC[rows_m], known_mC, folds_m, labels, list(columns), l2)
    weights_C, intercept = _fit(known_mC, labels.good, l2)
    return LearnedModel(
        tuple(
            Column(name, float(weight), one, fingerprint)
            for (name, fingerprint), weight, one in zip(columns.items(), weights_C, ranked, strict=True)
        ),
        intercept,
        l2,
        held,
    )


def _held_out(
    values_mC: Table,
    known_mC: Numbers,
    folds_m: npt.NDArray[np.int64],
    labels: Labels,
    names: Sequence[str],
    l2: float,
) -> HeldOut:
    scores_m = np.empty(len(folds_m))
    for fold in range(FOLDS):
        inside = folds_m == fold
        for kind, good in (("good", labels.good), ("bad", ~labels.good)):
            if not (good & ~inside).any():
                raise InputError(
                    f"{len(folds_m)} labelled pairs have scores, and outside fold {fold + 1} of {FOLDS} none "
                    f"of them is {kind}; label more pairs, of more groups"
                )
        weights_C, intercept = _fit(known_mC[~inside], labels.good[~inside], l2)
        scores_m[inside] = known_mC[inside] @ weights_C + intercept
    combined = auc(scores_m, labels.good, labels.groups)
    alone = {
        name: auc(values_m, labels.good, labels.groups)
        for name, values_m in zip(names, columns_of(values_mC), strict=True)
    }
    best = max(alone, key=lambda name: alone[name].value)
    return HeldOut(
        num_pairs=len(scores_m),
        num_good=int(labels.good.sum()),
        num_groups=len(np.unique(labels.groups)),
        combined=Measured(combined.value, combined.standard_error),
        columns={name: Measured(one.value, one.standard_error) for name, one in alone.items()},
        best=best,
        gain=Measured(*gain(combined, alone[best])),
    )


def _fit(known_mC: Numbers, good_m: npt.NDArray[np.bool_], l2: float) -> tuple[Numbers, float]:
    """Weights and intercept of a logistic regression; the intercept is not penalised."""
    signs_m = np.where(good_m, 1.0, -1.0)
    penalty = np.append(np.full(known_mC.shape[1], l2), 0.0)
    design = np.column_stack([known_mC, np.ones(len(known_mC))])

    def loss(point: Numbers) -> tuple[float, Numbers]:
        margins_m = signs_m * (design @ point)
        pull_m = signs_m / (1 + np.exp(np.clip(margins_m, -500, 500)))
        value = np.logaddexp(0, -margins_m).sum() + 0.5 * (penalty * point**2).sum()
        return float(value) / len(good_m), (penalty * point - design.T @ pull_m) / len(good_m)

    start = np.zeros(design.shape[1])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"gtol": 1e-9, "ftol": 1e-14})
    return found.x[:-1], float(found.x[-1])


@dataclass(frozen=True, slots=True)
class _StoredColumn:
    """A `Column` as the file holds it."""

    name: str
    weight: float
    fingerprint: str
    values: tuple[float, ...]
    shares: tuple[float, ...]


def save_model(model: LearnedModel, path: Path) -> None:
    """Write a model as JSON."""
    columns = tuple(
        _StoredColumn(one.name, one.weight, one.fingerprint, one.quantiles.values, one.quantiles.shares)
        for one in model.columns
    )
    content = {"columns": columns, "intercept": model.intercept, "l2": model.l2, "held_out": model.held_out}
    write_json(path, {"schema": SCHEMA, "version": 1, **to_record(content)})


def load_model(path: Path) -> LearnedModel:
    """A model that `save_model` wrote.

    Raises:
        InputError: the file is absent, or no model of this release.
    """
    if not path.exists():
        raise InputError(f"there is no model {path}; `thresher combine --labels` writes one")
    return read_record(path, SCHEMA, 1, "thresher combine --labels", _model)


def _model(record: Mapping[str, Any]) -> LearnedModel:
    stored = from_record(tuple[_StoredColumn, ...], record["columns"], place="columns")
    for one in stored:
        if not 0 < len(one.values) == len(one.shares):
            raise ValueError(f"{len(one.values)} values of {one.name} have {len(one.shares)} shares")
    held_out: HeldOut = from_record(HeldOut, record["held_out"], place="held_out")
    if [one.name for one in stored] != list(held_out.columns):
        raise ValueError("held_out.columns are others than columns")
    return LearnedModel(
        tuple(
            Column(one.name, one.weight, Quantiles(one.values, one.shares), one.fingerprint) for one in stored
        ),
        from_record(float, record["intercept"], place="intercept"),
        from_record(float, record["l2"], place="l2"),
        held_out,
    )
