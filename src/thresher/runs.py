"""The ledger of finished runs: one measurement a row, JSONL or CSV.

A row needs `pool` (or `weights`, pool to weight, for a mix), `unique_samples`, `samples_seen` and `error`;
the other fields of `Run` are optional. In CSV a mix is written as a JSON object in its cell. Counts may be
written `32M`.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from thresher.data.writer import append_jsonl
from thresher.errors import InputError
from thresher.run_record import (
    SCHEMA,
    VERSION,
    Run,
    is_loss,
    mix_pool_samples,
    mix_unique,
    mix_weights,
    run_from_record,
    run_key,
    run_to_record,
)

__all__ = [
    "Run",
    "append_runs",
    "is_loss",
    "mix_pool_samples",
    "mix_unique",
    "mix_weights",
    "read_runs",
    "run_from_record",
    "run_key",
    "run_to_record",
]


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
    runs: list[Run] = []
    first_row: dict[tuple[object, ...], int] = {}
    for row, record in rows:
        try:
            run = run_from_record(record, error_column=error_column)
        except InputError as error:
            raise InputError(f"{path.name}, row {row}: {error}") from None
        key = run_key(run)
        if key in first_row:
            raise InputError(
                f"{path.name}, row {row}: repeats row {first_row[key]} ({_describe(run)}); drop one of them, "
                f"or tell them apart by `seed` or `run`"
            )
        first_row[key] = row
        runs.append(run)
    if not runs:
        raise InputError(f"{path.name} holds no runs; run `thresher probe`, or add rows to it")
    return runs


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
    known = {run_key(run): run for run in read_runs(path)} if _complete_bytes(path).strip() else {}
    new: list[Run] = []
    for run in runs:
        held = known.setdefault(run_key(run), run)
        if held is run:
            new.append(run)
        elif run_to_record(held) != run_to_record(run):
            raise InputError(
                f"{path.name} already holds this run with another result ({_describe(run)}, "
                f"error {held.error:g} there, {run.error:g} here); remove that line, or give the "
                f"new run another `seed` or `run`"
            )
    for run in new:
        append_jsonl(path, run_to_record(run))
    return len(new)


def _describe(run: Run) -> str:
    pools = " + ".join(mix_weights(run))
    return f"pool {pools}, samples_seen {run.samples_seen}, seed {run.seed}"


def _decode(data: bytes, path: Path) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None


def _csv_rows(path: Path, error_column: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.reader(io.StringIO(_decode(path.read_bytes(), path), newline=""))
    header = [name.strip() for name in next(reader, [])]
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
            f"{path.name}, row 1: no column {missing[0]!r} among {', '.join(header)}; add it{hint}"
        )
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise InputError(
                f"{path.name}, row {reader.line_num}: {len(cells)} cells under {len(header)} columns; "
                f"mend the row"
            )
        yield reader.line_num, dict(zip(header, cells, strict=True))


def _jsonl_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    text = _decode(_complete_bytes(path), path)
    for row, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        record = _parse_line(line)
        if record is None:
            raise InputError(
                f"{path.name}, row {row}: {line[:60]!r} is not a JSON object; mend or remove the line"
            )
        if record.get("version", VERSION) != VERSION or record.get("schema", SCHEMA) != SCHEMA:
            raise InputError(
                f"{path.name}, row {row}: schema {record.get('schema')!r} version {record.get('version')!r} "
                f"is not {SCHEMA!r} version {VERSION}; read it with the release that wrote it"
            )
        yield row, record


def _parse_line(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _complete_bytes(path: Path) -> bytes:
    """The ledger without an unfinished last line; a whole record that only lacks its newline is finished."""
    data = path.read_bytes() if path.exists() else b""
    end = data.rfind(b"\n") + 1
    tail = data[end:]
    return (
        data if not tail.strip() or _parse_line(tail.decode("utf-8", "replace")) is not None else data[:end]
    )
