"""Labelled pairs: which are good, and which belong to one group."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from thresher.data.csv_rows import BadRecord, records
from thresher.data.digests import number_of
from thresher.data.uids import uid_bytes
from thresher.errors import InputError

GOOD = frozenset({"1", "1.0", "true", "yes", "match", "good"})
BAD = frozenset({"0", "0.0", "false", "no", "no-match", "bad"})
"""How a label may be written, whatever its case."""


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Labelled pairs, each once.

    Attributes:
        uids: Rising, dtype `S16`.
        good: Which of them are good.
        groups: Group of each, 0 to G - 1; those of one group are never learned from and measured on at once.
        keys: A whole number of each that is the same for a group in every table.
    """

    uids: npt.NDArray[np.bytes_]
    good: npt.NDArray[np.bool_]
    groups: npt.NDArray[np.int64]
    keys: npt.NDArray[np.uint64]

    def taking(self, which: npt.NDArray[np.bool_]) -> "Labels":
        """Only some of the pairs."""
        numbers = np.unique(self.keys[which], return_inverse=True)[1].astype(np.int64)
        return Labels(self.uids[which], self.good[which], numbers, self.keys[which])


def read_labels(path: Path) -> Labels:
    """The labels in a table with the columns `uid`, `label` and perhaps `group`.

    A TSV, CSV or Parquet file. A label is 1 or 0, true or false, match or no-match. `group` names what pairs
    share, such as the image; without it every pair is a group of its own.

    Raises:
        InputError: the file or a column is absent, a label is none of these, a uid is none, or a pair has two
            different labels.
    """
    uids, texts, groups = _columns(path)
    good = np.zeros(len(texts), dtype=np.bool_)
    for row, text in enumerate(texts):
        word = text.strip().casefold()
        if word not in GOOD and word not in BAD:
            raise InputError(
                f"{path}, row {row + 1}: the label {text!r} is unknown; write 1 or 0, or match or no-match"
            )
        good[row] = word in GOOD
    try:
        found = uid_bytes(uids)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    different, first, which = np.unique(found, return_index=True, return_inverse=True)
    torn = np.flatnonzero(good != good[first][which])
    if len(torn):
        raise InputError(
            f"{path}, row {torn[0] + 1}: pair {uids[torn[0]]} has another label in row "
            f"{first[which[torn[0]]] + 1}; keep one"
        )
    keys = np.array([number_of(groups[row].encode()) for row in first], dtype=np.uint64)
    numbers = np.unique(keys, return_inverse=True)[1].astype(np.int64)
    return Labels(different, good[first], numbers, keys)


def _columns(path: Path) -> tuple[list[str], list[str], list[str]]:
    """uid, label and group of each row, as texts."""
    if not path.is_file():
        raise InputError(f"there is no table of labels {path}; check the path")
    table = _parquet(path) if path.suffix == ".parquet" else _text(path)
    for name in ("uid", "label"):
        if name not in table:
            raise InputError(
                f"{path} has no column {name!r}, only {', '.join(table) or 'none'}; a table of labels has "
                "uid, label and perhaps group"
            )
    uids = [uid.strip().lower() for uid in table["uid"]]
    return uids, table["label"], table.get("group", uids)


def _parquet(path: Path) -> dict[str, list[str]]:
    try:
        table = pq.read_table(path, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"the table of labels {path} is not a readable Parquet file: {error}") from error
    return {name: [str(value) for value in table.column(name).to_pylist()] for name in table.column_names}


def _text(path: Path) -> dict[str, list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            found = list(records(file, "," if path.suffix == ".csv" else "\t"))
    except UnicodeDecodeError as error:
        raise InputError(f"the table of labels {path} is not readable text: {error}") from error
    rows: list[tuple[int, list[str]]] = []
    for line, fields in found:
        if isinstance(fields, BadRecord):
            raise InputError(f"the table of labels {path}, {fields.reason}; mend the line")
        rows.append((line, fields))
    header = rows[0][1] if rows else []
    for line, fields in rows[1:]:
        if len(fields) != len(header):
            raise InputError(f"{path}, line {line}: has {len(fields)} cells, its header {len(header)}")
    return {name: [fields[place] for _, fields in rows[1:]] for place, name in enumerate(header)}
