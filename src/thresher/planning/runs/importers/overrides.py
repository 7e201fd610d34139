"""Facts about runs that the source lacks and the user supplies: one value for all, or one by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from thresher.errors import InputError, naming
from thresher.planning.runs.importers.records import FIELDS, Found
from thresher.planning.runs.record import Run, is_given, run_from_record, run_key
from thresher.planning.runs.table_file import listed, parse_line, read_csv

BY_POOL = ("unique_samples", "pool_samples")
BY_MODEL = ("params",)
"""Fields whose values are told apart by the pool or the model; all others by the name of the run."""

OPTIONS = {
    "pool": "--pool NAME",
    "unique_samples": "--unique POOL=NUMBER",
    "samples_seen": "--samples-seen NUMBER",
}
"""What every run needs, and how to say it."""

_BY_NAME = {"unique_samples": "--unique", "pool_samples": "--pool-samples", "params": "--params"}
"""Options of values that go by the name of the pool or the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplied:
    """Values for the fields of runs.

    Attributes:
        values: Field to a value for all runs, or to values by name: of the pool for sizes, of the model for
            its parameters, of the run for everything else; a name may hold `*` and `?`.
        facts: Name of a run to its fields, stronger than `values`.
        samples_per_step: Samples of one step, where a source counts steps.
        samples_per_epoch: Samples of one epoch, where a source counts epochs.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    samples_per_step: int | None = None
    samples_per_epoch: int | None = None


def read_facts(path: Path) -> dict[str, dict[str, Any]]:
    """A CSV with the column `run` and fields of the ledger: run to its fields, empty cells left out.

    Raises:
        InputError: a column is no field, `run` is missing or empty, or a run stands there twice.
    """
    if not path.is_file():
        raise InputError(f"there is no table of facts at {path}; name a .csv file")
    header, rows = read_csv(path)
    unknown = [name for name in header if name not in FIELDS]
    if "run" not in header or unknown:
        wrong = f"there is no field {unknown[0]!r}" if unknown else f"no column 'run' among {listed(header)}"
        raise InputError(f"{path.name}, row 1: {wrong}; the columns are run and any of {', '.join(FIELDS)}")
    facts: dict[str, dict[str, Any]] = {}
    for row, cells in rows:
        name = cells["run"].strip()
        if not name or name in facts:
            raise InputError(
                f"{path.name}, row {row}: run {name!r} is empty or stands there twice; mend the row"
            )
        facts[name] = {key: cell for key, cell in cells.items() if key != "run" and is_given(cell)}
    return facts


def complete(found: Sequence[Found], supplied: Supplied) -> list[tuple[str, Run]]:
    """Each measurement as a run, with the place where it was found.

    Raises:
        InputError: a run lacks a field that every run needs, a value does not fit, values by pool or model
            lack one that occurs, or values by run name one that does not.
    """
    unknown = next((name for name in supplied.values if name not in FIELDS), None)
    if unknown is not None:
        raise InputError(f"there is no field {unknown!r}; use one of {', '.join(FIELDS)}")
    used: set[tuple[str, str]] = set()
    placed = [(one.place, _run(one, supplied, used)) for one in found]
    for name, value in supplied.values.items():
        unmatched = [key for key in value if (name, key) not in used] if isinstance(value, Mapping) else []
        if unmatched and _kind(name) == "run":
            names = list(dict.fromkeys(str(run.run) for _, run in placed))
            raise InputError(
                f"{name} is given for {unmatched[0]!r}, but there is no such run; there are {listed(names)} "
                f"(a {name} that holds an = itself is written '*=VALUE')"
            )
    return placed


def with_seeds(placed: Sequence[tuple[str, Run]]) -> list[tuple[str, Run]]:
    """The runs, those of one setting numbered by `seed` from 0; a repeat with the same error stays as it is.

    Runs that have a seed, and those whose setting occurs once, are left alone.
    """
    errors: dict[tuple[object, ...], list[float]] = {}
    for _, run in placed:
        if run.seed is None and run.error not in errors.setdefault(run_key(run), []):
            errors[run_key(run)].append(run.error)
    numbered: list[tuple[str, Run]] = []
    for place, run in placed:
        seeds = errors.get(run_key(run), []) if run.seed is None else []
        seed = seeds.index(run.error) if len(seeds) > 1 else run.seed
        numbered.append((place, replace(run, seed=seed)))
    return numbered


def _run(found: Found, supplied: Supplied, used: set[tuple[str, str]]) -> Run:
    record = {name: value for name, value in found.record.items() if is_given(value)}
    name = str(record.get("run", ""))
    facts = next((facts for key, facts in supplied.facts.items() if _fits(name, key)), {})
    if "weights" in facts or "pool" in facts:
        record = {field: value for field, value in record.items() if field not in ("weights", "pool")}
    record |= facts
    with naming(found.place):
        _fill(record, supplied.values, frozenset(facts), used)
        _count_samples(record, supplied)
        _check_complete(record, found)
        return run_from_record(record)


def _fill(
    record: dict[str, Any], values: Mapping[str, Any], settled: frozenset[str], used: set[tuple[str, str]]
) -> None:
    """Write the supplied values into a record; pool and model come first, since sizes go by their names."""
    for name in sorted(values, key=lambda name: name in BY_POOL + BY_MODEL):
        if name in settled or (name == "final" and "final" in record):
            continue
        if name == "pool" and "weights" in record:
            continue
        value = values[name]
        if isinstance(value, Mapping):
            value = _looked_up(name, value, record, used)
        if is_given(value):
            record[name] = value


def _looked_up(
    field: str, values: Mapping[str, Any], record: Mapping[str, Any], used: set[tuple[str, str]]
) -> Any:
    """The value for a run, or one for each pool of a mix; None where the source has one, or need not."""
    kind = _kind(field)
    pools = _pools(record) if kind == "pool" else None
    if pools is None and kind == "model" and kind not in record:
        raise InputError(f"`{field}` is given by model, but the model is not known; give --model NAME")
    if pools is None and kind == "pool" and kind not in record:
        return None
    names = [str(record.get(kind, ""))] if pools is None else pools
    chosen = {name: _chosen(field, values, name, used) for name in names}
    absent = next((name for name in chosen if chosen[name] is None), None)
    if absent is None:
        return chosen if pools is not None else chosen[names[0]]
    if kind != "run" and field not in record:
        raise InputError(
            f"`{field}` is given by {kind}, but not for {absent!r}; give {_BY_NAME[field]} {absent}=NUMBER"
        )
    return None


def _pools(record: Mapping[str, Any]) -> list[str] | None:
    """The pools of a mix; None for a run on one pool."""
    weights = record.get("weights")
    if isinstance(weights, str):
        weights = parse_line(weights)
    return list(weights) if isinstance(weights, Mapping) else None


def _kind(name: str) -> str:
    return "pool" if name in BY_POOL else "model" if name in BY_MODEL else "run"


def _chosen(field: str, values: Mapping[str, Any], name: str, used: set[tuple[str, str]]) -> Any:
    """The value for a name: its own, else that of the first pattern which it fits, else None."""
    key = name if name in values else next((key for key in values if _fits(name, key)), None)
    if key is None:
        return None
    used.add((field, key))
    return values[key]


def _fits(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


def _count_samples(record: dict[str, Any], supplied: Supplied) -> None:
    """Samples seen from steps or epochs, where nothing better is known."""
    for name, each in (("step", supplied.samples_per_step), ("epoch", supplied.samples_per_epoch)):
        if name in record and each is not None and "samples_seen" not in record:
            try:
                record["samples_seen"] = round(float(record[name]) * each)
            except (ValueError, OverflowError):
                raise InputError(f"`{name}` is {record[name]!r}; write a number") from None


def _check_complete(record: Mapping[str, Any], found: Found) -> None:
    for name, option in OPTIONS.items():
        if name in record or (name == "pool" and "weights" in record):
            continue
        said = f" of run {record['run']!r}" if "run" in record else ""
        reason = found.lacks.get(name)
        remedy = "" if reason and option.split()[0] in reason else f"; give {option}"
        raise InputError(f"`{name}`{said} is not known{f': {reason}' if reason else ''}{remedy}")
