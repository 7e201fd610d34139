"""Lists and arrays of others: exclude lists, subsets, embeddings and scores that are imported."""

import io
import json
import re
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tests.fuzz.case import Case, must, sentence
from tests.fuzz.damage import damaged
from tests.fuzz.scored import check_reason
from tests.fuzz.tables import odd_column
from tests.scores.imported.published import metadata, vectors, write_clip_retrieval, write_npz
from tests.small_pool import uid, write_shards
from thresher.curate.subset.npy import read_npy_subset
from thresher.data.exclude import read_exclude
from thresher.data.files.quarantine import read_quarantine
from thresher.errors import InputError
from thresher.scores.embeddings.stored import open_embeddings
from thresher.scores.imported.embeddings import import_embeddings
from thresher.scores.imported.row_chunks import Filled
from thresher.scores.imported.scores import import_scores
from thresher.sharded.parts import list_parts, list_quarantines

NUM_PAIRS = 6
LINES = (
    b"",
    b" ",
    b"# a remark",
    b"#",
    b"x",
    b"9" * 5000,
    b"\xff" * 32,
    b"\xef\xbb\xbf",
    b"0" * 31,
    b"0" * 33,
    b"g" * 32,
    b"\0" * 32,
    "０".encode() * 32,
    b"0" * 16 + b"\r" + b"0" * 16,
)


def lists(case: Case) -> None:
    match case.random.randrange(10):
        case 0 | 1 | 2:
            exclude_list(case)
        case 3:
            subset(case)
        case 4 | 5 | 6:
            embeddings(case)
        case _:
            scores(case)


def npy(random: Random, array: npt.NDArray[Any]) -> bytes:
    """An `.npy` file, at times with another header, other bytes, or of another version."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    data = file.getvalue()
    match random.randrange(8):
        case 0 | 1 | 2:
            return data
        case 3:
            return damaged(random, data)
        case 4:
            return damaged(random, data[:128]) + data[128:]
        case 5:
            return data[: random.randrange(len(data))]
        case _:
            shape = random.choice(
                (
                    "(99999999999,)",
                    "(-1,)",
                    "(10, 10)",
                    "()",
                    "(3.5,)",
                    "(" + "9" * 5000 + ",)",
                    "(1,)" * 50,
                    "(2**40, 2**40)",
                    "(1000000000000, 16)",
                    "(0, 16)",
                    "(6, 0)",
                    "(True, 16)",
                )
            )
            descr = random.choice(
                (
                    "'<f2'",
                    "'<f4'",
                    "'|O'",
                    "[('f0', '<u8'), ('f1', '<u8')]",
                    "'<u8'",
                    "'>f4'",
                    "'<c8'",
                    "'|V3'",
                    "'|S9999999999'",
                    "'<M8[ns]'",
                    "[('f0', '|O')]",
                    "'<U5'",
                )
            )
            order = random.choice(("False", "False", "True", "0", "None"))
            text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
            if random.random() < 0.1:
                text = random.choice(
                    (
                        b"{" * 500,
                        b"__import__('os').system('true')",
                        b"",
                        b"[]",
                        b"{'descr': 1}",
                        b"-" * 9000 + b"1",
                    )
                )
            head = text.ljust(117) + b"\n"
            if random.random() < 0.8:
                return b"\x93NUMPY\x01\0" + (len(head) % 65536).to_bytes(2, "little") + head + data[128:]
            return (
                b"\x93NUMPY"
                + random.choice((b"\x02\0", b"\x03\0", b"\x09\0"))
                + len(head).to_bytes(4, "little")
                + head
                + data[128:]
            )


def exclude_list(case: Case) -> None:
    random = case.random
    uids = [uid(number) for number in range(random.choice((0, 1, 5, 300)))]
    kind = random.choice(("txt", "npy", "parquet"))
    path = case.inside / f"list.{kind}"
    expected: frozenset[str] | None = None
    if kind == "txt":
        lines = [random.choice((one, one.upper(), f" {one}\t")).encode() for one in uids]
        for _ in range(random.choice((0, 0, 1, 2))):
            lines.insert(random.randint(0, len(lines)), random.choice(LINES))
        data = random.choice((b"\n", b"\r\n", b"\n", b"\r")).join(lines)
        data = random.choice(
            (
                data,
                data,
                b"\xef\xbb\xbf" + data,
                damaged(random, data),
                data.decode("latin-1").encode("utf-16"),
            )
        )
        expected = plain_list(data)
    elif kind == "npy":
        data = npy(random, subset_array(uids))
    else:
        column = (
            odd_column(random, "uid", len(uids)) if random.random() < 0.5 else pa.array(uids, pa.string())
        )
        data = parquet(random, {random.choice(("uid", "uid", "uid", "UID", "id")): column})
    path.write_bytes(data)
    case.notes.append(kind)
    case.seal()
    try:
        found = read_exclude(path)
    except InputError as error:
        sentence(error)
        must(expected is None, f"a plain list is refused: {error}")
    else:
        must(all(re.fullmatch("[0-9a-f]{32}", one) for one in found), "something is no uid")
        must(expected is None or expected == found, "other uids were read")
        must(kind != "txt" or expected is not None, "a list with a line that is no uid was taken")


def plain_list(data: bytes) -> frozenset[str] | None:
    """The uids of a text; None where a line is neither one nor empty nor a remark."""
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    lines = [line.strip().lower() for line in re.split("\r\n|\n|\r", text)]
    uids = [line for line in lines if line and not line.startswith("#")]
    return frozenset(uids) if all(re.fullmatch("[0-9a-f]{32}", one) for one in uids) else None


def subset_array(uids: list[str]) -> npt.NDArray[Any]:
    return np.array([(int(one[:16], 16), int(one[16:], 16)) for one in uids], dtype="u8,u8")


def subset(case: Case) -> None:
    path = case.inside / "subset.npy"
    uids = [uid(number) for number in (1, 2, 2, 3)]
    path.write_bytes(npy(case.random, subset_array(uids)))
    case.seal()
    try:
        table = read_npy_subset(path)
    except InputError as error:
        sentence(error)
    else:
        must(sum(table.column("repeats").to_pylist()) <= 10**6, "more draws than the file has bytes")


def parquet(random: Random, columns: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    try:
        pq.write_table(pa.table(columns), file, row_group_size=random.choice((2, 1000)))
    except (pa.ArrowException, NotImplementedError):
        file = io.BytesIO()
        pq.write_table(pa.table({"uid": [uid(1)]}), file)
    data = file.getvalue()
    return (
        random.choice((damaged(random, data), data[: random.randrange(len(data))]))
        if random.random() < 0.3
        else data
    )


def embeddings(case: Case) -> None:
    random = case.random
    numbers = list(range(NUM_PAIRS))
    source = case.inside / "source"
    given: dict[str, Any] = {"dtype": random.choice(("fp16", "int8"))}
    arrays = {name: vectors(numbers, name) for name in ("l14_img", "l14_txt")}
    for name in random.choice(([], ["l14_img"], ["l14_txt"], ["l14_img", "l14_txt"])):
        arrays[name] = odd_vectors(random, arrays[name])
    if random.random() < 0.5:
        given |= {"model": "ViT-B-32", "shards": write_shards(case.inside / "shards", (4, 2))}
        write_clip_retrieval(
            source, [(number, f"shards/{0 if number < 4 else 1:05d}/{number:09d}.jpg") for number in numbers]
        )
        for side, name in (("img", "l14_img"), ("text", "l14_txt")):
            (source / f"{side}_emb/{side}_emb_0.npy").write_bytes(npy(random, arrays[name]))
        table = source / "metadata/metadata_0.parquet"
    else:
        source.mkdir()
        table = source / "00.parquet"
        table.write_bytes(parquet(random, odd_metadata(random, numbers)))
        write_npz(
            source / "00.npz",
            numbers,
            {name: array for name, array in arrays.items() if array.dtype != object},
        )
        beside = source / "00.npz"
        if random.random() < 0.3:
            beside.write_bytes(damaged(random, beside.read_bytes()))
    if random.random() < 0.15:
        table.write_bytes(damaged(random, table.read_bytes()))
    case.seal()
    try:
        made = import_embeddings([str(source)], case.out / "l14", **given)
    except InputError as error:
        sentence(error)
        return
    check_filled(case.out / "l14", made.filled)
    stored = open_embeddings(case.out / "l14")
    places = np.arange(stored.count)
    for found in (stored.image(places), stored.text(places)):
        lengths = np.linalg.norm(found, axis=1)
        must(
            np.isfinite(found).all() and np.allclose(lengths, 1, atol=0.02),
            f"vectors have the lengths {lengths}",
        )


def odd_vectors(random: Random, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    changed = array.copy()
    changed[random.randrange(len(array))] = random.choice((float("nan"), float("inf"), 0, 6e-8, 65504))
    forms = (
        array[:-1],
        array[:, :8],
        array.astype("f8"),
        array.astype(">f4"),
        np.asfortranarray(array),
        array.astype("i4"),
        array.astype(object),
        array[0],
        array[:0],
        array[None],
        array.astype("f8") * 1e300,
        array.astype("f4") * 1e-30,
    )
    return random.choice((changed, changed, *forms))


def odd_metadata(random: Random, numbers: list[int]) -> dict[str, Any]:
    table = metadata(numbers)
    columns = dict(zip(table.column_names, table.columns, strict=True))
    for _ in range(random.choice((0, 0, 1, 1, 2))):
        columns[random.choice(list(columns))] = odd_column(random, "uid", len(numbers))
    if random.random() < 0.2:
        del columns[random.choice(list(columns))]
    return columns


def scores(case: Case) -> None:
    random = case.random
    numbers = list(range(NUM_PAIRS))
    paths = [case.inside / f"{number}.parquet" for number in range(random.choice((1, 1, 2)))]
    for place, path in enumerate(paths):
        path.write_bytes(parquet(random, odd_metadata(random, numbers if place == 0 else [9, 8, 7, 0])))
    given: dict[str, Any] = random.choice(
        (
            {},
            {},
            {"rules": ("basic",)},
            {"rules": ("laion",)},
            {"columns": ("original_width",)},
            {"carry": ("text", "sha256", "face_bboxes")},
        )
    )
    if random.random() < 0.3:
        given = {**given, "shards": write_shards(case.inside / "shards", (4, 2))}
    case.seal()
    try:
        made = import_scores(
            [str(path) for path in paths], case.out / "scores", first=random.random() < 0.5, **given
        )
    except InputError as error:
        sentence(error)
        return
    check_filled(case.out / "scores", made.filled)
    for part in list_parts(case.out / "scores"):
        table = pq.read_table(part, partitioning=None)
        known = np.any([np.isfinite(table.column(column).to_numpy()) for column in made.columns], axis=0)
        must(known.all(), "a pair without any score was taken")
        must(all(re.fullmatch("[0-9a-f]{32}", one) for one in table.column("uid").to_pylist()), "no uid")
    json.loads((case.out / "scores/scores.json").read_bytes())


def check_filled(folder: Path, filled: Filled) -> None:
    """Every row of the files that could be read is a pair or in quarantine."""
    pairs = sum(pq.read_metadata(part).num_rows for part in list_parts(folder))
    refused = [row for path in list_quarantines(folder) for row in read_quarantine(path).to_pylist()]
    for row in refused:
        check_reason(row["reason"])
    must(pairs == filled.summary.num_pairs, "the count of the pairs is wrong")
    # a file that turns out to be damaged on the way is named, and its rows are in no part
    lost = bool(filled.summary.unreadable)
    fit = pairs <= filled.rows and (lost or filled.rows <= pairs + len(refused))
    must(fit, f"{filled.rows} rows gave {pairs} pairs and {len(refused)} rejects")
