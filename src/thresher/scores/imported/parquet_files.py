"""The Parquet files that scores and embeddings are imported from, looked at before anything is written."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from thresher.data.files.location import fingerprint, is_remote, open_binary
from thresher.data.patterns import expand_files
from thresher.errors import InputError, nearest

BUFFER_BYTES = 2**20


class BadFile(ValueError):
    """Why nothing of a file, or of what lies beside it, is taken; the other files go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetSource:
    """A Parquet file.

    Attributes:
        number: Its place among all that were named.
        path: Its name, as `find` gives it.
        state: Size and modification time (or what stands for them).
        rows: Number of its rows.
        schema: Its columns.
        beside: Files that belong to it, whose state is part of its own.
    """

    number: int
    path: str
    state: str
    rows: int
    schema: pa.Schema
    beside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The files of an import.

    Attributes:
        paths: All that were named.
        usable: Those that can be read.
        refused: Places of the others among all, with the reason.
    """

    paths: Sequence[str]
    usable: Sequence[ParquetSource]
    refused: Mapping[int, str]

    @property
    def rows(self) -> int:
        """Rows of those that can be read."""
        return sum(source.rows for source in self.usable)

    def check(self) -> None:
        """Refuse to begin where no file can be taken.

        Raises:
            InputError: naming the first file and why.
        """
        if not self.usable:
            number = min(self.refused)
            raise InputError(
                f"none of the {len(self.paths)} files can be taken; the first is {self.paths[number]} "
                f"({self.refused[number]})"
            )


def find(patterns: Sequence[str]) -> list[str]:
    """The Parquet files that names, folders, globs and brace patterns mean, folders in sorted order.

    Raises:
        InputError: something does not exist, or is no Parquet file by its name.
    """
    if not patterns:
        raise InputError("no table is given; name Parquet files, or a folder of them")
    paths = expand_files(patterns, ".parquet")
    other = [path for path in paths if not path.lower().endswith(".parquet")]
    if other:
        raise InputError(
            f"{other[0]} is no Parquet file; name files that end in .parquet, or a folder of them"
        )
    return paths


def state_of(path: str, beside: Sequence[str] = ()) -> str:
    """Sizes and modification times (or what stands for them) of a file and of those that belong to it.

    Raises:
        BadFile: one is absent.
    """
    states = []
    for name in (path, *beside):
        try:
            states.append(fingerprint(name))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise BadFile(f"cannot be read: {reason}" if name == path else f"{name}: {reason}") from error
    return " ".join(states)


def look_at(number: int, path: str, beside: Sequence[str] = ()) -> ParquetSource:
    """What the end of a file says.

    Raises:
        BadFile: it, or one that belongs to it, is absent or damaged.
    """
    state = state_of(path, beside)
    with opened(path) as parquet:
        return ParquetSource(
            number=number,
            path=path,
            state=state,
            rows=int(parquet.metadata.num_rows),
            schema=parquet.schema_arrow,
            beside=tuple(beside),
        )


def look_at_all(paths: Sequence[str], beside: Sequence[Sequence[str]] = ()) -> Sources:
    """The files, looked at; `beside` are for each of them the files that belong to it."""
    usable, refused = [], {}
    for number, path in enumerate(paths):
        try:
            usable.append(look_at(number, path, beside[number] if beside else ()))
        except BadFile as error:
            refused[number] = str(error)
    return Sources(paths=paths, usable=usable, refused=refused)


@contextmanager
def opened(path: str) -> Iterator[pq.ParquetFile]:
    """An open Parquet file.

    Raises:
        BadFile: it cannot be opened, is no Parquet file, or damaged.
    """
    try:
        with open_binary(path) as file:
            # a column is read piece by piece, so that a large row group is not held, not even compressed
            source = file if is_remote(path) else path
            with pq.ParquetFile(source, buffer_size=BUFFER_BYTES, pre_buffer=False) as parquet:
                yield parquet
    except OSError as error:  # of the file system, or of pyarrow about a damaged page
        reason = error.strerror or " ".join(str(error).split())[:200] or type(error).__name__
        raise BadFile(f"cannot be read: {reason}") from error
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise BadFile(f"cannot be read as Parquet: {' '.join(str(error).split())[:200]}") from error


def read_rows(
    path: str, columns: Sequence[str], rows_at_once: int, wanted: frozenset[int]
) -> Iterator[tuple[int, pa.Table]]:
    """Rows `start` to `start + rows_at_once` of some columns, for each start in `wanted`, in rising order.

    Batches are taken as the file gives them, so a file that is one large row group is not held whole.

    Raises:
        BadFile: the file is damaged, or cannot be read.
    """
    if not wanted:
        return
    with opened(path) as parquet:
        held: list[pa.RecordBatch] = []
        start = count = 0
        for read in parquet.iter_batches(rows_at_once, columns=list(columns)):
            batch = _without_views(read)
            held.append(batch)
            count += batch.num_rows
            while count >= rows_at_once:
                table = pa.Table.from_batches(held)
                if start in wanted:
                    yield start, table.slice(0, rows_at_once)
                held = table.slice(rows_at_once).to_batches()
                start, count = start + rows_at_once, count - rows_at_once
        if count and start in wanted:
            yield start, pa.Table.from_batches(held)


def _without_views(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with views of text and bytes, of which Arrow can take no rows, as text and bytes."""
    plain = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    schema = pa.schema([field.with_type(plain.get(field.type, field.type)) for field in batch.schema])
    return batch if schema.equals(batch.schema) else batch.cast(schema)


def need_column(source: ParquetSource, name: str) -> str:
    """The name of a column that has to be there.

    Raises:
        InputError: the file lacks it; the text names the nearest and all others.
    """
    if name not in source.schema.names:
        names = source.schema.names
        longer = [known for known in names if name.lower() in known.lower()]
        near = f"did you mean {longer[0]!r}? known: {', '.join(names)}" if longer else nearest(name, names)
        raise InputError(f"{source.path} has no column {name!r}; {near}")
    return name
