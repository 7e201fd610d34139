"""Which pair a row of a table is about: by its uid, or by a key that the shards resolve."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from thresher.data.files.quarantine import refused_rows
from thresher.data.table import CAPTION_COLUMNS
from thresher.data.uids import uid_bytes
from thresher.errors import InputError
from thresher.scores.imported.parquet_files import ParquetSource, need_column
from thresher.scores.imported.shard_pairs import ABSENT, AMBIGUOUS, ShardPairs
from thresher.scores.imported.vectors import holds_text, read_text, read_uids
from thresher.sharded.parts import ROW_COLUMNS

UID = "uid"
KEYS = ("key", "image_path")
STATUS = "status"
SUCCESS = "success"
NO_SUCH_UID = "no pair of the shards has this uid"
NO_SUCH_KEY = "no pair of the shards has this key"
SEVERAL = "several pairs of the shards have this key, or paths of several folders end in it"
OTHER_CAPTION = "the pair of the shards that has this key has another caption than the row"

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """How the rows of a file tell their pair.

    Attributes:
        uid: Column of the uid; None where rows are named by key.
        key: Column of the key; None where there is none.
        caption: Column of the caption; None where there is none, or a uid tells the pair of a shard.
        status: Whether the file says which rows were downloaded, as img2dataset does.
    """

    uid: str | None
    key: str | None
    caption: str | None
    status: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read for it."""
        named = (self.uid, self.key, self.caption, STATUS if self.status else None)
        return tuple(dict.fromkeys(name for name in named if name is not None))


def naming_of(source: ParquetSource, *, uid: str | None, key: str | None, pairs: bool) -> Naming:
    """How the rows of `source` tell their pair, by the columns that a person named or the usual ones.

    Raises:
        InputError: there is no such column, or keys are all there is and no shards are given (`pairs`).
    """
    names = source.schema.names
    texts = {field.name for field in source.schema if holds_text(field.type)}
    lower = {name.lower(): name for name in reversed(names)}
    uid_column = need_column(source, uid) if uid is not None else lower.get(UID)
    if key is not None:
        key_column: str | None = need_column(source, key)
        uid_column = uid_column if uid is not None else None
    else:
        key_column = next((lower[name] for name in KEYS if lower.get(name) in texts), None)
    for column in (uid_column, key_column):
        if column is not None and not holds_text(source.schema.field(column).type):
            kind = source.schema.field(column).type
            raise InputError(
                f"the column {column!r} of {source.path} is {kind}, not text; name the column of uids with "
                "--uid, or of keys with --key"
            )
    if uid_column is None and key_column is None:
        raise InputError(
            f"{source.path} has no column 'uid' among {', '.join(names)}; name it with --uid COLUMN, or "
            "name a column of keys with --key COLUMN and give the shards with --shards"
        )
    if uid_column is None and not pairs:
        raise InputError(
            f"{source.path} names its pairs by {key_column!r} alone, which only their shards resolve to "
            "uids; give --shards, or name the column of uids with --uid COLUMN"
        )
    captions = () if pairs and uid_column is not None else CAPTION_COLUMNS
    return Naming(
        uid=uid_column,
        key=key_column,
        caption=next((lower[name] for name in captions if lower.get(name) in texts), None),
        status=STATUS in texts,
    )


class Rows:
    """The rows of a piece of a file: the pair of each, and whether it is kept or why not.

    Attributes:
        table: Columns as they were read.
        path: The file.
        start: Place of the first row in it.
        kept: Which rows are not refused.
        pairs: Columns `ROW_COLUMNS`, one row for every row of the piece, refused or not.
        known: Which rows have a uid.
    """

    def __init__(
        self, table: pa.Table, naming: Naming, pairs: ShardPairs | None, path: str, start: int
    ) -> None:
        """Find the pairs; rows without one are refused.

        Raises:
            InputError: no row of the piece has a uid.
        """
        self.table = table
        self.path = path
        self.start = start
        self.kept: Mask = np.ones(table.num_rows, dtype=np.bool_)
        self._reasons: dict[int, str] = {}
        if naming.status:
            status = read_text(table.column(STATUS))[0].to_pylist()
            failed = np.array([text not in ("", SUCCESS) for text in status], dtype=np.bool_)
            self.refuse(failed, [f"its status is '{text}'" for text in status if text not in ("", SUCCESS)])
        self.pairs, self.known = self._find(naming, pairs)

    def refuse(self, rows: Mask, reasons: str | Sequence[str]) -> None:
        """Drop rows; `reasons` is one for all, or one for each of them. The first reason of a row counts."""
        self.remark(rows, reasons)
        self.kept &= ~rows

    def remark(self, rows: Mask, reasons: str | Sequence[str]) -> None:
        """Give rows that are kept a place in the quarantine, for what they lack."""
        places = np.flatnonzero(rows & self.kept)
        texts = [reasons] * len(places) if isinstance(reasons, str) else reasons
        for place, text in zip(places.tolist(), texts, strict=True):
            self._reasons.setdefault(place, text)

    def refuse_repeats(self) -> list[tuple[int, int]]:
        """Refuse all but the first of rows with one uid; (row, first row with its uid) of each refused."""
        rows = np.flatnonzero(self.kept)
        uids = uid_bytes(self.pairs.column("uid").take(pa.array(rows)))
        _, first, number = np.unique(uids, return_index=True, return_inverse=True)
        firsts = first[number]
        again = np.flatnonzero(firsts != np.arange(len(rows)))
        firsts = rows[firsts[again]]
        mask = np.zeros(len(self.kept), dtype=np.bool_)
        mask[rows[again]] = True
        self.refuse(
            mask, [f"duplicate uid: row {self.start + row} of this file has it" for row in firsts.tolist()]
        )
        return list(zip(rows[again].tolist(), firsts.tolist(), strict=True))

    def quarantine(self, stage: str) -> pa.Table:
        """The quarantine table of the rows that are refused or remarked on."""
        places = np.array(sorted(self._reasons), dtype=np.int64)
        rows = self.pairs.take(pa.array(places))
        uids = pc.if_else(pa.array(self.known[places]), rows.column("uid"), pa.scalar(None, pa.string()))
        shards = pa.array([self.path] * len(places), pa.string())
        named = pa.table({"shard": shards, "key": rows.column("key"), "uid": uids})
        reasons = [self._reasons[place] for place in places.tolist()]
        return refused_rows(named, stage, reasons, places + self.start)

    def _find(self, naming: Naming, pairs: ShardPairs | None) -> tuple[pa.Table, Mask]:
        """The pair of each row, and which rows have a uid."""
        keys, keys_valid = self._texts(naming.key)
        captions, captions_valid = self._texts(naming.caption)
        if naming.uid is not None:
            uids, known = read_uids(self.table.column(naming.uid))
            self._refuse_unknown(known, naming.uid)
            if pairs is None:
                columns = [uids, keys, pa.array([self.path] * len(keys), pa.string()), captions]
                self.refuse(~captions_valid, "the caption is not valid UTF-8")
                return pa.table(columns, names=list(ROW_COLUMNS)), known
            places = np.where(known, pairs.of_uids(uids), ABSENT)
            self.refuse(known & (places < 0), NO_SUCH_UID)
        else:
            assert pairs is not None
            places = pairs.of_names(keys.to_pylist(), self.path, self.start)
            self.refuse(~keys_valid, "the key is not valid UTF-8")
            self.refuse(places == AMBIGUOUS, SEVERAL)
            self.refuse(places == ABSENT, NO_SUCH_KEY)
            known = places >= 0
            if naming.caption is not None:
                self.refuse(_disagree(captions, pairs.table.column("caption"), places), OTHER_CAPTION)
        found = pairs.table.take(pa.array(places, pa.int64(), mask=places < 0))
        columns = [found.column(name) for name in ROW_COLUMNS]
        if naming.uid is not None:
            columns[0] = uids
        columns[1] = pc.coalesce(columns[1], keys)
        columns[2] = pc.fill_null(columns[2], self.path)
        return pa.table(columns, names=list(ROW_COLUMNS)), known

    def _texts(self, column: str | None) -> tuple[pa.Array, Mask]:
        if column is None:
            return pa.array([""] * len(self.kept), pa.string()), np.ones(len(self.kept), dtype=np.bool_)
        return read_text(self.table.column(column))

    def _refuse_unknown(self, known: Mask, name: str) -> None:
        wrong = ~known & self.kept
        if not wrong.any():
            return
        shown = [_shown(self.table.column(name)[int(row)]) for row in np.flatnonzero(wrong)]
        if not known.any():
            raise InputError(
                f"the column {name!r} of {self.path} holds no uids: its first value is {shown[0]}, and a uid "
                "is 32 hexadecimal digits; name their column with --uid, or a column of keys with --key and "
                "the shards with --shards"
            )
        self.refuse(
            wrong,
            [
                "the row has no uid" if text == "null" else f"the uid {text} is not 32 hexadecimal digits"
                for text in shown
            ],
        )


def _disagree(captions: pa.Array, of_pairs: pa.ChunkedArray, places: npt.NDArray[np.int64]) -> Mask:
    """Which rows have a caption, and another than their pair, white space apart."""
    theirs = of_pairs.take(pa.array(places, pa.int64(), mask=places < 0)).to_pylist()
    found = [
        bool(ours.split()) and pair is not None and ours.split() != pair.split()
        for ours, pair in zip(captions.to_pylist(), theirs, strict=True)
    ]
    return np.array(found, dtype=np.bool_)


def _shown(value: pa.Scalar) -> str:
    if not value.is_valid:
        return "null"
    binary = str(value).encode() if pa.types.is_dictionary(value.type) else value.cast(pa.binary()).as_py()
    return repr(binary[:40].decode("utf-8", "backslashreplace"))
