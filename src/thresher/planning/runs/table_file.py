"""Rows of a CSV or JSONL file with their numbers, read within limits and refused with a sentence."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from thresher.data.csv_rows import BadRecord, Record, records
from thresher.errors import InputError

MAX_BYTES = 64 * 2**20
MAX_CELL = 100_000
MAX_ROWS = 100_000
"""Finished runs are few; a longer table is a training log, and reading it would only take time."""

_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_SHOWN_COLUMNS = 12

Row = tuple[int, dict[str, Any]]


def read_csv(path: Path) -> tuple[list[str], Iterator[Row]]:
    """The column names, and each row that is not blank as a number (the header is row 1) and its cells.

    Raises:
        InputError: the file is empty, too long, not UTF-8 or not parted by commas, or names a column twice;
            for a row with too many or too few cells when it is reached.
    """
    header: list[str] = []

    def is_row(cells: list[str], inside: range) -> bool:
        return len(cells) == len(header) and len(inside) > 1

    rows = records(io.StringIO(_decode(_read(path), path), newline=""), ",", is_row=is_row)
    _, first = next(rows, (1, []))
    if isinstance(first, BadRecord):
        raise InputError(f"{path.name}, {first.reason}; save the table as plain CSV")
    header += [name.strip() for name in first]
    if not any(header):
        raise InputError(f"{path.name} is empty; its first row has to name the columns")
    _check_header(path, header)
    return header, _csv_rows(path, rows, header)


def read_jsonl(path: Path) -> Iterator[Row]:
    """Each line that is not blank as a number (from 1) and its JSON object.

    A last line that a killed writer left unfinished is left out.

    Raises:
        InputError: the file is too long or not UTF-8; for a line that is no JSON object when it is reached.
    """
    text = _decode(complete_lines(_read(path)), path)
    for row, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        record = parse_line(line)
        if record is None:
            hint = "; a table of columns has to be called .csv" if row == 1 else ""
            raise InputError(
                f"{path.name}, row {row}: {line[:60]!r} is not a JSON object; mend or remove the line{hint}"
            )
        yield row, record


def parse_line(line: str) -> dict[str, Any] | None:
    """The JSON object in a line; None where it holds something else."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def complete_lines(data: bytes) -> bytes:
    """JSONL without an unfinished last line; a whole record that only lacks its newline is finished."""
    end = data.rfind(b"\n") + 1
    tail = data[end:]
    return data if not tail.strip() or parse_line(tail.decode("utf-8", "replace")) is not None else data[:end]


def listed(names: list[str]) -> str:
    """Column names for a sentence; the first dozen where there are more."""
    more = f" and {len(names) - _SHOWN_COLUMNS} more" if len(names) > _SHOWN_COLUMNS else ""
    return ", ".join(names[:_SHOWN_COLUMNS]) + more


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if data.count(b"\n") > MAX_ROWS:
        raise InputError(
            f"{path.name}, row {MAX_ROWS + 1:,}: a table of finished runs ends by row {MAX_ROWS:,}; keep one "
            f"row a run, its last point"
        )
    if len(data) > MAX_BYTES:
        raise InputError(
            f"{path.name} is larger than {MAX_BYTES >> 20} MiB; keep the rows and columns of finished runs"
        )
    return data


def _decode(data: bytes, path: Path) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path.name}, row {row}: is not UTF-8 text (byte {error.start}); save the table as UTF-8"
        ) from None
    if "\0" in text:
        row = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(
            f"{path.name}, row {row}: is not UTF-8 text (it holds NUL bytes); save the table as UTF-8"
        )
    return text


def _check_header(path: Path, header: list[str]) -> None:
    if len(header) == 1:
        for mark, name in _DELIMITERS.items():
            if mark in header[0]:
                raise InputError(
                    f"{path.name}, row 1: the columns are parted by {name}; save the table with commas "
                    f"between them and points in decimals"
                )
    named = [name for name in header if name]
    twice = next((name for place, name in enumerate(named) if name in named[:place]), None)
    if twice is not None:
        raise InputError(f"{path.name}, row 1: two columns are called {twice!r}; rename or remove one")


def _csv_rows(path: Path, rows: Iterator[Record], header: list[str]) -> Iterator[Row]:
    for line, cells in rows:
        if isinstance(cells, BadRecord):
            raise InputError(f"{path.name}, {cells.reason}; mend the line")
        if not any(cell.strip() for cell in cells):
            continue
        longest = max(map(len, cells))
        if longest > MAX_CELL:
            raise InputError(
                f"{path.name}, row {line}: a cell of {longest:,} characters; shorten it, at most "
                f"{MAX_CELL:,} are read"
            )
        if len(cells) != len(header):
            raise InputError(
                f"{path.name}, row {line}: {len(cells)} cells under {len(header)} columns; "
                f"mend the row (a cell that holds a comma needs quotes)"
            )
        yield line, dict(zip(header, cells, strict=True))
