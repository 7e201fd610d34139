"""Mixture tables: a row a run, a column a domain's share, one or many losses.

What is known by its layout:

- one CSV with shares and losses, and perhaps the model's size (`group`, `size`, `params`), such as `70M`;
- two CSVs joined by a column that both have (`index`, `run`, `run_id`, `name`), shares in the first;
- shares in the run's name, such as `mix_3-0.5-0.25-0.25`, where no columns hold them.

Shares are the columns that begin with one of `SHARE_PREFIXES`; in two files without those, all columns of the
first that are no labels. Losses are the columns whose name says so; in two files all of the second otherwise.
A log with a row a run, step and domain is read by `mixture_logs.py`.
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from thresher.budget import parse_count
from thresher.errors import InputError, naming
from thresher.planning.runs.importers.records import printable
from thresher.planning.runs.mixture_table import MixtureTable
from thresher.planning.runs.record import is_given
from thresher.planning.runs.table_file import Row, listed, read_csv
from thresher.tables import decimal

SHARE_PREFIXES = ("train_", "proportion_", "share_", "ratio_", "weight_")
LOSS_PREFIXES = ("metric/", "loss_")
LOSS_SUFFIXES = ("_val_loss", "_loss")
KEYS = ("index", "run", "run_id", "name")
"""Columns that two files may be joined by; the first that both have."""
SIZE_COLUMNS = ("size", "params", "model_size", "group", "model")
"""Columns that may hold the size of the model; the first whose cells are sizes."""
_LABELS = {*KEYS, *SIZE_COLUMNS, "step", "seed"}
_LOSS = re.compile(r"loss|bpb|perplexity|ppl|nll", re.I)
_SHARE = r"(?:0?\.\d+|[01](?:\.\d*)?)"
_SHARES_IN_NAME = re.compile(rf"(?<![\d.])({_SHARE}(?:[-_,]{_SHARE})+)(?![\d.])")
_NAMED_SHARE = re.compile(rf"([A-Za-z][\w ]*?)[=:]({_SHARE})(?![\d.])")
_ROUNDED = 0.02
_LONGEST_NAME = 1000


def read_mixtures(
    sources: Sequence[Path], *, key: str | None = None, size: int | str | None = None
) -> MixtureTable:
    """The runs of one mixture table.

    Args:
        sources: One CSV, or two: shares first, then losses.
        key: The column that joins two files.
        size: Parameters of all models, where no column tells them; such as `60M`.

    Raises:
        InputError: naming file, row and remedy: there are no shares or losses, shares do not sum to 1, a cell
            is no number, a run stands there twice.
    """
    if len(sources) not in (1, 2):
        raise InputError(
            f"{len(sources)} files were named; a mixture table is one file, or shares and losses"
        )
    tables = [_read(source) for source in sources]
    rows, notes = (tables[0][1], []) if len(tables) == 1 else _joined(sources, tables, key)
    names = [source.name for source in sources]
    share_columns, loss_columns = _share_columns(tables), _loss_columns(names[-1], tables)
    if not rows:
        raise InputError(f"{names[0]} holds no rows")
    domains, shares = (
        _shares(names[0], rows, share_columns) if share_columns else _shares_of_names(names[0], rows)
    )
    losses = np.array(
        [[_loss(names[-1], row, cells, column) for column in loss_columns] for row, cells in rows]
    )
    return MixtureTable(
        runs=tuple(_run_name(row, cells, key) for row, cells in rows),
        domains=domains,
        metrics=_short(loss_columns, LOSS_PREFIXES, LOSS_SUFFIXES),
        shares=shares,
        losses=losses,
        sizes=_sizes(rows, size),
        notes=tuple(notes),
    )


def shares_in_name(name: str) -> tuple[tuple[str, ...], tuple[float, ...]] | None:
    """Domains and shares that a run's name holds; domains that have no name are counted. None without shares.

    >>> shares_in_name("mix_3-0.5-0.25-0.25")
    (('domain 1', 'domain 2', 'domain 3'), (0.5, 0.25, 0.25))
    >>> shares_in_name("web=0.75,books=0.25")
    (('web', 'books'), (0.75, 0.25))
    """
    name = name[:_LONGEST_NAME]
    named = _NAMED_SHARE.findall(name)
    if _is_whole([float(share) for _, share in named]):
        return tuple(domain.strip() for domain, _ in named), tuple(float(share) for _, share in named)
    for match in _SHARES_IN_NAME.finditer(name):
        found = [float(share) for share in re.split(r"[-_,]", match[1])]
        # A run's number may stand before its shares, so the longest tail that sums to 1 is meant.
        tail = next((found[begin:] for begin in range(len(found) - 1) if _is_whole(found[begin:])), None)
        if tail is not None:
            return tuple(f"domain {place}" for place in range(1, len(tail) + 1)), tuple(tail)
    return None


def _read(source: Path) -> tuple[list[str], list[Row]]:
    if not source.is_file():
        raise InputError(f"there is no table at {source}; name a .csv file")
    header, rows = read_csv(source)
    return header, list(rows)


def _joined(
    sources: Sequence[Path], tables: Sequence[tuple[list[str], list[Row]]], key: str | None
) -> tuple[list[Row], list[str]]:
    """The rows of both files, in the order of the first; rows that only one has are noted."""
    (left, left_rows), (right, right_rows) = tables
    names = [source.name for source in sources]
    common = [column for column in KEYS if column in left and column in right]
    if key is None and not common:
        raise InputError(f"{names[0]} and {names[1]} share no column among {', '.join(KEYS)}; name one")
    chosen = key or common[0]
    for name, header in zip(names, (left, right), strict=True):
        if chosen not in header:
            raise InputError(f"{name}, row 1: no column {chosen!r} among {listed(header)}; name another")
    losses = _by_key(names[1], right_rows, chosen)
    shares = _by_key(names[0], left_rows, chosen)
    rows = [(row, {**losses[one][1], **cells}) for one, (row, cells) in shares.items() if one in losses]
    if not rows:
        raise InputError(f"{names[0]} and {names[1]} have no {chosen!r} in common; name another column")
    notes = [
        f"{name}: {len(odd)} runs stand in this file alone and were left out, such as {odd[0]!r}"
        for name, here, there in ((names[0], shares, losses), (names[1], losses, shares))
        if (odd := [printable(one) for one in here if one not in there])
    ]
    return rows, notes


def _by_key(name: str, rows: Sequence[Row], key: str) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for row, cells in rows:
        held = str(cells.get(key, "")).strip()
        if not held:
            raise InputError(f"{name}, row {row}: {key!r} is empty; name the run, or drop the row")
        if held in found:
            raise InputError(
                f"{name}, row {row}: {key} {printable(held)!r} stands already in row {found[held][0]}; drop "
                "one of them"
            )
        found[held] = (row, cells)
    return found


def _share_columns(tables: Sequence[tuple[list[str], list[Row]]]) -> list[str]:
    header = tables[0][0]
    for prefix in SHARE_PREFIXES:
        found = [name for name in header if name.startswith(prefix) and not _LOSS.search(name)]
        if len(found) > 1:
            return found
    if len(tables) == 1:
        return []
    found = [name for name in header if name and name.lower() not in _LABELS]
    return found if len(found) > 1 else []


def _loss_columns(name: str, tables: Sequence[tuple[list[str], list[Row]]]) -> list[str]:
    header = tables[-1][0]
    found = [column for column in header if column.startswith(LOSS_PREFIXES) or _LOSS.search(column)]
    if not found and len(tables) == 2:
        found = [column for column in header if column and column.lower() not in _LABELS]
    if not found:
        raise InputError(f"{name}, row 1: no column of losses among {listed(header)}; call them loss_DOMAIN")
    return found


def _shares(name: str, rows: Sequence[Row], columns: Sequence[str]) -> tuple[tuple[str, ...], Any]:
    shares = []
    for row, cells in rows:
        # A domain that a run does not draw from may be left empty.
        found = [_number(name, row, cells, column) if is_given(cells[column]) else 0.0 for column in columns]
        negative = next((column for column, share in zip(columns, found, strict=True) if share < 0), None)
        if negative is not None:
            raise InputError(f"{name}, row {row}: {negative!r} is below 0; shares are from 0 to 1")
        if not _is_whole(found):
            total = math.fsum(found)
            hint = "write fractions, not per cent" if _is_whole([share / 100 for share in found]) else "mend"
            raise InputError(f"{name}, row {row}: shares sum to {decimal(total)}, not 1; {hint} the row")
        shares.append(found)
    array = np.array(shares)
    return _short(columns, SHARE_PREFIXES, ()), array / array.sum(1, keepdims=True)


def _shares_of_names(name: str, rows: Sequence[Row]) -> tuple[tuple[str, ...], Any]:
    domains: tuple[str, ...] = ()
    shares = []
    for row, cells in rows:
        run = str(next((cells[column] for column in ("run", "name", "run_id") if column in cells), ""))
        found = shares_in_name(run)
        if found is None:
            raise InputError(
                f"{name}, row {row}: no columns of shares, and run {printable(run)!r} has none in its name; "
                f"call the columns {SHARE_PREFIXES[2]}DOMAIN"
            )
        if domains and found[0] != domains:
            raise InputError(
                f"{name}, row {row}: run {printable(run)!r} has other domains in its name "
                f"than row {rows[0][0]}"
            )
        domains = found[0]
        shares.append(found[1])
    array = np.array(shares)
    return domains, array / array.sum(1, keepdims=True)


def _sizes(rows: Sequence[Row], size: int | str | None) -> Any:
    if size is not None:
        return np.full(len(rows), float(parse_count(size)))
    for column in SIZE_COLUMNS:
        held = [str(cells.get(column, "")).strip() for _, cells in rows]
        if all(re.fullmatch(r"[\d.]+(e\d+)?[kKmMbBgGtT]?", one) for one in held):
            return np.array([float(parse_count(one)) for one in held])
    return None


def _run_name(row: int, cells: Mapping[str, Any], key: str | None) -> str:
    columns = [*([key] if key else []), "run", "name", "run_id", "index"]
    return printable(str(next((cells[one] for one in columns if is_given(cells.get(one))), f"row {row}")))


def _loss(name: str, row: int, cells: Mapping[str, Any], column: str) -> float:
    if not is_given(cells[column]):
        raise InputError(f"{name}, row {row}: {column!r} is empty; drop the row or the column")
    found = _number(name, row, cells, column)
    if found <= 0:
        raise InputError(f"{name}, row {row}: {column!r} is {decimal(found)}; a loss is above 0")
    return found


def _number(name: str, row: int, cells: Mapping[str, Any], column: str) -> float:
    with naming(f"{name}, row {row}"):
        try:
            found = float(cells[column])
        except ValueError:
            found = math.nan
        if not math.isfinite(found):
            raise InputError(f"{column!r} is {cells[column]!r}; write a number")
        return found


def _short(columns: Sequence[str], prefixes: Sequence[str], suffixes: Sequence[str]) -> tuple[str, ...]:
    """Names without what says that they are shares or losses, where that leaves them different."""
    short = []
    for column in columns:
        prefix = next((one for one in prefixes if column.startswith(one)), "")
        rest = column.removeprefix(prefix)
        suffix = next((one for one in suffixes if rest.endswith(one)), "")
        short.append(printable(rest.removesuffix(suffix) or column))
    return tuple(short) if len(set(short)) == len(short) else tuple(printable(column) for column in columns)


def _is_whole(shares: Sequence[float]) -> bool:
    return len(shares) > 1 and abs(math.fsum(shares) - 1) <= _ROUNDED
