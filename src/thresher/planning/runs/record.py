"""One finished measurement: a `Run` that is always valid, as an object and as a JSON record or CSV row."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from thresher.budget import parse_count
from thresher.errors import InputError
from thresher.tables import decimal

SCHEMA = "thresher.run"
VERSION = 1
ROLES = ("fit", "check", "verify")
_REQUIRED = ("unique_samples", "samples_seen", "error")

_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_FRACTION = re.compile(r"[0-9]{1,5}\.[0-9]*[1-9][0-9]*")


def seed(name: str, value: object) -> int:
    """The value as a whole number, which may be 0."""
    found = number(name, value)
    if not found.is_integer():
        raise InputError(f"`{name}` is {value!r}; write a whole number")
    return int(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One finished measurement; always valid, the constructor raises `InputError` otherwise.

    Attributes:
        pool: Name of the pool, for a run on one pool. Exactly one of `pool` and `weights` is given.
        weights: Pool name to sampling weight, for a mix; relative, `mix_weights` makes them sum to 1.
        unique_samples: Distinct samples that this run drew from: a number, or one for each pool of a mix. A
            single number for a mix is the size of the union and is shared out by weight.
        samples_seen: Samples trained on, repeats counted.
        error: In (0, 1], or any positive loss where the name of `metric` contains "loss".
        pool_samples: Size of the whole pool, where the run used a subsample of it.
        role: "fit" enters the fit, "check" tests it, "verify" is a final training outside both.
        flops: Training FLOPs of the whole run.
        final: Whether the learning rate had come down (an end-of-schedule point); None where unknown.
        params: Number of parameters of the trained model; None where unknown.
        chance_error: What guessing would give, as 1 - 1/classes; None where unknown.
        replacement: Whether samples were drawn with replacement (open_clip's `--dataset-resampled`), so that
            exposures are Poisson and not exact passes; None where unknown.
    """

    run: str | None = None
    role: str = "fit"
    pool: str | None = None
    weights: Mapping[str, float] | None = None
    unique_samples: int | Mapping[str, int]
    pool_samples: int | Mapping[str, int] | None = None
    samples_seen: int
    error: float
    metric: str = "error"
    metrics: Mapping[str, float] = field(default_factory=dict)
    seed: int | None = None
    recipe: str | None = None
    model: str | None = None
    flops: float | None = None
    final: bool | None = None
    params: float | None = None
    replacement: bool | None = None
    chance_error: float | None = None

    def __post_init__(self) -> None:
        _check_pools(self)
        for name in ("unique_samples", "pool_samples"):
            _check_counts(name, getattr(self, name), self.weights)
        if self.samples_seen < 1:
            raise InputError(
                f"samples_seen is {self.samples_seen}; a finished run has seen at least one sample"
            )
        _check_error(self.error, self.metric)
        for name in ("flops", "params", "chance_error"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(
                    f"`{name}` is {decimal(value)}; give a positive number, or leave it out where it is "
                    "unknown"
                )
        if self.chance_error is not None and self.chance_error > 1 and not is_loss(self.metric):
            raise InputError(
                f"`chance_error` is {decimal(self.chance_error)}, above 1; give the error of guessing, "
                "0.999 for a thousand classes"
            )
        if self.role not in ROLES:
            raise InputError(f"role is {self.role!r}; use one of {', '.join(ROLES)}")


def is_loss(metric: str) -> bool:
    """Whether values of this metric may exceed 1 (its name contains "loss")."""
    return "loss" in metric.lower()


def mix_weights(run: Run) -> dict[str, float]:
    """Sampling weight of each pool with a positive one; sums to 1.

    >>> mix_weights(Run(weights={"a": 3, "b": 1}, unique_samples=400, samples_seen=800, error=0.5))
    {'a': 0.75, 'b': 0.25}
    """
    if run.weights is None:
        return {str(run.pool): 1.0}
    total = math.fsum(run.weights.values())
    return {name: weight / total for name, weight in run.weights.items() if weight > 0}


def mix_unique(run: Run) -> dict[str, float]:
    """Unique samples used of each pool in `mix_weights`; fractions arise where a union is shared out."""
    return _per_pool(run.unique_samples, mix_weights(run))


def run_passes(run: Run) -> dict[str, float]:
    """Passes over what the run drew from each pool in `mix_weights`."""
    unique = mix_unique(run)
    return {pool: run.samples_seen * weight / unique[pool] for pool, weight in mix_weights(run).items()}


def mix_pool_samples(run: Run) -> dict[str, float]:
    """Size of each whole pool in `mix_weights`; what the run used of it, where the ledger does not say."""
    return mix_unique(run) if run.pool_samples is None else _per_pool(run.pool_samples, mix_weights(run))


def _per_pool(counts: int | Mapping[str, int], weights: Mapping[str, float]) -> dict[str, float]:
    if isinstance(counts, Mapping):
        return {name: float(counts[name]) for name in weights}
    return {name: counts * weight for name, weight in weights.items()}


def run_key(run: Run) -> tuple[object, ...]:
    """What makes two rows the same measurement; a ledger holds each key once."""
    unique = run.unique_samples
    return (
        run.run,
        run.role,
        tuple(sorted(mix_weights(run).items())),
        tuple(sorted(unique.items())) if isinstance(unique, Mapping) else unique,
        run.samples_seen,
        run.metric,
        run.seed,
        run.recipe,
        run.model,
        run.params,
        run.replacement,
    )


def run_to_record(run: Run) -> dict[str, object]:
    """The run as a JSON object: fixed key order, absent fields left out, maps sorted by pool."""
    record: dict[str, object] = {"schema": SCHEMA, "version": VERSION}
    for name in (one.name for one in fields(run)):
        value = getattr(run, name)
        if isinstance(value, Mapping):
            value = {key: value[key] for key in sorted(value)}
        if value is not None and value != {}:
            record[name] = value
    return record


def run_from_record(record: Mapping[str, Any], *, error_column: str = "error") -> Run:
    """Run of one JSON object or one CSV row; keys that `Run` does not know are ignored.

    Raises:
        InputError: naming the field, its value and the remedy.
    """
    if not is_given(record.get("pool")) and not is_given(record.get("weights")):
        raise InputError(
            "has neither `pool` nor `weights`; name the pool, or the weight of each pool of the mix"
        )
    for name in _REQUIRED:
        column = error_column if name == "error" else name
        if not is_given(record.get(column)):
            raise InputError(
                f"`{column}` is missing or empty{_of(record)}; every run needs {', '.join(_REQUIRED)}"
            )
    optional: dict[str, Any] = {
        name: convert(name, record[name]) for name, convert in _OPTIONAL.items() if is_given(record.get(name))
    }
    optional.setdefault("metric", error_column)
    return Run(
        unique_samples=counts("unique_samples", record["unique_samples"]),
        samples_seen=count("samples_seen", record["samples_seen"]),
        error=number(error_column, record[error_column]),
        **optional,
    )


def counts(name: str, value: object) -> int | dict[str, int]:
    """One number of samples, or one for each pool."""
    if isinstance(value, Mapping) or (isinstance(value, str) and value.lstrip().startswith("{")):
        return {str(pool): count(f"{name} of {pool}", held) for pool, held in mapping(name, value).items()}
    return count(name, value)


def flag(name: str, value: object) -> bool:
    """True or false, as people write them."""
    found = _BOOLEANS.get(str(value).strip().lower())
    if found is None:
        raise InputError(f"`{name}` is {value!r}; write true or false")
    return found


def number(name: str, value: object) -> float:
    """The value as a number, which may be infinite or not a number."""
    try:
        if not isinstance(value, bool):
            return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        pass
    raise InputError(f"`{name}` is {value!r}; write a number")


def numbers(name: str, value: object) -> dict[str, float]:
    """A number for each key of an object."""
    return {str(key): number(f"{name} of {key}", held) for key, held in mapping(name, value).items()}


def size(name: str, value: object) -> float:
    """A number that may be written with a suffix, such as `151M` or `1.5B`."""
    written = isinstance(value, str) and value.strip()[:1].isdigit() and value.strip()[-1:].isalpha()
    return float(count(name, value)) if written else number(name, value)


def text(name: str, value: object) -> str:
    """The value as text without spaces around it; no object or list."""
    if isinstance(value, Mapping | list):
        raise InputError(f"`{name}` is {value!r}; write a text")
    return str(value).strip()


_OPTIONAL = {
    "pool": text,
    "weights": numbers,
    "run": text,
    "role": text,
    "pool_samples": counts,
    "metric": text,
    "metrics": numbers,
    "seed": seed,
    "recipe": text,
    "model": text,
    "flops": number,
    "final": flag,
    "params": size,
    "replacement": flag,
    "chance_error": number,
}


def is_given(value: Any) -> bool:
    """Whether a cell or key holds anything."""
    return value is not None and not (isinstance(value, str) and not value.strip())


def _of(record: Mapping[str, Any]) -> str:
    return f" for pool {record['pool']!r}" if is_given(record.get("pool")) else ""


def _check_pools(run: Run) -> None:
    if (run.pool is None) == (run.weights is None):
        raise InputError("give exactly one of `pool` (a run on one pool) and `weights` (a mix)")
    if run.weights is None:
        return
    for name, weight in run.weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise InputError(f"weight of {name!r} is {weight}; weights are finite and not negative")
    if not sum(run.weights.values()) > 0:
        raise InputError(f"weights {dict(run.weights)} sum to zero; give at least one pool a positive weight")


def _check_counts(
    name: str, counts: int | Mapping[str, int] | None, weights: Mapping[str, float] | None
) -> None:
    if isinstance(counts, Mapping):
        if weights is None:
            raise InputError(f"`{name}` is given for each pool, but the run has one `pool`; give one number")
        missing = [pool for pool, weight in weights.items() if weight > 0 and pool not in counts]
        if missing:
            raise InputError(
                f"`{name}` lacks {missing[0]!r}, which has a positive weight; give its number of samples"
            )
    for count in counts.values() if isinstance(counts, Mapping) else (counts,):
        if count is not None and count < 1:
            raise InputError(
                f"`{name}` is {count}; a pool without samples cannot be trained on, drop the row"
            )


def _check_error(error: float, metric: str) -> None:
    if not math.isfinite(error):
        raise InputError(f"error is {error}; drop the row or measure the run again")
    if error <= 0:
        raise InputError(
            f"error is {decimal(error)}; it must be above 0 (write 1 - accuracy, not accuracy or a "
            "difference)"
        )
    if error > 1 and not is_loss(metric):
        raise InputError(
            f"error is {decimal(error)}, above 1; write it as a fraction of 1, "
            f"or name the metric a loss (metric {metric!r})"
        )


def count(name: str, value: object) -> int:
    """The value as a number of samples, such as 12800, `32M` or 4e7."""
    written = str(value).strip()
    try:
        return parse_count(written)
    except InputError as error:
        hint = f", or write {written}M if it counts in millions" if _FRACTION.fullmatch(written) else ""
        raise InputError(f"`{name}`: {error}{hint}") from None


def mapping(name: str, value: object) -> Mapping[str, Any]:
    """The value as an object; a cell of a CSV holds it as JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise InputError(f'`{name}` is {value!r}; write a JSON object like {{"0-10%": 0.5}}') from None
    if not isinstance(value, Mapping):
        raise InputError(f"`{name}` is {value!r}; write an object, one entry a pool")
    return value
