"""Near hashes, and which of near items stay."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.curate.duplicates.repeats import scene
from thresher.curate.duplicates.near import MOST_DISTANCE, Edges, group_edges, group_vectors, near_pairs
from thresher.sharded.hashes import perceptual_hash


def hashes(count: int, seed: int) -> np.ndarray:
    """Random hashes, each of which a few others differ from in up to six bits."""
    random = np.random.default_rng(seed)
    centres = random.integers(0, 2**64, count // 4, dtype=np.uint64)
    bits = np.repeat(centres, 4)
    for place in range(len(bits)):
        for bit in random.choice(64, random.integers(0, 4), replace=False):
            bits[place] ^= np.uint64(1) << np.uint64(bit)
    return bits


@pytest.mark.parametrize("distance", [0, 2, MOST_DISTANCE])
def test_buckets_find_every_pair_that_comparing_all_finds(distance: int) -> None:
    bits = hashes(400, distance)
    thumbnails = np.zeros((len(bits), 96), dtype=np.uint8)
    found = near_pairs(bits, thumbnails, distance=distance)
    apart = np.bitwise_count(bits[:, None] ^ bits[None])
    first, second = np.nonzero(np.triu(apart <= distance, 1))
    assert (found.first_e.tolist(), found.second_e.tolist()) == (first.tolist(), second.tolist())
    assert found.distance_e.tolist() == apart[first, second].tolist()


def test_equal_outlines_in_other_colours_are_not_near() -> None:
    thumbnails = np.zeros((3, 96), dtype=np.uint8)
    thumbnails[2, 70] = 9
    found = near_pairs(np.full(3, 12345, dtype=np.uint64), thumbnails)
    assert list(zip(found.first_e, found.second_e, strict=True)) == [(0, 1)]


def test_a_pool_of_blank_images_costs_no_square(monkeypatch: pytest.MonkeyPatch) -> None:
    count, window = 300, 40
    monkeypatch.setattr("thresher.curate.duplicates.near.WINDOW", window)
    found = near_pairs(np.zeros(count, dtype=np.uint64), np.zeros((count, 96), dtype=np.uint8))
    assert len(found) < (window + 1) * count
    keeper, _ = group_edges(count, found)
    assert (keeper == np.arange(count)).sum() <= count // window + 1


def test_the_hash_is_steady_under_small_changes_and_tells_scenes_apart() -> None:
    bits = np.array([perceptual_hash(scene(seed))[0] for seed in range(30)], dtype=np.uint64)
    smaller = np.array([perceptual_hash(scene(seed).resize((50, 50)))[0] for seed in range(30)], np.uint64)
    assert np.percentile(np.bitwise_count(bits ^ smaller), 90) <= MOST_DISTANCE
    apart = np.bitwise_count(bits[:, None] ^ bits[None])[np.triu_indices(30, 1)]
    assert np.median(apart) > 3 * MOST_DISTANCE


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19), st.integers(0, 4)), max_size=60))
def test_a_star_covers_everything_and_never_chains(triples: list[tuple[int, int, int]]) -> None:
    near = {(min(a, b), max(a, b)): apart for a, b, apart in triples if a != b}
    first, second = (np.array([pair[side] for pair in near], dtype=np.int64) for side in (0, 1))
    keeper, apart = group_edges(20, Edges(first, second, np.array(list(near.values()), dtype=np.int64)))
    kept = {place for place in range(20) if keeper[place] == place}
    assert not any(a in kept and b in kept for a, b in near)
    for place in set(range(20)) - kept:
        assert keeper[place] in kept
        assert near[int(keeper[place]), place] == apart[place]


def obvious(vectors: np.ndarray, threshold: float) -> list[int]:
    """One item after the other against all that were kept."""
    kept: list[int] = []
    keeper = []
    for place, vector in enumerate(vectors):
        cosines = vectors[kept] @ vector if kept else np.empty(0)
        if len(cosines) and cosines.max() >= threshold:
            keeper.append(kept[int(cosines.argmax())])
        else:
            keeper.append(place)
            kept.append(place)
    return keeper


def test_vectors_are_kept_as_by_the_obvious_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thresher.curate.duplicates.near.BLOCK", 16)
    random = np.random.default_rng(1)
    vectors = np.repeat(random.normal(size=(40, 8)), 5, axis=0) + 0.2 * random.normal(size=(200, 8))
    vectors = random.permutation(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    keeper, similarity = group_vectors(vectors, 0.93)
    assert keeper.tolist() == obvious(vectors, 0.93)
    assert 40 <= len(set(keeper.tolist())) < 150
    goes = keeper != np.arange(200)
    cosines = (vectors * vectors[keeper]).sum(axis=1)
    assert np.allclose(similarity[goes], cosines[goes], atol=1e-6)
