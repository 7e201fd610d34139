import itertools

import numpy as np
import pytest

from tests.curate.balance.planted import planted_vectors
from thresher.curate.balance.lloyd import _means, _nearest_around, kmeans, nearest
from thresher.errors import InputError


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_nearest_agrees_with_all_distances_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thresher.curate.balance.lloyd.SCORES_IN_MEMORY", 700)  # several blocks and a rest
    points = rng().standard_normal((150, 8), dtype=np.float32)
    centroids = rng(1).standard_normal((7, 8), dtype=np.float32)
    slow = ((points[:, None].astype(float) - centroids) ** 2).sum(axis=2)
    labels, distance = nearest(points, centroids)
    assert (labels == slow.argmin(axis=1)).all()
    assert distance == pytest.approx(slow.min(axis=1), abs=1e-4)


def test_planted_clusters_of_very_unequal_size_are_found() -> None:
    vectors, classes = planted_vectors((900, 300, 90, 9), spread=0.01)
    found = kmeans(vectors, 4, iterations=20, draw=rng())
    labels, distance = nearest(vectors, found.centroids_kD)
    assert len(set(zip(classes.tolist(), labels.tolist(), strict=True))) == 4
    assert found.objective == pytest.approx(distance.mean(), rel=1e-3)


def test_the_objective_never_rises_with_more_passes() -> None:
    points = rng().standard_normal((800, 6), dtype=np.float32)
    reached = [kmeans(points, 30, iterations=number, draw=rng(3)).objective for number in range(1, 8)]
    assert all(later <= earlier * (1 + 1e-6) for earlier, later in itertools.pairwise(reached))
    assert reached[-1] < 0.9 * reached[0]


def test_no_start_is_drawn_twice_and_rounds_of_many_reach_nearly_what_single_draws_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    points, _ = planted_vectors((20,) * 60, dim=8, spread=0.02)
    assert len(np.unique(kmeans(points, 300, iterations=1, draw=rng()).centroids_kD, axis=0)) == 300
    single = kmeans(points, 60, iterations=20, draw=rng()).objective
    monkeypatch.setattr("thresher.curate.balance.lloyd.START_ROUNDS", 30)
    assert kmeans(points, 60, iterations=20, draw=rng()).objective < 2.5 * single


def test_comparing_with_centroids_around_reaches_what_comparing_with_all_does() -> None:
    points, _ = planted_vectors((30,) * 100, dim=24, spread=0.2)
    around = kmeans(points, 150, iterations=30, draw=rng()).objective
    among_all = kmeans(points, 150, iterations=30, draw=rng(), neighbours=1000).objective
    assert around == pytest.approx(among_all, rel=0.01)


def test_more_rounds_more_neighbours_and_more_passes_fit_better() -> None:
    points, _ = planted_vectors((20,) * 300, dim=24, spread=0.2)
    quick = kmeans(points, 150, iterations=30, draw=rng(), start_rounds=8, neighbours=8)
    slow = kmeans(points, 150, iterations=30, draw=rng(), start_rounds=150, neighbours=64, enough=0)
    assert slow.objective < quick.objective
    assert slow.iterations >= quick.iterations


def test_centroids_around_agree_with_all_where_no_point_moves_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thresher.curate.balance.lloyd.SCORES_IN_MEMORY", 700)  # several blocks and a rest
    points, _ = planted_vectors((40,) * 80, dim=8, spread=0.02)
    centroids = kmeans(points, 80, iterations=2, draw=rng()).centroids_kD
    labels, _ = nearest(points, centroids)
    moved = (centroids + 0.005 * rng().standard_normal(centroids.shape)).astype(np.float32)
    found, near = _nearest_around(points, moved, labels, 32)
    expected, least = nearest(points, moved)
    assert (found == expected).mean() > 0.999
    assert (near >= least - 1e-6).all()


def test_as_many_clusters_as_points_leave_no_distance() -> None:
    points = rng().standard_normal((20, 4), dtype=np.float32)
    assert kmeans(points, 20, iterations=5, draw=rng()).objective == pytest.approx(0, abs=1e-5)


def test_points_that_are_all_equal_do_not_hang() -> None:
    points = np.ones((10, 3), dtype=np.float32)
    assert (kmeans(points, 4, iterations=5, draw=rng()).centroids_kD == 1).all()


def test_a_cluster_that_lost_its_points_moves_to_a_far_point() -> None:
    points = np.array([[0.0], [1.0], [9.0]], dtype=np.float32)
    centroids = np.array([[1.0], [100.0]], dtype=np.float32)
    labels, distance = nearest(points, centroids)
    assert _means(points, labels, distance, centroids).ravel().tolist() == pytest.approx([10 / 3, 9.0])


@pytest.mark.parametrize(("clusters", "said"), [(0, "at least 1"), (11, "10 points cannot form 11 clusters")])
def test_impossible_numbers_of_clusters_are_refused(clusters: int, said: str) -> None:
    with pytest.raises(InputError, match=said):
        kmeans(np.ones((10, 3), dtype=np.float32), clusters, iterations=1, draw=rng())
