"""Semantic duplicates: clusters of embeddings, and what is near within them."""

import builtins
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.curate.duplicates.repeats import embedded, jpeg_of, scene, write_pool
from tests.small_pool import uid
from thresher.curate.duplicates.clusters import assign_by, cells_of, split
from thresher.curate.duplicates.dedup import deduplicate
from thresher.curate.duplicates.near import group_vectors
from thresher.curate.duplicates.semantic import semantic_duplicates
from thresher.errors import InputError, MissingExtra
from thresher.scores.embeddings.embed import embed_shards

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


def brute(vectors: np.ndarray, similarity: float) -> np.ndarray:
    """What each vector goes for when all are compared with all."""
    return group_vectors(vectors, similarity)[0]


def test_planted_repeats_are_found_across_the_borders_of_cells() -> None:
    vectors, of = planted(6000)
    keeper, cosine = semantic_duplicates(
        vectors.__getitem__, np.arange(6000), similarity=0.97, cluster_size=300
    )
    repeats = of != np.arange(6000)
    assert (keeper[repeats] == of[repeats]).mean() >= 0.999
    assert (keeper[~repeats] == of[~repeats]).mean() >= 0.99
    assert (cosine[keeper != np.arange(6000)] >= 0.97 - 1e-6).all()


def test_the_better_one_stays() -> None:
    vectors, _ = planted(800)
    rank = np.random.default_rng(0).permutation(800)
    keeper, _ = semantic_duplicates(vectors.__getitem__, rank, cluster_size=200)
    goes = keeper != np.arange(800)
    assert goes.any()
    assert (rank[keeper[goes]] < rank[goes]).all()


@pytest.mark.parametrize("similarity", [0.7, 0.9])
def test_every_vector_that_goes_is_near_one_that_stays(similarity: float) -> None:
    """Loose thresholds, where chains of near vectors lead across many cells."""
    vectors, _ = planted(3000)
    keeper, cosine = semantic_duplicates(
        vectors.__getitem__, np.arange(3000), similarity=similarity, cluster_size=150
    )
    goes = keeper != np.arange(3000)
    assert (keeper[keeper] == keeper).all()
    assert (keeper[goes] < np.flatnonzero(goes)).all()
    assert np.allclose(cosine[goes], (vectors * vectors[keeper])[goes].sum(axis=1), atol=1e-5)
    assert (cosine[goes] >= similarity - 1e-6).all()
    stays = np.flatnonzero(~goes)
    left = len(set(brute(vectors[stays], similarity).tolist())) / len(stays)
    assert left > 0.95  # hardly any near ones are left


def test_cells_cover_all_once_and_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, _ = planted(5000)

    def cells() -> list[tuple[list[int], list[bool]]]:
        found = []
        for cell in split(5000, vectors.__getitem__, most=300, margin=0.1):
            assert (cell.vectors_nD == vectors[cell.places]).all()
            assert (np.diff(cell.places) > 0).all()
            found.append((cell.places.tolist(), cell.own.tolist()))
        return found

    held = cells()
    own = [place for places, flags in held for place, mine in zip(places, flags, strict=True) if mine]
    assert sorted(own) == list(range(5000))
    assert max(len(places) for places, _ in held) <= 300
    assert sum(len(places) for places, _ in held) > 5500  # some visit
    monkeypatch.setattr(
        "thresher.curate.duplicates.clusters.HELD_VALUES", 1000
    )  # in blocks, as a large pool is
    monkeypatch.setattr("thresher.curate.duplicates.clusters.BLOCK", 700)
    assert cells() == held
    monkeypatch.setattr("thresher.curate.duplicates.clusters.BRANCHES", 8)  # several levels
    deep = cells()
    assert sorted(place for at, mine in deep for place, m in zip(at, mine, strict=True) if m) == sorted(own)


def test_workers_of_an_executor_find_the_same_cells() -> None:
    vectors, _ = planted(3000)
    here = semantic_duplicates(vectors.__getitem__, np.arange(3000), cluster_size=300)
    there = semantic_duplicates(
        vectors.__getitem__, np.arange(3000), cluster_size=300, assign=assign_by("local")
    )
    assert all((one == other).all() for one, other in zip(here, there, strict=True))


def test_a_vector_visits_the_cells_whose_border_is_near() -> None:
    centroids = np.eye(3, dtype=np.float32)
    vectors = unit(np.array([[1, 0.05, 0], [1, 0.95, 0], [1, 0.99, 0.98]], dtype=np.float32))
    assert cells_of(vectors, centroids, 0.1).tolist() == [[0, -1, -1], [0, 1, -1], [0, 1, 2]]
    assert cells_of(vectors, centroids, 0.0).tolist() == [[0, -1, -1]] * 3
    parts = [cells_of(vectors[row : row + 1], centroids, 0.1) for row in range(3)]
    assert (np.concatenate(parts) == cells_of(vectors, centroids, 0.1)).all()


def test_equal_vectors_that_no_cluster_divides_end() -> None:
    vectors = unit(np.ones((1000, 8)))
    keeper, _ = semantic_duplicates(vectors.__getitem__, np.arange(1000), cluster_size=100)
    assert (keeper == np.arange(1000)).sum() <= 10


def test_embeddings_of_a_folder_find_what_hashes_do_not(tmp_path: Path) -> None:
    images = {0: jpeg_of(scene(1)), 1: jpeg_of(scene(1).rotate(4)), 2: jpeg_of(scene(2))}
    shards = write_pool(tmp_path / "in", images, [0, 1, 2])
    assert deduplicate(shards, tmp_path / "hashed", workers=0).num_kept == 3
    stored = embedded(tmp_path / "e", {2: [0, 1], 1: [0.995, 0.1], 0: [1, 0]})
    deduplicate(shards, tmp_path / "out", embeddings=stored, similarity=0.98, workers=0)
    (row,) = pq.read_table(tmp_path / "out" / "dropped.parquet").to_pylist()
    assert (row["method"], {row["uid"], row["kept_uid"]}) == ("semantic", {uid(0), uid(1)})
    assert row["similarity"] == pytest.approx(0.995, abs=1e-3)


@pytest.mark.slow  # it loads torch and a model
def test_a_turned_picture_is_found_by_a_model(tmp_path: Path) -> None:
    """A turned picture has another hash; a model of random weights sees nearly the same in it."""
    images = {0: jpeg_of(scene(1)), 1: jpeg_of(scene(1).rotate(4)), 2: jpeg_of(scene(2))}
    shards = write_pool(tmp_path / "in", images, [0, 1, 2])
    stored = embed_shards(shards, "thresher-tiny-32", tmp_path / "e", device="cpu", workers=0).whole()
    deduplicate(shards, tmp_path / "out", embeddings=stored, similarity=0.98, workers=0)
    rows = pq.read_table(tmp_path / "out" / "dropped.parquet").to_pylist()
    assert rows
    assert all(row["method"] == "semantic" and row["similarity"] >= 0.98 - 1e-6 for row in rows)
    assert {uid(0), uid(1)} & {row["uid"] for row in rows}


def test_a_pair_without_an_embedding_is_named(tmp_path: Path) -> None:
    images = {number: jpeg_of(scene(number)) for number in range(3)}
    every = write_pool(tmp_path / "all", images, [0, 1, 2])
    stored = embedded(tmp_path / "e", {0: [1, 0]})
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
        next(split(10, np.ones((10, 2), np.float32).__getitem__, most=2, margin=0.1))
