"""A pool in every form that Thresher reads, written with the standard library and pyarrow alone.

What a form cannot hold is left out of it, by the rules of `CANNOT_HOLD`.
"""

import io
import json
import random
import re
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.fuzz.random_pools import RawPair

PHOTOS = "photos"
Rule = tuple[Callable[[RawPair], bool], str]


def last_part(pair: RawPair) -> str:
    return pair.name.rpartition("/")[2]


def is_hidden(pair: RawPair) -> bool:
    return any(part.startswith(".") for part in pair.name.split("/"))


def cells(pair: RawPair) -> list[str]:
    """Every text that a row of the pair holds."""
    caption = (pair.caption or b"").decode("utf-8", "surrogateescape")
    return [caption, pair.name, *(as_text(value) for value in pair.fields.values())]


def has_many_lines(pair: RawPair) -> bool:
    return len(re.findall(rb"\r\n|\r|\n", pair.caption or b"")) > 900


def names_an_image_in_lines(pair: RawPair) -> bool:
    """Whether a caption of several lines has a cell in one of them that could be an image's."""
    lines = cells(pair)[0].split("\n")
    parts = (part for line in lines for part in re.split("[,;]", line))
    return len(lines) > 1 and any(re.search(r"\.(jpg|png)\s*(\?|$)|^\s*\w+://\S+$", part) for part in parts)


CANNOT_HOLD: dict[str, tuple[Rule, ...]] = {
    "tar": (
        (lambda pair: "." in last_part(pair), "a key ends at the first dot of its last part"),
        (
            lambda pair: pair.name.startswith("C:/"),
            "a name that begins with a drive leads out of the archive",
        ),
    ),
    "folder": ((is_hidden, "hidden files and folders are no part of the pool"),),
    "csv": (
        (has_many_lines, "a record of more than 1,000 lines is a quote that was never closed"),
        (names_an_image_in_lines, "a line that reads like a row is one that a quote swallowed"),
    ),
    "tsv": (
        (lambda pair: any(set("\t\r\n") & set(cell) for cell in cells(pair)), "a tab or line ends a cell"),
    ),
    "parquet": (
        (lambda pair: not is_utf8(pair.name), "images in cells have no file names that may be no UTF-8"),
    ),
}
"""Form -> when it cannot hold a pair, and why."""


def is_utf8(name: str) -> bool:
    return not any("\udc80" <= letter <= "\udcff" for letter in name)


def write_forms(
    folder: Path, pool: Sequence[RawPair], seed: int
) -> dict[str, tuple[str, list[tuple[str, RawPair]]]]:
    """Form -> its shard, and the key and the pair of each of its entries, in their order."""
    rng = random.Random(f"forms {seed}")
    folder.mkdir(parents=True)
    _write_photos(folder / PHOTOS, pool)
    has_keys = rng.random() < 0.7
    written = {}
    for form in CANNOT_HOLD:
        held = [pair for pair in pool if not any(rule(pair) for rule, _ in CANNOT_HOLD[form])]
        shard = folder / (PHOTOS if form == "folder" else f"pool.{form}")
        if form in _WRITERS:
            _WRITERS[form](shard, held, rng, has_keys)
        rows = [f"{row:09d}" for row in range(len(held))]
        named = form in ("tar", "folder") or has_keys
        keys = [pair.name.encode("utf-8", "backslashreplace").decode() for pair in held]
        written[form] = (str(shard), list(zip(keys if named else rows, held, strict=True)))
    return written


def _write_photos(folder: Path, pool: Sequence[RawPair]) -> None:
    folder.mkdir()
    for pair in pool:
        for ext, data in _files(pair):
            path = folder / f"{pair.name}.{ext}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def _files(pair: RawPair) -> list[tuple[str, bytes]]:
    files = [(pair.ext, pair.image), ("txt", pair.caption)]
    found = [(ext, data) for ext, data in files if data is not None]
    return [*found, ("json", json.dumps(pair.fields).encode())] if pair.fields else found


def _write_tar(path: Path, pool: Sequence[RawPair], rng: random.Random, _: bool) -> None:
    is_short = all(len(pair.name.encode("utf-8", "surrogateescape")) < 90 for pair in pool)
    forms = (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT)
    form = rng.choice(forms if is_short else forms[:2])
    before = rng.choice(("", "", "./"))
    with tarfile.open(path, "w", format=form, encoding="utf-8", errors="surrogateescape") as tar:
        for pair in pool:
            files = _files(pair)
            if rng.random() < 0.3:
                rng.shuffle(files)
            folder = pair.name.rpartition("/")[0]
            if folder and rng.random() < 0.3:
                info = tarfile.TarInfo(before + folder)
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            for ext, data in files:
                info = tarfile.TarInfo(f"{before}{pair.name}.{ext}")
                info.size, info.mtime = len(data), rng.choice((0, 1_700_000_000, 1_700_000_000.25))
                tar.addfile(info, io.BytesIO(data))


def as_text(value: object) -> str:
    return "" if value is None else str(value)


def _columns(pool: Sequence[RawPair], rng: random.Random, has_keys: bool) -> list[tuple[str, list[Any]]]:
    """Names and values of the columns in some order, but for images."""
    found: list[tuple[str, list[Any]]] = [
        (rng.choice(("caption", "text", "title", "TEXT", "txt")), [pair.caption for pair in pool])
    ]
    if has_keys:
        found.append(("key", [pair.name for pair in pool]))
    names = dict.fromkeys(name for pair in pool for name in pair.fields)
    found += [(name, [pair.fields.get(name) for pair in pool]) for name in names]
    return found


def _paths(pool: Sequence[RawPair], gone: str | None) -> list[str | None]:
    """The path of each image; `gone` where there is none."""
    return [gone if pair.image is None else f"{PHOTOS}/{pair.name}.{pair.ext}" for pair in pool]


def _rows(pool: Sequence[RawPair], rng: random.Random, has_keys: bool) -> list[list[str]]:
    """Header and rows of a table of text; an image is named by its path."""
    columns = _columns(pool, rng, has_keys)
    gone = rng.choice(("", f"{PHOTOS}/gone.jpg"))
    columns.append((rng.choice(("image", "image_path", "filepath", "file_name", "PATH")), _paths(pool, gone)))
    rng.shuffle(columns)
    texts = [
        [
            value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else as_text(value)
            for value in column
        ]
        for _, column in columns
    ]
    return [[name for name, _ in columns], *map(list, zip(*texts, strict=True))]


def _write_csv(path: Path, pool: Sequence[RawPair], rng: random.Random, has_keys: bool) -> None:
    rows = _rows(pool, rng, has_keys)
    delimiter, end, all_quoted = rng.choice(",,;"), rng.choice(("\n", "\r\n")), rng.random() < 0.3
    special = set(f'{delimiter}"\r\n')

    def quoted(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"' if all_quoted or special & set(cell) else cell

    text = "".join(delimiter.join(map(quoted, row)) + end for row in rows)
    _write_text(path, text, end, rng)


def _write_tsv(path: Path, pool: Sequence[RawPair], rng: random.Random, has_keys: bool) -> None:
    end = rng.choice(("\n", "\r\n"))
    text = "".join("\t".join(row) + end for row in _rows(pool, rng, has_keys))
    _write_text(path, text, end, rng)


def _write_text(path: Path, text: str, end: str, rng: random.Random) -> None:
    mark = rng.choice((b"", b"", b"\xef\xbb\xbf"))
    text = text.removesuffix(end) if rng.random() < 0.3 else text
    path.write_bytes(mark + text.encode("utf-8", "surrogateescape"))


def _write_parquet(path: Path, pool: Sequence[RawPair], rng: random.Random, has_keys: bool) -> None:
    columns = {name: _array(values, rng) for name, values in _columns(pool, rng, has_keys)}
    images = [pair.image for pair in pool]
    kind = rng.choice(("bytes", "bytes", "structs", "paths"))
    if kind == "bytes":
        name = rng.choice(("image", "jpg", "image_bytes"))
        columns[name] = pa.array(images, rng.choice((pa.binary(), pa.large_binary())))
    elif kind == "structs":
        structs = [None if data is None else {"bytes": data, "path": "0.jpg"} for data in images]
        columns["image"] = pa.array(structs, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    else:
        columns["image_path"] = pa.array(_paths(pool, None), pa.string())
    table = pa.table(dict(rng.sample(list(columns.items()), len(columns))))
    pq.write_table(
        table, path, row_group_size=rng.choice((1, 7, 1000)), compression=rng.choice(("none", "zstd"))
    )


def _array(values: Sequence[Any], rng: random.Random) -> pa.Array:
    is_large = rng.random() < 0.3
    if any(isinstance(value, bytes) for value in values):  # captions, of which some may be no UTF-8
        raw = pa.array(values, pa.large_binary() if is_large else pa.binary())
        return raw if rng.random() < 0.2 else raw.view(pa.large_string() if is_large else pa.string())
    array = pa.array(values)
    return array.dictionary_encode() if is_large and pa.types.is_string(array.type) else array


_WRITERS: dict[str, Callable[[Path, Sequence[RawPair], random.Random, bool], None]] = {
    "tar": _write_tar,
    "csv": _write_csv,
    "tsv": _write_tsv,
    "parquet": _write_parquet,
}
