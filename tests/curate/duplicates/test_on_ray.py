"""Duplicates found on a Ray cluster of two nodes are those found here, to the byte."""

from pathlib import Path

import pytest

from tests.curate.duplicates.repeats import planted, write_pool
from tests.executor.test_ray import cluster
from tests.small_pool import contents
from thresher.curate.duplicates import clusters
from thresher.curate.duplicates.dedup import deduplicate
from thresher.curate.duplicates.semantic import semantic_duplicates
from thresher.scores.embeddings.embed import embed_shards

pytest.importorskip("faiss")
pytestmark = pytest.mark.soak  # a cluster takes a quarter of a minute to start

__all__ = ["cluster"]


def test_hashes_and_cells_of_a_cluster_give_the_same_lists(
    cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, _ = planted(40)
    shards = write_pool(tmp_path / "in", images, list(images))
    stored = embed_shards(shards, "thresher-tiny-32", tmp_path / "e", device="cpu", workers=0).whole()
    monkeypatch.setitem(semantic_duplicates.__kwdefaults__, "cluster_size", 20)
    monkeypatch.setattr(clusters, "BLOCK", 30)
    given = {"embeddings": stored, "similarity": 0.999}
    here = deduplicate(shards, tmp_path / "here", workers=0, **given)
    deduplicate(shards, tmp_path / "ray", workers=1, executor="ray", ray_address=cluster, **given)
    assert here.dropped["semantic"] > 0
    assert contents(tmp_path / "ray") == contents(tmp_path / "here")
