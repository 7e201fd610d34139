from pathlib import Path

import numpy as np
import pytest

from thresher.curate.pools import rows as rows_module
from thresher.curate.pools.rows import ABSENT, DUPLICATE, EXCLUDED, IN, RowStore
from thresher.data.files import spill

RANDOM_SEED = 0


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buckets, runs and chunks of a few rows, so that small tables take every way."""
    monkeypatch.setattr(spill, "BUCKET_ROWS", 16)
    monkeypatch.setattr(spill, "RUN_ROWS", 24)
    monkeypatch.setattr(rows_module, "CHUNK_ROWS", 10)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("with_shards", [False, True])
def test_fates_are_those_that_a_dictionary_finds(tmp_path: Path, with_shards: bool) -> None:
    random = np.random.default_rng(RANDOM_SEED)
    words = random.integers(0, 6, (300, 2)).astype(np.uint64) << np.uint64(60)
    words[::3] = random.integers(0, 2**63, (100, 2)).astype(np.uint64)
    fates = np.where(random.random(300) < 0.1, EXCLUDED, IN).astype(np.uint8)
    there = {tuple(uid) for uid in words[random.random(300) < 0.7].tolist()}
    available = [np.array(sorted(there), dtype=np.uint64)[start::3] for start in range(3)]
    expected, first = fates.copy(), {}
    for row, uid in enumerate(map(tuple, words.tolist())):
        if fates[row] != IN:
            continue
        if with_shards and uid not in there:
            expected[row] = ABSENT
        elif first.setdefault(uid, row) != row:
            expected[row] = DUPLICATE
    with RowStore(tmp_path, 300) as store:
        for start in range(0, 300, 70):
            part = slice(start, start + 70)
            store.add(words[part], np.arange(300, dtype=np.uint32)[part], fates[part])
        counts = store.settle(iter(available) if with_shards else None)
        found = store.rows(0, 300)
        assert found["fate"].tolist() == expected.tolist()
        assert found["key"].tolist() == list(range(300))
        assert counts[:6].tolist() == np.bincount(expected, minlength=6).tolist()
        assert np.concatenate(list(store.keys())).tolist() == np.flatnonzero(expected == IN).tolist()
        for row in np.flatnonzero(expected == DUPLICATE).tolist():
            assert store.first_of(row) == first[tuple(words[row].tolist())]
    assert list(tmp_path.iterdir()) == []
