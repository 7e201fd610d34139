"""What has to hold of any shard, whatever is in it: nothing lost, nothing read in two ways."""

import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.fuzz.case import Case, Fault, must, sentence
from tests.small_pool import contents
from thresher.curate.subset.write import write_subset
from thresher.data.files.quarantine import read_quarantine
from thresher.data.index import Index
from thresher.data.pairs import Pair, Reject
from thresher.data.shard_index import index_shard
from thresher.data.shards import read_pairs
from thresher.errors import InputError
from thresher.scores.registry import parse_scorer
from thresher.scores.score import score_shards
from thresher.sharded.parts import list_parts, list_quarantines


def check_shard(case: Case, shard: Path, *, scorers: tuple[str, ...] = ("caption",)) -> list[Pair | Reject]:
    """Read a shard and, at times, score, index and copy it; what was read.

    Raises:
        Fault: two of these do not agree, or something is lost on the way.
    """
    name = str(shard)
    items = list(read_pairs(name))
    must(items, "reading gave neither pairs nor rejects")
    places = [_told(item) for item in read_pairs(name, with_images=False)]
    must(places == [_told(item) for item in items], "with and without images two things are read")
    for item in items:
        if isinstance(item, Reject):
            check_reason(item.reason)
        item.key.encode("utf-8")
    if case.random.random() < 0.4:
        check_scores(case, name, items, scorers)
    if case.random.random() < 0.4:
        check_index(case, name, items)
    return items


def check_scores(case: Case, name: str, items: list[Pair | Reject], scorers: tuple[str, ...]) -> None:
    """Everything that was read is scored or refused, and what is scored can be copied."""
    rows, refused = score(case, [name], scorers)
    # an image that does not decode is refused by the scoring
    held = Counter(row["key"] for row in rows) + Counter(row["key"] for row in refused)
    must(held == Counter(item.key for item in items), "pairs in are not pairs scored and refused")
    uids = {item.uid: item for item in items if isinstance(item, Pair)}
    for row in rows:
        must(row["caption"] == uids[row["uid"]].caption, f"pair {row['key']!r} has another caption")
    if rows and case.random.random() < 0.3:
        check_copy(case, name, rows, uids)


def check_reason(reason: str) -> None:
    reason.encode("utf-8")
    must(reason and "Traceback" not in reason and len(reason) < 3000, f"no reason: {reason[:300]!r}")


def score(case: Case, shards: list[str], scorers: tuple[str, ...]) -> tuple[list[Any], list[Any]]:
    """Rows scored and rows refused; at times scored twice, which has to change nothing."""
    out = case.out / "scores"
    specs = [parse_scorer(text) for text in scorers]
    summary = score_shards(shards, out, specs, workers=0)
    if case.random.random() < 0.2:
        before = contents(out)
        score_shards(shards, out, specs, workers=0)
        must(contents(out) == before, "scoring again changed the folder")
    rows = [row for part in list_parts(out) for row in pq.read_table(part, partitioning=None).to_pylist()]
    refused = [row for part in list_quarantines(out) for row in read_quarantine(part).to_pylist()]
    must(summary.num_pairs == len(rows), f"{summary.num_pairs} pairs are said, {len(rows)} are there")
    must(summary.num_quarantined == len(refused), "the count of the quarantine is wrong")
    for row in refused:
        check_reason(row["reason"])
    return rows, refused


def check_index(case: Case, shard: str, items: list[Pair | Reject]) -> None:
    """The index has the pairs that reading gives, and reads their images from where it says they are."""
    indexed = index_shard(shard, case.out / "index" if case.random.random() < 0.3 else None)
    pairs = [item for item in items if isinstance(item, Pair)]
    must(indexed.pairs.column("uid").to_pylist() == [pair.uid for pair in pairs], "the index has other pairs")
    must(indexed.rejects.num_rows == len(items) - len(pairs), "the index refuses others")
    index = Index(indexed.pairs, indexed.rejects)
    for row, pair in enumerate(pairs):
        must(index.image_bytes(row) == pair.image_bytes, f"the index gives another image of {pair.key!r}")


def check_copy(case: Case, shard: str, rows: list[Any], uids: dict[str | None, Pair]) -> None:
    """The pairs in new shards are those of the old one."""
    wanted = [row["uid"] for row in rows]
    draws = pa.table(
        {"uid": wanted, "pool": ["all"] * len(wanted), "repeats": pa.array([1] * len(wanted), pa.int32())}
    )
    try:
        write_subset(draws, case.out / "new", format="shards", shards=[shard], pairs_per_shard=4)
    except InputError as error:
        case.notes.append("not copied: " + sentence(error))
        raise Fault("pairs that were scored cannot be copied") from error
    copied = {}
    for tar in sorted((case.out / "new").glob("*.tar")):
        with tarfile.open(tar, "r:") as file:
            must(all(info.isreg() and "/" not in info.name for info in file), "a copy holds no plain file")
        for item in read_pairs(str(tar)):
            must(isinstance(item, Pair), f"a copy cannot be read: {item}")
            copied[item.uid] = item
    must(set(copied) == set(wanted), "the copy holds other pairs")
    for uid, pair in copied.items():
        same = pair.caption == uids[uid].caption and pair.image_bytes == uids[uid].image_bytes
        must(same, f"the copy of {uids[uid].key!r} is another pair")


def _told(item: Pair | Reject) -> tuple[Any, ...]:
    if isinstance(item, Reject):
        return ("reject", item.key, item.reason, item.offset)
    return ("pair", item.key, item.uid, item.caption, item.members)
