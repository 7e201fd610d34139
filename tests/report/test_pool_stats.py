import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.report.fake_workdir import PAIRS
from tests.report.planted import NAMES
from thresher.report import pool_stats as tally_module
from thresher.report.pool_stats import LEFT_OUT, Tally, tally
from thresher.report.workdir import read_workdir


def _tally(workdir: Path) -> Tally:
    found = tally(read_workdir(workdir))
    assert found is not None
    return found


def test_every_pair_is_counted_once_under_its_pool_and_label(workdir: Path) -> None:
    found = _tally(workdir)
    rows = pq.read_table(workdir / "pools" / "pools.parquet").to_pylist()
    planted = json.loads((workdir / "planted.json").read_text())
    for rank, name in enumerate(NAMES):
        for label in set(planted.values()):
            slow = sum(row["pool"] == rank and planted[row["uid"]] == label for row in rows)
            assert found.share(name, label) == slow
    assert sum(counts.sum() for counts in found.counts.values()) == sum(PAIRS)
    assert found.share(NAMES[0], "no such label") == 0


def test_the_histogram_is_that_of_the_scores(workdir: Path) -> None:
    found = _tally(workdir)
    scores = pq.read_table(workdir / "pools" / "pools.parquet")["score"].to_numpy().astype(float)
    expected, _ = np.histogram(np.clip(scores, found.edges[0], found.edges[-1]), found.edges)
    np.testing.assert_array_equal(sum(found.counts.values()), expected)


def test_batches_of_any_size_give_the_same_tally(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _tally(workdir)
    monkeypatch.setattr(tally_module, "BATCH_ROWS", 7)
    parts = _tally(workdir)
    assert parts.shown == whole.shown
    assert parts.counts.keys() == whole.counts.keys()
    for key, counts in whole.counts.items():
        np.testing.assert_array_equal(parts.counts[key], counts)


def test_pairs_to_show_spread_over_the_scores_of_their_pool(workdir: Path) -> None:
    found = _tally(workdir)
    table = pq.read_table(workdir / "pools" / "pools.parquet")
    for rank, name in enumerate(NAMES):
        scores = np.sort(table["score"].to_numpy()[table["pool"].to_numpy() == rank])[::-1]
        shown = [pair.scores["clip"] for pair in found.shown[name]]
        places = [int(np.flatnonzero(scores == score)[0]) for score in shown]
        assert places == [int((i + 0.5) * len(scores) / 8) for i in range(8)]


def test_a_sample_of_a_large_pool_still_spans_its_scores(
    workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally_module, "SAMPLE", 32)
    shown = [pair.scores["clip"] for pair in _tally(workdir).shown[NAMES[3]]]
    table = pq.read_table(workdir / "pools" / "pools.parquet")
    scores = table["score"].to_numpy()[table["pool"].to_numpy() == 3]
    assert shown == sorted(shown, reverse=True)
    assert shown[0] > np.quantile(scores, 0.8)
    assert shown[-1] < np.quantile(scores, 0.2)


def test_shown_pairs_carry_every_score_and_their_label(workdir: Path) -> None:
    planted = json.loads((workdir / "planted.json").read_text())
    for pairs in _tally(workdir).shown.values():
        for pair in pairs:
            assert list(pair.scores) == ["clip", "caption_score"]
            assert pair.scores["caption_score"] == pytest.approx(len(pair.caption) / 30, rel=1e-6)
            assert pair.label == planted[pair.uid]


def test_scores_in_no_pool_are_counted_apart(workdir: Path) -> None:
    pools = workdir / "pools"
    table = pq.read_table(pools / "pools.parquet")
    pq.write_table(table.filter(table["pool"].to_numpy() < 3), pools / "pools.parquet")
    record = json.loads((pools / "pools.json").read_text())
    record["pools"] = record["pools"][:3]
    (pools / "pools.json").write_text(json.dumps(record))
    found = _tally(workdir)
    left_out = sum(counts.sum() for (pool, _), counts in found.counts.items() if pool == LEFT_OUT)
    assert left_out == PAIRS[3]
    assert sum(counts.sum() for counts in found.counts.values()) == sum(PAIRS)


def test_without_pools_there_is_no_tally(workdir: Path) -> None:
    (workdir / "pools" / "pools.parquet").unlink()
    assert tally(read_workdir(workdir)) is None
