"""The ledger of finished runs: one measurement a row, JSONL or CSV.

A row needs `pool` (or `weights`, pool to weight, for a mix), `unique_samples`, `samples_seen` and `error`;
the other fields of `Run` are optional. In CSV a mix is written as a JSON object in its cell. Counts may be
written `32M`; a count in millions among counts that are not is refused.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from thresher.data.files.atomic import append_jsonl
from thresher.errors import InputError, naming
from thresher.planning.runs.record import (
    SCHEMA,
    VERSION,
    Run,
    mix_weights,
    run_from_record,
    run_key,
    run_to_record,
)
from thresher.planning.runs.table_file import Row, complete_lines, listed, read_csv, read_jsonl
from thresher.tables import decimal

_SHORT = 20_000
_LONG = 1_000_000
_GAP = 1_000
_REACH = 30
_FEWEST_EPOCHS = 2e-4
_MOST_EPOCHS = 1e4
_UNITS = {"M": 10**6, "B": 10**9}


def read_runs(path: Path | str, *, error_column: str = "error") -> list[Run]:
    """Runs of a `.csv` or JSONL file (or of `runs.jsonl` in a folder), in the order of the file.

    A last JSONL line that a killed writer left unfinished is ignored.

    Args:
        path: The file.
        error_column: Column that holds the error; also names the metric where the rows do not.

    Raises:
        InputError: for the first bad row: its number (a CSV's header is row 1), the value, the remedy.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "runs.jsonl"
    if not path.is_file():
        raise InputError(f"there is no file of runs at {path}; give a .jsonl or .csv file")
    rows = _csv_rows(path, error_column) if path.suffix.lower() == ".csv" else _jsonl_rows(path)
    placed: list[tuple[str, Run]] = []
    for row, record in rows:
        place = f"{path.name}, row {row}"
        with naming(place):
            placed.append((place, run_from_record(record, error_column=error_column)))
    if not placed:
        raise InputError(f"{path.name} holds no runs; run `thresher probe`, or add rows to it")
    check_runs(placed)
    return [run for _, run in placed]


def check_runs(placed: Sequence[tuple[str, Run]]) -> None:
    """Refuse runs that stand there twice, and counts in another unit than the rest.

    Args:
        placed: Where each run was found, such as "runs.csv, row 3", and the run.

    Raises:
        InputError: naming the first such place.
    """
    first: dict[tuple[object, ...], str] = {}
    for place, run in placed:
        earlier = first.setdefault(run_key(run), place)
        if earlier is not place:
            file, _, row = earlier.rpartition(", ")
            other = row if place.startswith(f"{file}, ") else earlier
            raise InputError(
                f"{place}: repeats {other} ({_describe(run)}); drop one of them, or tell them apart by "
                f"`seed` or `run`"
            )
    slip = unit_slip([run for _, run in placed])
    if slip is not None:
        raise InputError(f"{placed[slip[0]][0]}: {slip[1]}")


def append_runs(path: Path | str, runs: Sequence[Run]) -> int:
    """Add runs to a JSONL ledger; number of lines written.

    A run that the ledger already holds is skipped. A line is there wholly or not at all and has reached the
    disk before this returns; an unfinished last line, left by a killed writer, is cut off first.

    Raises:
        InputError: where the ledger holds the same run with another result.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv":
        raise InputError(f"{path.name} is a CSV; runs are appended to a .jsonl ledger")
    holds_any = path.exists() and complete_lines(path.read_bytes()).strip()
    known = {run_key(run): run for run in read_runs(path)} if holds_any else {}
    new: list[Run] = []
    for run in runs:
        held = known.setdefault(run_key(run), run)
        if held is run:
            new.append(run)
        elif run_to_record(held) != run_to_record(run):
            raise InputError(
                f"{path.name} already holds this run with another result ({_describe(run)}, "
                f"error {decimal(held.error)} there, {decimal(run.error)} here); remove that line, or give "
                f"the new run another `seed` or `run`"
            )
    for run in new:
        append_jsonl(path, run_to_record(run))
    return len(new)


def _describe(run: Run) -> str:
    pools = " + ".join(mix_weights(run))
    return f"pool {pools}, samples_seen {run.samples_seen}, seed {run.seed}"


def _csv_rows(path: Path, error_column: str) -> Iterator[Row]:
    header, rows = read_csv(path)
    wanted = ("unique_samples", "samples_seen", error_column)
    missing = [name for name in wanted if name not in header]
    if "pool" not in header and "weights" not in header:
        missing.insert(0, "pool")
    if missing:
        hint = ""
        likely = [name for name in header if name.lower().endswith(("error", "loss"))]
        if error_column in missing and likely:
            hint = f" (does {likely[0]!r} hold the error? then say so: error_column, --error-column)"
        raise InputError(
            f"{path.name}, row 1: no column {missing[0]!r} among {listed(header)}; add it, or rename the "
            f"column that holds it{hint}"
        )
    return rows


def _jsonl_rows(path: Path) -> Iterator[Row]:
    for row, record in read_jsonl(path):
        if record.get("version", VERSION) != VERSION or record.get("schema", SCHEMA) != SCHEMA:
            raise InputError(
                f"{path.name}, row {row}: schema {record.get('schema')!r} version {record.get('version')!r} "
                f"is not {SCHEMA!r} version {VERSION}; read it with the release that wrote it"
            )
        yield row, record


def unit_slip(runs: Sequence[Run]) -> tuple[int, str] | None:
    """Number of the first run whose counts cannot be in the same unit as the others, and why; else None.

    A count is taken for millions (or billions) only where it is below 20,000, others of its column are at
    least 1,000,000, none lies between them for a factor of 1,000, and as millions it would lie within 30
    times of the others; or where a run would have made fewer than 0.0002 or more than 10,000 passes over its
    samples.
    """
    for name in ("unique_samples", "samples_seen"):
        found = _slip_in_column(
            name, [(place, count) for place, run in enumerate(runs) for count in _counts(run, name)]
        )
        if found is not None:
            return found
    for place, run in enumerate(runs):
        sentence = _slip_in_run(run)
        if sentence is not None:
            return place, sentence
    return None


def _slip_in_column(name: str, counts: list[tuple[int, int]]) -> tuple[int, str] | None:
    values = sorted({count for _, count in counts})
    for low, high in itertools.pairwise(values):
        if low < _SHORT and high >= max(_LONG, _GAP * low):
            break
    else:
        return None
    for suffix, factor in _UNITS.items():
        if high / _REACH <= low * factor and values[0] * factor <= values[-1] * _REACH:
            place, count = next((place, count) for place, count in counts if count <= low)
            return place, (
                f"`{name}` is {count} where other rows have {high} and more; if it counts in "
                f"{'millions' if suffix == 'M' else 'billions'}, write {count}{suffix}"
                + ("; if in steps, multiply by the batch size" if name == "samples_seen" else "")
            )
    return None


def _slip_in_run(run: Run) -> str | None:
    unique, seen = sum(_counts(run, "unique_samples")), run.samples_seen
    epochs = seen / unique
    short = min(seen, unique)
    if short >= _SHORT or max(seen, unique) < _LONG or _FEWEST_EPOCHS <= epochs <= _MOST_EPOCHS:
        return None
    name = "samples_seen" if seen < unique else "unique_samples"
    return (
        f"`samples_seen` is {seen} and `unique_samples` {unique}, that is {decimal(epochs, 2)} passes; if "
        f"`{name}` counts in millions, write {short}M"
        + ("; if in steps, multiply by the batch size" if seen < unique else "")
    )


def _counts(run: Run, name: str) -> Iterator[int]:
    value = getattr(run, name)
    yield from value.values() if isinstance(value, Mapping) else (value,)
