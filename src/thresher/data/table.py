"""Pairs of a table: CSV, TSV or Parquet with a caption column and image paths or image bytes."""

import io
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from thresher.data.cells import locate
from thresher.data.csv_rows import BadRecord, delimiter_of, records
from thresher.data.files.location import file_size, is_remote, open_binary, read_bytes
from thresher.data.pairs import (
    IMAGE_EXTS,
    BadPair,
    Member,
    Pair,
    Reject,
    check_caption,
    check_image_size,
    clean_caption,
    finish_pair,
    printable,
)
from thresher.errors import InputError

IMAGE_COLUMNS = (
    "image",
    "image_path",
    "filepath",
    "path",
    "image_bytes",
    "bytes",
    "jpg",
    "png",
    "webp",
    "img",
    "image_file",
    "file_name",
    "filename",
)
"""Names of image columns, the first that a table has counts; upper and lower case are one."""

CAPTION_COLUMNS = ("caption", "text", "title", "txt")
"""Names of caption columns, the first that a table has counts; upper and lower case are one."""

ROWS_AT_ONCE = 64

_SIGNATURES = (
    *((b"\x89PNG", "png"), (b"GIF8", "gif"), (b"RIFF", "webp"), (b"BM", "bmp"), (b"II*\0", "tif")),
    *((b"MM\0*", "tif"), (b"ftypavif", "avif"), (b"ftypavis", "avif")),
)
"""How images begin, avif behind four bytes of a length."""


class _BadTable(ValueError):
    """Why the table cannot be read from row `row` on."""

    def __init__(self, reason: str, row: int = 0) -> None:
        super().__init__(reason)
        self.row = row


def read_table(table: str, *, with_images: bool) -> Iterator[Pair | Reject]:
    """Every row as a pair or a reject; a table without the columns or with damage is one reject for its rest.

    The key is the column `key`, else the number of the row. Paths count from the table's folder. Columns that
    are neither image nor caption become `meta`; a `uid` among them is taken.

    Raises:
        OSError: the file cannot be opened.
    """
    rows = _parquet_rows(table) if table.lower().endswith(".parquet") else _csv_rows(table)
    try:
        for row, values in rows:
            yield _verdict(table, row, values, with_images=with_images)
    except _BadTable as error:
        yield Reject(table, "", None, "read", str(error), error.row)


class RowImages:
    """Image bytes of single rows of Parquet files; keeps the last row groups that were read.

    Rows of a group larger than `max_bytes` are found by reading through the group, so that memory stays
    bounded.
    """

    def __init__(self, num_groups: int = 4, max_bytes: int = 256 * 2**20) -> None:
        self._groups: OrderedDict[tuple[str, int], pa.ChunkedArray] = OrderedDict()
        self._num_groups = num_groups
        self._max_bytes = max_bytes

    def read(self, table: str, row: int) -> bytes:
        """The image bytes in row `row` (from 0) of the table.

        Raises:
            OSError: the file is absent or no longer has that row.
        """
        with open_binary(table) as file, pq.ParquetFile(file) as parquet:
            column, _ = find_columns(parquet.schema_arrow.names)
            group, inner = _row_group(parquet, table, row)
            cells = self._groups.get((table, group))
            if cells is None:
                size = parquet.metadata.row_group(group).total_byte_size
                if size > self._max_bytes:
                    return _image_value(_scan(parquet, group, column, inner))[0] or b""
                cells = parquet.read_row_group(group, columns=[column]).column(0)
                self._groups[table, group] = cells
                if len(self._groups) > self._num_groups:
                    self._groups.popitem(last=False)
            self._groups.move_to_end((table, group))
            return _image_value(cells[inner].as_py())[0] or b""


def find_columns(names: Sequence[str]) -> tuple[str, str]:
    """The image and the caption column among `names`.

    Raises:
        ValueError: one of them is absent; the text names the columns and the names that are looked for.
    """
    lower = {name.lower(): name for name in reversed(names)}
    image = next((lower[name] for name in IMAGE_COLUMNS if name in lower), None)
    caption = next((lower[name] for name in CAPTION_COLUMNS if name in lower), None)
    for found, what, known in ((image, "image", IMAGE_COLUMNS), (caption, "caption", CAPTION_COLUMNS)):
        if found is None:
            columns = ", ".join(printable(name) for name in names)[:300]
            raise _BadTable(f"no {what} column (one of {', '.join(known)}) among the columns {columns}")
    assert image is not None
    assert caption is not None
    return image, caption


def _row_group(parquet: pq.ParquetFile, table: str, row: int) -> tuple[int, int]:
    inner = row
    for group in range(parquet.metadata.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        if inner < rows:
            return group, inner
        inner -= rows
    raise OSError(f"{table} has no row {row} any more; it changed since it was indexed")


def _scan(parquet: pq.ParquetFile, group: int, column: str, inner: int) -> Any:
    for batch in parquet.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=[column]):
        if inner < batch.num_rows:
            return batch.column(0)[inner].as_py()
        inner -= batch.num_rows
    raise AssertionError("the row lies in the group")


def _parquet_rows(table: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Row number and values of each row: image and caption under these names, the rest in `meta`."""
    row = 0
    with open_binary(table) as file:
        try:
            with pq.ParquetFile(file) as parquet:
                image, caption = find_columns(parquet.schema_arrow.names)
                for batch in parquet.iter_batches(ROWS_AT_ONCE):
                    columns = [column_values(column) for column in batch.columns]
                    for cells in zip(*columns, strict=True):
                        values = dict(zip(batch.schema.names, cells, strict=True))
                        named = {"image": values.pop(image), "caption": values.pop(caption), "meta": values}
                        yield row, named
                        row += 1
        except (pa.ArrowException, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise _BadTable(f"the Parquet file cannot be read: {reason}", row) from error


def column_values(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Python values, None for one that Python has no value for (nanoseconds, far dates, unknown zones).

    Texts that are not UTF-8 become surrogates, so that their row alone is refused where the text is used.
    """
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            raw = column.cast(pa.large_binary() if pa.types.is_large_string(column.type) else pa.binary())
            return [
                None if value is None else value.decode("utf-8", "surrogateescape")
                for value in raw.to_pylist()
            ]
    except _NO_VALUE:
        pass
    return [_value(scalar) for scalar in column]


_NO_VALUE = (ValueError, OverflowError, LookupError, pa.ArrowException)
"""What reading a value raises that Arrow can hold and Python cannot."""


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except _NO_VALUE:
        return None


def _csv_rows(table: str) -> Iterator[tuple[int, dict[str, Any]]]:
    row = 0
    with (
        open_binary(table) as file,
        io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as text,
    ):
        header = text.readline()
        delimiter = delimiter_of(header)
        _, names = next(records(io.StringIO(header), delimiter), (1, []))
        if isinstance(names, BadRecord):
            raise _BadTable(names.reason)
        image, caption = find_columns(names)
        place = names.index(image)

        def is_row(fields: list[str], inside: range) -> bool:
            return len(fields) == len(names) and place in inside and _names_image(fields[place])

        for _, fields in records(text, delimiter, first_line=2, is_row=is_row):
            if isinstance(fields, BadRecord):
                yield row, {"problem": fields.reason}
            elif len(fields) != len(names):
                yield row, {"problem": f"the row has {len(fields)} fields where the header has {len(names)}"}
            else:
                values: dict[str, Any] = dict(zip(names, fields, strict=True))
                yield row, {"image": values.pop(image), "caption": values.pop(caption), "meta": values}
            row += 1


def _names_image(cell: str) -> bool:
    """Whether a cell is an image's path or address, as far as its form tells."""
    path = cell.strip().partition("?")[0]
    return (is_remote(path) and not set(path) & set(" \t\n")) or path.rpartition(".")[2].lower() in IMAGE_EXTS


def _verdict(table: str, row: int, values: dict[str, Any], *, with_images: bool) -> Pair | Reject:
    meta = {name: value for name, value in values.get("meta", {}).items() if value is not None}
    key = printable(str(meta["key"])) if meta.get("key") not in (None, "") else f"{row:09d}"
    try:
        if "problem" in values:
            raise BadPair(values["problem"])
        caption = caption_of(values["caption"])
        data, path = _image_value(values["image"])
        if data is None and not path:
            raise BadPair("the row has no image")
        if data is None:
            location = locate(table, str(path))
            image = Member(_ext_of_path(location), location, 0, file_size(location))
        else:
            check_image_size(len(data))
            image = Member(_ext_of(data), table, row, -1)

        def load() -> bytes:
            return read_bytes(image.path) if data is None else data

        return finish_pair(table, key, caption, image, (image,), load, meta, with_images=with_images)
    except (BadPair, InputError) as error:  # the latter: a cell names a protocol that cannot be read
        reason = printable(str(error))
    except OSError as error:
        name = printable(str(values["image"]))[:300]
        reason = f"the image {name!r} cannot be read: {error.strerror or type(error).__name__}"
    return Reject(table, key, None, "read", reason, row)


def caption_of(value: Any) -> str:
    """The caption in a cell.

    Raises:
        BadPair: it is empty, too long, or no text.
    """
    if value is None:
        raise BadPair("the caption is empty")
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if not isinstance(value, str):
        raise BadPair(f"the caption is a {type(value).__name__}, not text")
    if printable(value) != value:
        raise BadPair("the caption is not valid UTF-8")
    caption = clean_caption(value)
    check_caption(caption)
    return caption


def _image_value(value: Any) -> tuple[bytes | None, str | None]:
    """Bytes or path of an image cell; a struct of both (as Hugging Face writes it) counts by its bytes."""
    if isinstance(value, dict):
        inner = value.get("bytes")
        return (inner, None) if isinstance(inner, bytes) else (None, value.get("path"))
    if isinstance(value, bytes):
        return value, None
    return None, value if isinstance(value, str) else None


def _ext_of(data: bytes) -> str:
    starts = (data[:4], data[4:12])
    return next((ext for mark, ext in _SIGNATURES if any(part.startswith(mark) for part in starts)), "jpg")


def _ext_of_path(path: str) -> str:
    ext = path.rpartition(".")[2].lower()
    return ext if ext in IMAGE_EXTS else "jpg"
