import csv
import os
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.bad_pool import jpeg, write_tar
from thresher.data.cells import ALLOW_VARIABLE, allow
from thresher.data.index import build_index
from thresher.data.pairs import Pair, Reject, uid_of
from thresher.data.shard_index import mark_of
from thresher.data.shards import read_pairs
from thresher.data.table import CAPTION_COLUMNS, IMAGE_COLUMNS, RowImages
from thresher.sharded.parts import shard_state

UID = "0123456789abcdef" * 2


def read(path) -> tuple[list[Pair], list[Reject]]:
    items = list(read_pairs(str(path)))
    return [item for item in items if isinstance(item, Pair)], [
        item for item in items if isinstance(item, Reject)
    ]


def write_csv(path, rows, delimiter=",") -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize(
    ("image", "caption"), [("filepath", "title"), ("Image_Path", "TEXT"), ("image", "caption")]
)
def test_usual_names_and_separators_are_understood(tmp_path, delimiter, image, caption):
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    text = 'a "cat", two' + (" lines" if delimiter == "\t" else "\nlines")
    rows = [[image, caption, "label"], ["a.jpg", text, "7"]]
    if delimiter == "\t":
        (tmp_path / "t.csv").write_text("\n".join("\t".join(row) for row in rows))
    else:
        write_csv(tmp_path / "t.csv", rows, delimiter)
    (pair,), rejects = read(tmp_path / "t.csv")
    assert not rejects
    assert pair.caption == text
    assert pair.image_bytes == jpeg(1)
    assert pair.meta == {"label": "7"}
    assert (pair.image.path, pair.image.offset, pair.image.length) == (
        str(tmp_path / "a.jpg"),
        0,
        len(jpeg(1)),
    )


def table_of(tmp_path, name: str, *lines: str):
    for place in range(12):
        (tmp_path / f"{place}.jpg").write_bytes(jpeg(place))
    (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
    pairs, rejects = read(tmp_path / name)
    return [pair.caption for pair in pairs], [(reject.offset, reject.reason) for reject in rejects]


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize("order", [1, -1])
def test_a_quote_that_stays_open_costs_its_own_row_alone(tmp_path, order, end):
    rows = [(f"{place}.jpg", f"picture {place}") for place in range(12)]
    for place, caption in ((3, '"an open quote'), (7, '"another one'), (9, 'a 5" pipe'), (10, 'of 7"')):
        rows[place] = (rows[place][0], caption)
    lines = [",".join(row[::order]) for row in [("image", "caption"), *rows]]
    captions, rejects = table_of(tmp_path, "t.csv", *lines[:-1], lines[-1] + end)
    assert captions == [caption for _, caption in rows if not caption.startswith('"')]
    assert [place for place, _ in rejects] == [3, 7]
    assert [reason[:7] for _, reason in rejects] == ["line 5:", "line 9:"]


def test_between_tabs_a_quote_is_a_character(tmp_path):
    texts = ['"an open quote', 'a "word" in it', '"quoted"', '5"']
    lines = ["image\tcaption", *(f"{place}.jpg\t{text}" for place, text in enumerate(texts))]
    assert table_of(tmp_path, "t.tsv", *lines) == (texts, [])


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    "text", ["two\nlines", "one, two\nthree, four\nfive, six", 'a "b"\nc', "\n\na", "1.jpg"]
)
def test_a_quoted_caption_may_hold_lines_commas_and_quotes(tmp_path, text, order):
    quoted = '"' + text.replace('"', '""') + '"'
    lines = [",".join(row[::order]) for row in (("image", "caption"), ("0.jpg", quoted), ("1.jpg", "last"))]
    assert table_of(tmp_path, "t.csv", *lines) == ([text, "last"], [])


def test_a_quoted_path_may_hold_lines(tmp_path):
    (tmp_path / "two\nlines.jpg").write_bytes(jpeg(1))
    assert table_of(tmp_path, "t.csv", "image,caption", '"two\nlines.jpg",first', "0.jpg,last") == (
        ["first", "last"],
        [],
    )


def test_an_address_amid_the_words_of_a_line_makes_no_row_of_it(tmp_path):
    text = "a chair\nsee https://x.org/chairs, or the shop"
    assert table_of(tmp_path, "t.csv", "image,caption", f'0.jpg,"{text}"', "1.jpg,last") == (
        [text, "last"],
        [],
    )


@pytest.mark.parametrize("caption", ["a caption\n", "\ufeffa caption", "\ufeffa caption\r\n\n", "a caption"])
def test_one_pair_has_one_uid_in_a_table_and_in_a_tar(tmp_path, caption):
    (tmp_path / "0.jpg").write_bytes(jpeg(0))
    write_csv(tmp_path / "t.csv", [["image", "caption"], ["0.jpg", caption]])
    pq.write_table(pa.table({"image": [jpeg(0)], "caption": [caption]}), tmp_path / "t.parquet")
    write_tar(tmp_path / "t.tar", [("0.jpg", jpeg(0)), ("0.txt", caption.encode())])
    found = {
        (pair.caption, pair.uid)
        for name in ("t.csv", "t.parquet", "t.tar")
        for pair in read_pairs(str(tmp_path / name))
    }
    assert found == {("a caption", uid_of(jpeg(0), "a caption"))}


def test_bad_rows_are_refused_alone(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    lines = [
        b"image,caption,uid",
        b"a.jpg,good," + UID.encode(),
        b"a.jpg,caf\xe9,",
        b"b.jpg,no such image,",
        b"a.jpg,,",
        b"a.jpg," + b"x" * 200_000 + b",",
        b"a.jpg,too few",
        b",no path,",
        b"a.jpg,good too,",
    ]
    (tmp_path / "t.csv").write_bytes(b"\n".join(lines))
    pairs, rejects = read(tmp_path / "t.csv")
    assert [(pair.caption, pair.key) for pair in pairs] == [("good", "000000000"), ("good too", "000000007")]
    assert pairs[0].uid == UID
    assert [reject.offset for reject in rejects] == [1, 2, 3, 4, 5, 6]
    fragments = [
        "not valid UTF-8",
        "'b.jpg' cannot be read: No such file",
        "empty",
        "at most",
        "2 fields",
        "no image",
    ]
    for reject, fragment in zip(rejects, fragments, strict=True):
        assert fragment in reject.reason


def test_a_table_without_the_columns_names_those_it_has(tmp_path):
    write_csv(tmp_path / "t.csv", [["url", "caption"], ["http://x", "a"]])
    _, (reject,) = read(tmp_path / "t.csv")
    assert reject.key == ""
    assert "no image column" in reject.reason
    assert reject.reason.endswith("among the columns url, caption")
    assert set(IMAGE_COLUMNS).isdisjoint(CAPTION_COLUMNS)


def test_a_file_that_is_no_table_is_one_reject(tmp_path):
    for name, data in (("a.parquet", b"PAR1 but not really"), ("b.parquet", b""), ("c.csv", b"")):
        (tmp_path / name).write_bytes(data)
        pairs, (reject,) = read(tmp_path / name)
        assert not pairs
        assert reject.key == ""


def test_parquet_holds_bytes_structs_or_paths(tmp_path):
    images = [jpeg(number) for number in range(5)]
    captions = [f"caption {number}" for number in range(5)]
    (tmp_path / "0.jpg").write_bytes(images[0])
    structs = [{"bytes": data, "path": None} for data in images]
    tables = {
        "bytes": pa.table({"image": images, "caption": captions, "uid": [f"{n:032x}" for n in range(5)]}),
        "structs": pa.table({"image": structs, "text": captions, "key": [f"k{n}" for n in range(5)]}),
    }
    for name, table in tables.items():
        path = tmp_path / f"{name}.parquet"
        pq.write_table(table, path, row_group_size=2)
        pairs, rejects = read(path)
        assert not rejects
        assert [pair.image_bytes for pair in pairs] == images
        assert [(pair.image.offset, pair.image.length, pair.image.ext) for pair in pairs] == [
            (row, -1, "jpg") for row in range(5)
        ]
    assert [pair.key for pair in pairs] == [f"k{n}" for n in range(5)]
    pq.write_table(pa.table({"image_path": ["0.jpg"], "caption": ["a"]}), tmp_path / "paths.parquet")
    (pair,), _ = read(tmp_path / "paths.parquet")
    assert pair.image_bytes == images[0]


def test_parquet_rows_without_image_or_caption_are_refused(tmp_path):
    bad_text = pa.array([b"caf\xe9", b"fine", b"fine"]).view(pa.string())
    table = pa.table({"image": pa.array([jpeg(1), None, b""], pa.binary()), "caption": bad_text})
    pq.write_table(table, tmp_path / "t.parquet")
    pairs, rejects = read(tmp_path / "t.parquet")
    assert not pairs
    assert [reject.reason for reject in rejects] == [
        "the caption is not valid UTF-8",
        "the row has no image",
        "the image is empty (0 bytes)",
    ]


@pytest.mark.parametrize("max_bytes", [1, 2**28])
def test_single_rows_give_the_bytes_that_reading_through_gives(tmp_path, max_bytes):
    images = [jpeg(number) for number in range(150)]
    pq.write_table(
        pa.table({"image": images, "caption": ["a"] * 150}), tmp_path / "t.parquet", row_group_size=100
    )
    rows = RowImages(num_groups=1, max_bytes=max_bytes)
    assert [rows.read(str(tmp_path / "t.parquet"), row) for row in (149, 0, 99, 100, 70)] == [
        images[row] for row in (149, 0, 99, 100, 70)
    ]
    with pytest.raises(OSError, match="no row 150"):
        rows.read(str(tmp_path / "t.parquet"), 150)


def test_a_cell_that_is_no_path_is_refused_alone(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    os.mkfifo(tmp_path / "pipe")
    paths = ["a\0.jpg", "unknownproto://bucket/a.jpg", str(tmp_path), "pipe", "a.jpg"]
    pq.write_table(pa.table({"image": paths, "caption": ["words"] * 5}), tmp_path / "t.parquet")
    (pair,), rejects = read(tmp_path / "t.parquet")
    assert pair.image_bytes == jpeg(1)
    fragments = ["is no path", "unknownproto", "is a folder", "a pipe or a device"]
    for reject, fragment in zip(rejects, fragments, strict=True):
        assert fragment in reject.reason


@pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
def test_changed_bytes_never_raise(tmp_path, name):
    rng = random.Random(0)
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    write_csv(tmp_path / "t.csv", [["image", "caption", "uid"], *[["a.jpg", 'a "é", b', UID]] * 6])
    table = pa.table({"image": [jpeg(n) for n in range(6)], "caption": ["é"] * 6, "more": [{"a": "b"}] * 6})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=2)
    whole = (tmp_path / name).read_bytes()
    for turn in range(150):
        data = bytearray(whole)
        for _ in range(3):
            data[rng.randrange(len(data))] = rng.randrange(256)
        (tmp_path / f"bad-{name}").write_bytes(data[: rng.randrange(len(data))] if turn % 3 == 0 else data)
        assert list(read_pairs(str(tmp_path / f"bad-{name}")))


def test_a_reason_does_not_hold_a_whole_cell(tmp_path):
    paths = ["x" * 100_000 + "\0", "x" * 100_000, "http://" + "x" * 100_000, "../" + "x" * 100_000]
    pq.write_table(pa.table({"image": paths, "caption": ["words"] * 4}), tmp_path / "t.parquet")
    pairs, rejects = read(tmp_path / "t.parquet")
    assert (pairs, len(rejects)) == ([], 4)
    assert max(len(reject.reason) for reject in rejects) < 500


def test_columns_that_are_not_used_cost_no_row(tmp_path):
    broken = pa.array([b"\xff", b"b", b"c"], pa.binary()).buffers()
    columns = {
        "ns": pa.array([1_700_000_000_123_456_789] * 3, pa.timestamp("ns")),
        "far": pa.array([10**8] * 3, pa.date32()),
        "took": pa.array([123_456_789] * 3, pa.duration("ns")),
        "at": pa.array([123_456_789] * 3, pa.time64("ns")),
        "zone": pa.array([1_700_000_000] * 3, pa.timestamp("s", "Mars/Olympus")),
        "tags": pa.ListArray.from_arrays(
            pa.array([0, 1, 2, 3], pa.int32()), pa.Array.from_buffers(pa.string(), 3, broken)
        ),
        "text": pa.Array.from_buffers(pa.string(), 3, broken),
        "nested": pa.array([[{"a": 10**8}]] * 3, pa.list_(pa.struct([("a", pa.date32())]))),
    }
    for name, column in columns.items():
        table = pa.table(
            {"image": [jpeg(n) for n in range(3)], "caption": ["a", "b", "c"], name: column, "n": [1, 2, 3]}
        )
        pq.write_table(table, tmp_path / f"{name}.parquet")
        pairs, rejects = read(tmp_path / f"{name}.parquet")
        assert [(pair.caption, pair.meta["n"]) for pair in pairs] == [("a", 1), ("b", 2), ("c", 3)], name
        assert not rejects


@pytest.fixture
def nothing_allowed(monkeypatch):
    monkeypatch.setenv(ALLOW_VARIABLE, "")


@pytest.mark.usefixtures("nothing_allowed")
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_cells_are_data_and_name_no_file_elsewhere(tmp_path, kind):
    inside = tmp_path / "pool"
    (inside / "deep").mkdir(parents=True)
    for path in (tmp_path / "secret.jpg", inside / "a.jpg", inside / "deep/b.jpg"):
        path.write_bytes(jpeg(1))
    good = ["a.jpg", "deep/b.jpg", "./deep/../a.jpg", str(inside / "a.jpg")]
    outside = ["../secret.jpg", str(tmp_path / "secret.jpg"), "/etc/passwd", "deep/../../secret.jpg", ".."]
    remote = ["http://127.0.0.1:1/a.jpg", "s3://bucket/a.jpg"]
    never = ["file:///etc/passwd", "simplecache::file:///etc/passwd", "zip://a::http://127.0.0.1:1/x"]
    never += [
        "jlab://x",
        "reference://",
        "data://",
        "local:///etc/passwd",
        "simplecache::http://127.0.0.1:1/x",
    ]

    def reasons() -> tuple[int, list[str]]:
        rows = [*good, *outside, *remote, *never]
        captions = [f"picture {place}" for place in range(len(rows))]
        table = pa.table({"image": rows, "caption": captions})
        if kind == "csv":
            write_csv(inside / "t.csv", [["image", "caption"], *map(list, zip(rows, captions, strict=True))])
        else:
            pq.write_table(table, inside / "t.parquet")
        pairs, rejects = read(inside / f"t.{kind}")
        return len(pairs), [reject.reason for reject in rejects]

    found, why = reasons()
    assert found == len(good)
    assert ["--allow-outside" in reason for reason in why] == [True] * 5 + [False] * 10
    assert ["--allow-remote" in reason for reason in why] == [False] * 5 + [True] * 2 + [False] * 8
    assert all("of a kind that tables may not name" in reason for reason in why[-8:])
    allow(outside=True)
    found, why = reasons()
    assert found == len(good) + 4
    assert all("of a kind that tables may not name" in reason for reason in why[-8:])


@pytest.mark.usefixtures("nothing_allowed")
def test_what_cells_may_name_is_remembered_with_the_index(tmp_path):
    (tmp_path / "pool").mkdir()
    (tmp_path / "secret.jpg").write_bytes(jpeg(1))
    table = str(tmp_path / "pool/t.csv")
    write_csv(tmp_path / "pool/t.csv", [["image", "caption"], ["../secret.jpg", "a picture"]])
    before, state = mark_of(table), shard_state(table)
    allow(outside=True)
    assert len(build_index([table], cache=tmp_path / "cache")) == 1
    assert (mark_of(table), shard_state(table)) != (before, state)
    os.environ[ALLOW_VARIABLE] = ""
    assert (mark_of(table), shard_state(table)) == (before, state)
    assert len(build_index([table], cache=tmp_path / "cache")) == 0


@pytest.mark.parametrize("start", ["", "a/b/", "s3://", "\x07"])
def test_a_reason_is_short_however_long_its_cell(tmp_path, start):
    write_csv(tmp_path / "t.csv", [["image", "caption"], [start + "x" * 20_000, "a cat"]])
    pairs, (reject,) = read(tmp_path / "t.csv")
    assert pairs == []
    assert len(reject.reason) < 2_000
