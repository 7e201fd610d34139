"""The quarantine table: a row for everything that was not used, with the stage and the reason."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from thresher.data.digests import hasher
from thresher.data.files.atomic import atomic_path, write_table
from thresher.data.files.record_file import own_file
from thresher.data.pairs import Reject

SCHEMA = pa.schema(
    [
        pa.field("shard", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("uid", pa.string()),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
    ]
)

_NUMBER = re.compile(r"(?<![A-Za-z]-)(?<!\d)\d+")  # the 8 of UTF-8 is part of a name

_ORDER = [("shard", "ascending"), ("offset", "ascending"), ("key", "ascending"), ("stage", "ascending")]


def from_rejects(rejects: Iterable[Reject]) -> pa.Table:
    """The quarantine table of some rejects, in their order."""
    rows = list(rejects)
    columns = {field.name: [getattr(reject, field.name) for reject in rows] for field in SCHEMA}
    return pa.table(columns, schema=SCHEMA)


def refused_rows(
    rows: pa.Table, stage: str, reasons: Sequence[str], offsets: npt.NDArray[np.int64]
) -> pa.Table:
    """The quarantine table of rows that have the columns `shard`, `key` and `uid`."""
    columns = [*(rows.column(name) for name in ("shard", "key", "uid")), [stage] * len(reasons)]
    return pa.table([*columns, reasons, offsets], names=SCHEMA.names).cast(SCHEMA)


def write_quarantine(path: str | os.PathLike[str], rejects: Iterable[Reject] | pa.Table) -> None:
    """Write rejects (or their table) as one Parquet file, sorted by shard, offset, key and stage."""
    table = rejects if isinstance(rejects, pa.Table) else from_rejects(rejects)
    write_table(path, _sorted(table))


def read_quarantine(path: str | os.PathLike[str]) -> pa.Table:
    """The quarantine table of a file.

    Raises:
        InputError: the file is absent, or is no quarantine table.
    """
    with own_file(Path(path), "it is no quarantine table; delete it and run its stage again"):
        return pq.read_table(path, columns=SCHEMA.names, partitioning=None).cast(SCHEMA)


def merge_quarantine(parts: Sequence[str | os.PathLike[str]], path: str | os.PathLike[str]) -> int:
    """Join part files in the order of their paths into one file; the number of its rows.

    What two stages report alike (an index meets the same bad pair as the scoring did) stands once. Parts are
    read one after another, so memory grows with the number of rows by the 16 bytes that tell repeats.
    """
    seen: set[bytes] = set()
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
        for part in sorted(os.fspath(part) for part in parts):
            table = _sorted(read_quarantine(part))
            new = []
            for mark in _marks(table):
                new.append(mark not in seen)
                seen.add(mark)
            if any(new):
                writer.write_table(table.filter(pa.array(new)))
    return len(seen)


def counts_by_reason(table: pa.Table) -> dict[str, int]:
    """How often each kind of reason stands in a quarantine table, most frequent first, ties by name.

    Numbers and quoted names in a reason are left out, so that reasons that differ in these alone count
    together.
    """
    counts = Counter(reason_kind(reason) for reason in table.column("reason").to_pylist())
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def reason_kind(reason: str) -> str:
    """A reason without its numbers and quoted names.

    >>> reason_kind("the caption has 10001 characters; at most 10000 are taken")
    'the caption has N characters; at most N are taken'
    """
    return _NUMBER.sub("N", re.sub(r"'[^']*'", "'...'", reason))


def _sorted(table: pa.Table) -> pa.Table:
    return table.sort_by([*_ORDER, ("reason", "ascending")])


def _marks(table: pa.Table) -> list[bytes]:
    """Sixteen bytes for each row that are equal when shard, key, place and reason are."""
    columns = [table.column(name).to_pylist() for name in ("shard", "key", "offset", "reason")]
    return [hasher(repr(values).encode("utf-8")).digest() for values in zip(*columns, strict=True)]
