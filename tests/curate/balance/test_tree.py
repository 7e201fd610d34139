import numpy as np
import pytest

from tests.curate.balance.planted import LONG_TAIL, planted_points, planted_uids, planted_vectors
from thresher.curate.balance import points as points_module
from thresher.curate.balance import tree as tree_module
from thresher.curate.balance.balanced import draw_balanced, evenness
from thresher.curate.balance.points import Points, points_in
from thresher.curate.balance.tree import Tree, cluster_counts, grow_tree
from thresher.data.uids import uid_bytes
from thresher.errors import InputError


def partition(labels: np.ndarray, uids: list[str]) -> set[frozenset[str]]:
    """Clusters as sets of uids."""
    return {frozenset(np.asarray(uids)[labels == label].tolist()) for label in np.unique(labels)}


def shares(classes: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    return np.bincount(classes, weights=drawn)


def test_levels_agree_with_each_other_and_none_is_empty() -> None:
    points, _ = planted_points()
    tree = grow_tree(points, (120, 30, 8))
    assert [len(size) for size in tree.sizes] == [len(at) for at in tree.centroids]
    assert tree.sizes[0].tolist() == np.bincount(tree.labels).tolist()
    top = tree.parents[1][tree.parents[0][tree.labels]]
    assert tree.sizes[2].tolist() == np.bincount(top).tolist()
    assert all(size.min() > 0 and size.sum() == points.count for size in tree.sizes)
    assert len(tree.sizes[0]) >= 110
    assert len(tree.objectives) == 3


def test_resampling_and_levels_move_clusters_to_the_rare_classes() -> None:
    """Clusters that the rarest half of the classes get, of those of the top level."""
    points, classes = planted_points(spread=0.25)

    def rare(tree: Tree) -> float:
        labels = tree.labels
        for parent in tree.parents:
            labels = parent[labels]
        common = [np.bincount(classes[labels == number]).argmax() for number in np.unique(labels)]
        return float(np.mean(np.asarray(common) >= len(LONG_TAIL) // 2))

    flat = rare(grow_tree(points, (20,), resamples=0))
    deep = rare(grow_tree(points, (260, 70, 20), resamples=3))
    assert flat < 0.3
    assert deep > 1.3 * flat


def test_long_tailed_classes_come_out_balanced() -> None:
    points, classes = planted_points()
    tree = grow_tree(points, (200, 50, 12))
    drawn = draw_balanced(tree, points.words, 400)
    before, after = np.bincount(classes), shares(classes, drawn)
    assert before.max() / before.min() == 100
    assert after.max() / after.min() < 8
    assert evenness(before) < 0.75
    assert evenness(after.astype(int)) > 0.93


def test_row_order_changes_nothing_but_the_numbers_of_rows() -> None:
    points, _ = planted_points()
    vectors, uids = points.read(np.arange(points.count)), planted_uids(points.count)
    order = np.random.default_rng(5).permutation(points.count)
    other = points_in(vectors[order], uid_bytes([uids[row] for row in order]))
    tree, shuffled = grow_tree(points, (100, 20, 5), seed=3), grow_tree(other, (100, 20, 5), seed=3)
    assert partition(tree.labels, uids) == partition(shuffled.labels, [uids[row] for row in order])
    drawn = draw_balanced(tree, points.words, 333, seed=3)
    assert (drawn[order] == draw_balanced(shuffled, other.words, 333, seed=3)).all()


def test_the_same_seed_gives_the_same_tree_and_another_seed_another() -> None:
    points, _ = planted_points()
    first, again, other = (grow_tree(points, (60, 10), seed=seed) for seed in (1, 1, 2))
    assert (first.labels == again.labels).all()
    assert (first.centroids[0] == again.centroids[0]).all()
    assert (
        first.centroids[0].shape != other.centroids[0].shape
        or (first.centroids[0] != other.centroids[0]).any()
    )


def test_points_are_read_in_blocks_and_centroids_learnt_from_a_sample(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors, _ = planted_vectors()
    largest = []

    def read(places: np.ndarray) -> np.ndarray:
        largest.append(len(places))
        return vectors[places]

    words = points_in(vectors, uid_bytes(planted_uids(len(vectors)))).words
    monkeypatch.setattr(points_module, "BLOCK_ROWS", 500)
    monkeypatch.setattr(tree_module, "POINTS_PER_CLUSTER", 16)
    passes = []
    grow_tree(
        Points(words=words, dim=16, _read=read), (40, 8), progress=lambda *at: passes.append(at), resamples=2
    )
    assert max(largest) == 640
    assert passes == [(1, 3), (2, 3), (3, 3)]
    monkeypatch.setattr(tree_module, "TRAIN_BYTES", 100 * 4 * 16)
    largest.clear()
    grow_tree(Points(words=words, dim=16, _read=read), (40, 8), resamples=0)
    assert sorted(set(largest)) == [100, len(vectors) % 500, 500]


def test_counts_of_clusters_halve_from_level_to_level() -> None:
    assert cluster_counts(50_000, 2) == (894, 447)
    assert cluster_counts(9, 1) == (9,)
    with pytest.raises(InputError, match="5 points are too few for 4 levels"):
        cluster_counts(5, 4)
    with pytest.raises(InputError, match="levels is 0"):
        cluster_counts(5, 0)


@pytest.mark.parametrize(
    ("clusters", "said"),
    [
        ((), "must fall from level to level"),
        ((5, 5), "must fall from level to level"),
        ((5, 10), "must fall from level to level"),
        ((5, 0), "must fall from level to level"),
        ((31, 5), "30 points cannot form 31 clusters"),
    ],
)
def test_impossible_trees_are_refused(clusters: tuple[int, ...], said: str) -> None:
    points, _ = planted_points((20, 10))
    with pytest.raises(InputError, match=said):
        grow_tree(points, clusters)
    with pytest.raises(InputError, match="resamples is -1"):
        grow_tree(points, (5,), resamples=-1)


def test_a_vector_that_is_not_finite_is_named() -> None:
    vectors, _ = planted_vectors((20, 10))
    vectors[4, 2] = np.nan
    uids = planted_uids(30)
    with pytest.raises(InputError, match=f"pair {uids[4]} has numbers that are not finite"):
        grow_tree(points_in(vectors, uid_bytes(uids)), (4, 2))


def test_points_that_repeat_leave_clusters_out_rather_than_empty() -> None:
    vectors = np.repeat(np.eye(3, 8, dtype=np.float32), 10, axis=0)
    tree = grow_tree(points_in(vectors, uid_bytes(planted_uids(30))), (12, 6))
    assert tree.sizes[0].tolist() == [10, 10, 10]
    assert tree.sizes[1].sum() == 30
    drawn = draw_balanced(tree, points_in(vectors, uid_bytes(planted_uids(30))).words, 9)
    assert drawn.reshape(3, 10).sum(axis=1).tolist() == [3, 3, 3]


def test_uids_that_repeat_or_do_not_fit_are_refused() -> None:
    vectors, _ = planted_vectors((20, 10))
    with pytest.raises(InputError, match="1 uids stand more than once"):
        points_in(vectors, uid_bytes([*planted_uids(29), planted_uids(1)[0]]))
    with pytest.raises(InputError, match="do not go with 29 uids"):
        points_in(vectors, uid_bytes(planted_uids(29)))
