"""Random pools in every form that is read: the same uids, captions, images, scores and verdicts."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.fuzz.pool_forms import is_utf8, write_forms
from tests.fuzz.random_pools import RawPair, random_pool
from thresher.data.files.quarantine import read_quarantine
from thresher.data.index import build_index
from thresher.data.pairs import Pair
from thresher.data.shards import read_pairs
from thresher.scores.caption import quality
from thresher.scores.registry import parse_scorer
from thresher.scores.score import score_shards
from thresher.sharded.parts import list_parts, list_quarantines

SCORERS = ("caption", "basic", "image", "image:feature=width,as=width", "image:feature=sharpness,as=sharp")
POOLS_AT_ONCE = 50
Entries = Sequence[tuple[str, RawPair]]


def outcomes(entries: Entries) -> Iterator[tuple[str, RawPair, str]]:
    """Key, pair and fate of each entry: good, or the stage that refuses it."""
    seen: set[str] = set()
    for key, pair in entries:
        if pair.text is None or not pair.image or not is_utf8(pair.name) or pair.uid in seen:
            yield key, pair, "read"
        else:
            seen.add(pair.uid)
            yield key, pair, "good" if pair.size else "score"


def compare_reading(shard: str, entries: Entries) -> int:
    """Hold what is read of a shard against its entries, in one pass and by single rows; how many values."""
    read = [
        (item.key, item.uid, item.caption, item.image_bytes)
        if isinstance(item, Pair)
        else (item.key, item.stage)
        for item in read_pairs(shard)
    ]
    expected = [
        (key, fate) if fate == "read" else (key, pair.uid, pair.text, pair.image)
        for key, pair, fate in outcomes(entries)
    ]
    assert read == (expected or [("", "read")])
    index = build_index([shard], cache=None)
    good = [row for row in expected if len(row) == 4]
    found = zip(*(index.table.column(name).to_pylist() for name in ("key", "uid", "caption")), strict=True)
    assert [(*row, index.image_bytes(place)) for place, row in enumerate(found)] == good
    assert sorted(index.rejects.column("key").to_pylist()) == sorted(row[0] for row in read if len(row) == 2)
    return sum(len(row) for row in expected) + 4 * len(good) + len(read) - len(good)


def stated_width(pair: RawPair) -> float | None:
    """The width that counts: the stated one where both sides are whole numbers from 1 to 999,999,999."""
    sides = [pair.fields.get(name) for name in ("original_width", "original_height")]
    numbers = [side for side in sides if isinstance(side, int | float)]
    texts = [side for side in sides if isinstance(side, str) and re.fullmatch(r"[0-9]{1,99}(\.0)?", side)]
    numbers += map(float, texts)
    return numbers[0] if len([n for n in numbers if 1 <= n < 1e9 and n == n // 1]) == 2 else None


def read_scores(folder: Path) -> tuple[dict[str, list[dict[str, Any]]], dict[str, list[tuple[str, str]]]]:
    """Rows, and keys and stages of what was refused, by shard."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for part in list_parts(folder):
        for row in pq.read_table(part, partitioning=None).to_pylist():
            rows.setdefault(row.pop("shard"), []).append(row)
    refused: dict[str, list[tuple[str, str]]] = {}
    tables = [read_quarantine(path) for path in list_quarantines(folder)]
    for row in pa.concat_tables(tables).to_pylist() if tables else []:
        refused.setdefault(row["shard"], []).append((row["key"], row["stage"]))
    return rows, refused


def compare_pools(seeds: Sequence[int], folder: Path) -> Counter[str]:
    """Write the pools of the seeds in every form, and compare all that comes of them; how many values."""
    counts: Counter[str] = Counter()
    pools = {seed: random_pool(seed) for seed in seeds}
    written = {seed: write_forms(folder / f"{seed}", pool, seed) for seed, pool in pools.items()}
    shards = [shard for forms in written.values() for shard, _ in forms.values()]
    for seed, forms in written.items():
        for form, (shard, entries) in forms.items():
            counts["reading"] += compare_reading(shard, entries)
            counts[f"pairs in {form}"] += len(entries)
        counts["pools"] += 1
        counts["pairs"] += len(pools[seed])
    score_shards(shards, folder / "scores", [parse_scorer(text) for text in SCORERS], workers=0)
    rows, refused = read_scores(folder / "scores")
    for forms in written.values():
        first: dict[str, dict[str, Any]] = {}
        for shard, entries in forms.values():
            counts["scores"] += compare_scores(entries, rows.get(shard, []), refused.get(shard, []), first)
    return counts


def compare_scores(
    entries: Entries,
    rows: Sequence[dict[str, Any]],
    refused: Sequence[tuple[str, str]],
    first: dict[str, dict[str, Any]],
) -> int:
    """Hold the scores of a shard against its entries, and against `first`, those of other forms by name."""
    fates = list(outcomes(entries))
    good = [(key, pair) for key, pair, fate in fates if fate == "good"]
    assert [(row["key"], row["uid"], row["caption"]) for row in rows] == [
        (key, pair.uid, pair.text) for key, pair in good
    ]
    bad = [(key, fate) for key, _, fate in fates if fate != "good"]
    assert sorted(refused) == (sorted(bad) if entries else [("", "read")])
    for row, (_, pair) in zip(rows, good, strict=True):
        scores = {name: value for name, value in row.items() if name not in ("key", "uid", "caption")}
        assert scores["caption_score"] == pytest.approx(quality(pair.text or ""), rel=1e-6)
        assert pair.size is not None
        assert scores["width"] == pytest.approx(stated_width(pair) or pair.size[0], rel=1e-6)
        assert first.setdefault(pair.name, scores) == scores
    return sum(map(len, rows)) + len(bad)


@pytest.mark.parametrize(
    "seeds",
    [
        range(8),
        *(
            pytest.param(range(start, start + POOLS_AT_ONCE), marks=pytest.mark.soak)
            for start in range(0, 1000, POOLS_AT_ONCE)
        ),
    ],
    ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}",
)
def test_the_form_of_a_pool_changes_nothing_of_its_pairs(seeds: range, tmp_path: Path) -> None:
    counts = compare_pools(seeds, tmp_path)
    assert counts["pools"] == len(seeds)
    assert all(
        counts[f"pairs in {form}"] > counts["pairs"] / 2 for form in ("tar", "folder", "csv", "parquet")
    )
