"""Semantic duplicates: clusters of embeddings, and what is near within them."""

import builtins
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.duplicates.repeats import jpeg_of, scene, write_pool
from tests.small_pool import uid
from thresher.duplicates import deduplicate, semantic_duplicates
from thresher.duplicates.clusters import split
from thresher.embeddings import embed_shards
from thresher.errors import InputError, MissingExtra

pytest.importorskip("faiss")


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def planted(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of a clustered space, and of each which one it repeats (itself: none)."""
    random = np.random.default_rng(seed)
    topics = random.normal(size=(20, 32))
    vectors = unit(topics[random.integers(20, size=count)] + random.normal(size=(count, 32)))
    of = np.arange(count)
    again = np.arange(count // 2, count, 3)
    of[again] = again - count // 2
    vectors[again] = unit(vectors[of[again]] + 0.02 * random.normal(size=(len(again), 32)))
    return vectors, of


def test_planted_repeats_are_found_within_small_clusters() -> None:
    vectors, of = planted(6000)
    keeper, cosine = semantic_duplicates(
        vectors.__getitem__, np.arange(6000), similarity=0.97, cluster_size=500
    )
    repeats = of != np.arange(6000)
    assert (keeper[repeats] == of[repeats]).mean() >= 0.95
    assert (keeper[~repeats] == of[~repeats]).mean() >= 0.99
    assert (cosine[keeper != np.arange(6000)] >= 0.97).all()


def test_the_better_one_stays() -> None:
    vectors, _ = planted(800)
    rank = np.random.default_rng(0).permutation(800)
    keeper, _ = semantic_duplicates(vectors.__getitem__, rank, cluster_size=200)
    goes = keeper != np.arange(800)
    assert goes.any()
    assert (rank[keeper[goes]] < rank[goes]).all()


def test_clusters_are_disjoint_whole_and_small(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, _ = planted(5000)
    held = [(places.tolist(), rows) for places, rows in split(5000, vectors.__getitem__, most=300)]
    assert sorted(place for places, _ in held for place in places) == list(range(5000))
    assert max(len(places) for places, _ in held) <= 300
    assert all((rows == vectors[places]).all() for places, rows in held)
    monkeypatch.setattr(
        "thresher.duplicates.clusters.HELD_VALUES", 1000
    )  # read in blocks, as a large pool is
    again = [places.tolist() for places, _ in split(5000, vectors.__getitem__, most=300)]
    assert again == [places for places, _ in held]


def test_equal_vectors_that_no_cluster_divides_end() -> None:
    vectors = unit(np.ones((1000, 8)))
    keeper, _ = semantic_duplicates(vectors.__getitem__, np.arange(1000), cluster_size=100)
    assert (keeper == np.arange(1000)).sum() <= 10


def test_embeddings_of_a_folder_find_what_hashes_do_not(tmp_path: Path) -> None:
    """A turned picture has another hash; a model of random weights sees nearly the same in it."""
    images = {0: jpeg_of(scene(1)), 1: jpeg_of(scene(1).rotate(4)), 2: jpeg_of(scene(2))}
    shards = write_pool(tmp_path / "in", images, [0, 1, 2])
    stored = embed_shards(shards, "thresher-tiny-32", tmp_path / "e", device="cpu", workers=0)
    hashed = deduplicate(shards, tmp_path / "hashed", workers=0)
    assert hashed.num_kept == 3
    deduplicate(shards, tmp_path / "out", embeddings=stored, similarity=0.98, workers=0)
    rows = pq.read_table(tmp_path / "out" / "dropped.parquet").to_pylist()
    assert rows
    assert all(row["method"] == "semantic" and row["similarity"] >= 0.98 for row in rows)
    assert {uid(0), uid(1)} & {row["uid"] for row in rows}


def test_a_pair_without_an_embedding_is_named(tmp_path: Path) -> None:
    images = {number: jpeg_of(scene(number)) for number in range(3)}
    some = write_pool(tmp_path / "some", images, [0])
    every = write_pool(tmp_path / "all", images, [0, 1, 2])
    stored = embed_shards(some, "thresher-tiny-32", tmp_path / "e", device="cpu", workers=0)
    with pytest.raises(InputError, match="embed the shards of these pairs as well"):
        deduplicate(every, tmp_path / "out", embeddings=stored, workers=0)


def test_without_faiss_the_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def refuse(name: str, *rest: object) -> object:
        if name == "faiss":
            raise ModuleNotFoundError("No module named 'faiss'", name="faiss")
        return load(name, *rest)

    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtra, match=r"thresher\[cluster\]"):
        next(split(10, np.ones((10, 2), np.float32).__getitem__, most=2))
