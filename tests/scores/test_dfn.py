"""Scores by a filter network."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.models.small import TINY
from tests.small_pool import write_shards
from thresher.errors import InputError
from thresher.scores.registry import open_scorer, parse_scorer
from thresher.scores.score import score_shards
from thresher.scores.spec import is_random
from thresher.sharded.parts import list_parts
from thresher.train.settings import Filter
from thresher.train.stage import train_network


def test_a_network_that_was_trained_ranks_pairs_as_its_checkpoint_does(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (10,))
    section = Filter(shards=tuple(shards), model=TINY, samples_seen=16, batch_size=8)
    network = train_network(section, tmp_path / "dfn", device="cpu", cache=tmp_path / "cache")
    options = "device=cpu,precision=fp32"
    specs = [
        parse_scorer(f"dfn:network={network},{options}"),
        parse_scorer(f"clip:model=local-dir:{network},{options}"),
    ]
    assert [spec.column for spec in specs] == ["dfn", "clip"]
    assert not any(is_random(spec) for spec in specs)
    score_shards(shards, tmp_path / "out", specs, workers=0)
    table = pq.read_table(list_parts(tmp_path / "out")[0])
    assert table.column("dfn").to_pylist() == table.column("clip").to_pylist()
    assert len(set(table.column("dfn").to_pylist())) == 10


def test_a_folder_without_a_network_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dfn holds no filter network .*thresher filter-network"):
        open_scorer(parse_scorer(f"dfn:network={tmp_path / 'dfn'}"))
    with pytest.raises(InputError, match=r"scorer dfn needs network; write dfn:network="):
        parse_scorer("dfn")
