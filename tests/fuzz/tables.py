"""Tables of pairs with odd cells, columns and bytes, held against a slow plain reader."""

import datetime
import io
import re
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.fuzz.case import Case, must
from tests.fuzz.damage import damaged
from tests.fuzz.scored import check_shard
from tests.fuzz.tars import image
from tests.small_pool import caption, uid
from thresher.data.pairs import Pair, Reject

NUM_FILES = 4
CELLS = (
    *(
        "http://127.0.0.1/x",
        "http://127.0.0.1:9/x.jpg",
        "https://[::1]/x.jpg",
        "/etc/passwd",
        "reference://",
        "reference://x",
        "jlab://x",
    ),
    *(
        "data://x",
        "data:image/png;base64,AAAA",
        "file:///etc/passwd",
        "s3://b/x.jpg",
        "memory://x.jpg",
        "zip://x.jpg::http://127.0.0.1/a",
    ),
    *(
        "simplecache::http://127.0.0.1/x.jpg",
        "local:///etc/passwd",
        "github://a:b@c/x",
        "HTTP://127.0.0.1/x.jpg",
        "file::///etc/passwd",
    ),
    *(
        "../canary/secret.jpg",
        "0.jpg/../../canary/secret.jpg",
        "./0.jpg",
        "//etc/passwd",
        "~/x.jpg",
        "$HOME/x.jpg",
        "*.jpg",
        "{0..3}.jpg",
    ),
    *(
        ".",
        "..",
        "",
        " ",
        "0.jpg ",
        "0.jpg\0",
        "a" * 300 + ".jpg",
        "a/" * 3000,
        "\udcff.jpg",
        "\ud800",
        "é.jpg",
        "0.JPG",
        "nul\n.jpg",
    ),
    *(
        "9" * 5000,
        "=1+1",
        "NaN",
        "null",
        "-1",
        '"',
        '""',
        '0.jpg"',
        "'",
        "\ufeff",
        "\ufeff0.jpg",
        "0.jpg?x=1",
        "0.jpg#a",
        "pipe",
        "folder",
    ),
)
TEXTS = (
    *(
        "",
        " ",
        "\n",
        "\ufeff",
        "a red dog",
        "red\ndog",
        "red\r\ndog",
        "red\rdog",
        'a "red" dog',
        '"red dog',
        'red dog"',
        "a,b",
        "a\tb",
        "a;b",
    ),
    *(
        "x" * 10_001,
        "é" * 9999,
        "\udcff",
        "a\0b",
        "\x85 dog",
        "\u2028dog",
        "<script>",
        "9" * 5000,
        "=cmd|' /C calc'!A0",
        "0.jpg,1.jpg",
    ),
    *('dog\n0.jpg,"', "dog\n0.jpg,red,7\nend", "\x1a", "dog\\", '\\"'),
)
NAMES = (
    "image",
    "caption",
    "key",
    "uid",
    "width",
    "",
    "Image",
    "CAPTION",
    "text",
    "bytes",
    "title",
    "\ufeffimage",
    "url",
    "language",
    "meta",
    "original_width",
)


def tables(case: Case) -> None:
    random = case.random
    for number in range(NUM_FILES):
        (case.inside / f"{number}.jpg").write_bytes(image(number))
    (case.inside / "folder").mkdir()
    kind = random.choice(("csv", "csv", "tsv", "parquet", "parquet"))
    shard = case.inside / f"pairs.{kind}"
    data = parquet(random) if kind == "parquet" else text_table(random, kind)
    shard.write_bytes(data)
    case.seal()
    items = check_shard(case, shard, scorers=random.choice((("caption",), ("caption",), ("basic",))))
    for item in items:
        if isinstance(item, Pair):
            where = Path(item.image.path).resolve()
            must(case.inside in where.parents, f"the pair {item.key!r} is of {where}")
            must(item.caption.strip() and len(item.caption) <= 10_000, "a caption of no length")
    if kind == "parquet":
        compare_parquet(shard, items)
    else:
        compare_text(data, kind, items)


def text_table(random: Random, kind: str) -> bytes:
    """A table as text, its rows written by somebody who knows the rules, or does not."""
    delimiter = "\t" if kind == "tsv" else random.choice(",,,;\t")
    names = [
        "image",
        "caption",
        *random.sample(["key", "uid", "original_width", "language"], random.randrange(4)),
    ]
    if random.random() < 0.25:
        names[random.randrange(len(names))] = random.choice(NAMES)
    random.shuffle(names)
    quoted = random.random() < 0.7
    lines = [cells(names, delimiter, quoted)]
    for number in range(random.randint(0, 12)):
        row = plain_row(number)
        values = [row.get(name.lower(), "x") for name in names]
        for _ in range(random.choice((0, 0, 0, 1, 1, 2))):
            values[random.randrange(len(values))] = random.choice(random.choice((CELLS, TEXTS)))
        if random.random() < 0.05:
            values = random.choice((values[:-1], [*values, "more"], [], [""]))
        lines.append(cells(values, delimiter, quoted and random.random() < 0.9))
    end = random.choice(("\n", "\n", "\r\n", "\r"))
    text = end.join(lines) + random.choice((end, "", end * 2))
    data = (
        text.encode("utf-8", "surrogatepass" if random.random() < 0.5 else "surrogateescape")
        if _fits(text)
        else text.encode("utf-8", "surrogatepass")
    )
    if random.random() < 0.15:
        data = random.choice(
            (
                b"\xef\xbb\xbf" + data,
                b"\xef\xbb\xbf" * 2 + data,
                text.encode("utf-16", "surrogatepass"),
                b"",
                b"\0" + data,
            )
        )
    return damaged(random, data) if random.random() < 0.3 else data


def _fits(text: str) -> bool:
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def cells(values: list[str], delimiter: str, quoted: bool) -> str:
    if not quoted or delimiter == "\t":
        return delimiter.join(values)
    special = re.compile(f'[\\r\\n"{delimiter}]')
    return delimiter.join(
        '"' + value.replace('"', '""') + '"' if special.search(value) else value for value in values
    )


def plain_row(number: int) -> dict[str, str]:
    row = {
        "image": f"{number % NUM_FILES}.jpg",
        "caption": caption(number),
        "key": f"k{number}",
        "uid": uid(number),
    }
    return row | {"original_width": "640", "language": "en", "text": caption(number)}


def compare_text(data: bytes, kind: str, items: list[Pair | Reject]) -> None:
    """Hold what was read against a reader that knows no quotes, where the table has none that matter."""
    text = data.decode("utf-8-sig", "surrogateescape")
    header, *rest = re.split(r"\r\n|\n|\r", text)
    delimiter = max(",\t;", key=header.count)
    lines = [line for line in rest if line]
    if any(not item.key for item in items):
        return  # refused as a whole
    must(len(items) <= max(len(lines), 1), "more pairs and rejects than lines")
    if delimiter != "\t" and '"' in text:
        return
    names = header.split(delimiter)
    must(len(items) == len(lines), f"{len(lines)} lines gave {len(items)} pairs and rejects")
    lower = [name.lower() for name in names]
    if len(set(lower)) < len(lower) or not {"image", "caption"} <= set(lower):
        return
    image_at, caption_at = lower.index("image"), lower.index("caption")
    for line, item in zip(lines, items, strict=True):
        values = line.split(delimiter)
        if len(values) != len(names):
            must(isinstance(item, Reject), f"a row of {len(values)} cells was taken")
            continue
        wanted = values[caption_at].removeprefix("\ufeff").rstrip("\r\n")
        if isinstance(item, Pair):
            must(item.caption == wanted, f"the caption {wanted[:80]!r} was read as {item.caption[:80]!r}")
            must(Path(item.image.path).name == values[image_at].rpartition("/")[2], "another image was read")
        else:
            good = re.fullmatch(r"[0-3]\.jpg", values[image_at]) and wanted.strip() and len(wanted) <= 10_000
            must(
                not good or not is_text(wanted) or "duplicate uid" in item.reason,
                f"the row {line[:80]!r} is refused: {item.reason}",
            )


def is_text(value: str) -> bool:
    return value.encode("utf-8", "replace").decode() == value


def parquet(random: Random) -> bytes:
    """A Parquet file whose columns have odd names, types and values."""
    count = random.choice((0, 1, 3, 10, 130))
    columns: dict[str, pa.Array] = {}
    names = [
        "image",
        "caption",
        *random.sample(["key", "uid", "original_width", "language", "extra"], random.randrange(5)),
    ]
    random.shuffle(names)
    for name in names:
        columns[name] = (
            odd_column(random, name, count) if random.random() < 0.3 else plain_column(random, name, count)
        )
    arrays = list(columns.values())
    if random.random() < 0.2:
        names[random.randrange(len(names))] = random.choice(NAMES)
    table = pa.Table.from_arrays(arrays, names=names)
    file = io.BytesIO()
    options: dict[str, Any] = {
        "compression": random.choice(("none", "snappy", "zstd", "gzip")),
        "row_group_size": random.choice((1, 2, 64, 1000)),
        "use_dictionary": random.random() < 0.5,
    }
    try:
        pq.write_table(table, file, **options)
    except (pa.ArrowException, NotImplementedError):  # a type that Parquet has no form for
        file = io.BytesIO()
        pq.write_table(pa.table({"image": ["0.jpg"], "caption": ["red"]}), file)
    data = file.getvalue()
    return (
        random.choice(
            (
                damaged(random, data),
                data[: random.randrange(len(data))],
                data[:-8] + random.randbytes(4) + data[-4:],
            )
        )
        if random.random() < 0.35
        else data
    )


def plain_column(random: Random, name: str, count: int) -> pa.Array:
    if name == "image" and random.random() < 0.5:
        return pa.array([image(number) for number in range(count)], pa.binary())
    if name == "image" and random.random() < 0.3:
        cells = [{"bytes": image(number), "path": "0.jpg"} for number in range(count)]
        return pa.array(cells, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    return pa.array([plain_row(number).get(name, "x") for number in range(count)], pa.string())


def odd_column(random: Random, name: str, count: int) -> pa.Array:
    """Values of any type, some of them null."""
    texts = [random.choice(random.choice((CELLS, TEXTS))) for _ in range(count)]
    raw = [text.encode("utf-8", "surrogatepass") for text in texts]
    plain = [plain_row(number).get(name, "x") for number in range(count)]
    holes = [None if random.random() < 0.3 else value for value in plain]
    numbers = [random.choice((0, 1, -1, 2**62, 640)) for _ in range(count)]
    made = {
        "bad text": lambda: unchecked(raw),
        "bytes": lambda: pa.array(raw, pa.binary()),
        "large": lambda: pa.array(plain, pa.large_string()),
        "view": lambda: pa.array(plain, pa.string_view()),
        "fixed": lambda: pa.array([b"0.jpg"] * count, pa.binary(5)),
        "dictionary": lambda: pa.array(plain).dictionary_encode(),
        "holes": lambda: pa.array(holes, pa.string()),
        "nulls": lambda: pa.nulls(count),
        "int": lambda: pa.array(numbers, pa.int64()),
        "float": lambda: pa.array(
            [random.choice((1e300, float("nan"), -0.0, 5e-324, 640.0)) for _ in range(count)], pa.float64()
        ),
        "bool": lambda: pa.array([True] * count, pa.bool_()),
        "decimal": lambda: pa.array([1] * count).cast(pa.decimal256(76, 0)),
        "nanoseconds": lambda: pa.array(numbers, pa.timestamp("ns")),
        "zone": lambda: pa.array(numbers, pa.timestamp("us", random.choice(("No/Where", "+99:99", "UTC")))),
        "far": lambda: pa.array([2**31 - 1] * count, pa.int32()).cast(pa.date32()),
        "date": lambda: pa.array([datetime.date(2020, 1, 1)] * count),
        "duration": lambda: pa.array(numbers, pa.duration("s")),
        "list": lambda: pa.array([[text] for text in plain], pa.list_(pa.string())),
        "map": lambda: pa.array([[("a", "b"), ("a", "c")]] * count, pa.map_(pa.string(), pa.string())),
        "struct": lambda: pa.array(
            [
                random.choice(({"bytes": None, "path": text}, {"bytes": text.encode(), "path": None}, None))
                for text in plain
            ],
            pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
        ),
        "other struct": lambda: pa.array(
            [{"src": text, "path": number} for text, number in zip(plain, numbers, strict=True)]
        ),
        "twin struct": lambda: pa.StructArray.from_arrays(
            [pa.array(plain), pa.array(plain)], names=["path", "path"]
        ),
    }
    return made[random.choice(list(made))]()


def unchecked(values: list[bytes]) -> pa.Array:
    """Bytes that are said to be text, whether they are or not."""
    held = pa.array(values, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(held), held.buffers())


def compare_parquet(shard: Path, items: list[Pair | Reject]) -> None:
    if any(not item.key for item in items):
        return
    with pq.ParquetFile(shard) as file:
        must(len(items) == file.metadata.num_rows, f"{file.metadata.num_rows} rows gave {len(items)}")
        names = file.schema_arrow.names
        if sum(name.lower() == "caption" for name in names) != 1 or "caption" not in names:
            return
        try:
            captions = [
                value
                for batch in file.iter_batches(columns=["caption"])
                for value in batch.column(0).to_pylist()
            ]
        except (pa.ArrowException, ValueError, OverflowError, LookupError):
            return
    for item, value in zip(items, captions, strict=True):
        if isinstance(item, Pair):
            wanted = value.decode() if isinstance(value, bytes) else value
            must(item.caption == wanted.removeprefix("\ufeff").rstrip("\r\n"), "a row has another caption")
