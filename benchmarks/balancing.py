"""Balance before and after drawing from a tree of clusters, and what k-means and the tree cost.

    python benchmarks/balancing.py [--data DIR] [--scale 1.0] [--only PART]

Three parts, each alone with --only:

    classes  CIFAR-10 (DIR/cifar10) with class shares falling from 100 to 1: class shares of the pool, of a
             balanced subset and of a uniform one of the same size. Once by principal components of pixels,
             once by a small network trained on other images of the classes. Means over five seeds.
    kmeans   200,000 x 128 planted points into 2,000 clusters, and these into 100: seconds and objectives
             (mean squared distance) by number of passes, beside faiss where it is installed, and a model in
             torch of the published hierarchical k-means (facebookresearch/ssl-data-curation): every point
             against every centroid in 50 passes from k-means++ with 2 + ln k candidates, sums in float64.
    tree     1,000,000 x 128 planted points with a long tail, three levels: seconds, peak memory, balance.

--scale 0.05 takes a twentieth of the points and clusters. Times are of a machine with nothing else to do; in
brackets the seconds of processors. Expect about 10 minutes on two cores, 5 of which are the published way.
"""

import argparse
import io
import json
import resource
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from thresher.curate.balance.balanced import draw_balanced, evenness
from thresher.curate.balance.lloyd import kmeans, nearest
from thresher.curate.balance.points import Points, points_in
from thresher.curate.balance.tree import cluster_counts, grow_tree
from thresher.data.uids import uid_bytes

try:
    import faiss
except ModuleNotFoundError:
    faiss = None

SIDE, COMPONENTS = 16, 48
POOL, EPOCHS, SEEDS = 500, 6, 5
PARTS = ("classes", "kmeans", "tree")


def main() -> None:
    """Measure and print; see the text of this file."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--data", type=Path, help="folder with cifar10/; without it no `classes`")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the points and clusters")
    parser.add_argument("--only", choices=PARTS, help="one part")
    arguments = parser.parse_args()
    print(f"numpy {np.__version__}, scale {arguments.scale:g}", flush=True)
    if arguments.data is not None and arguments.only in (None, "classes"):
        classes(arguments.data / "cifar10")
    if arguments.only in (None, "kmeans"):
        clusterings(arguments.scale)
    if arguments.only in (None, "tree"):
        tree(arguments.scale)


def classes(folder: Path) -> None:
    """Class shares of a long-tailed CIFAR-10 before and after."""
    images, labels = read_images(folder / "train")
    draw = np.random.default_rng(0)
    order = draw.permutation(len(labels))
    mine = np.concatenate([order[labels[order] == label][:POOL] for label in np.unique(labels)])
    others = np.setdiff1d(order, mine)
    kept = np.round(POOL * 100.0 ** (-np.arange(10) / 9)).astype(int)
    rows = np.concatenate([mine[labels[mine] == label][:most] for label, most in enumerate(kept)])
    more, more_labels = read_images(folder / "test")
    learnt = [*(images[row] for row in others), *more]
    pool, of_class = [images[row] for row in rows], labels[rows]
    print(f"classes: {len(rows)} images; the network learns from {len(learnt)} others", flush=True)
    ways = {
        "pixels": components(pool),
        "a small network": by_network(learnt, np.concatenate([labels[others], more_labels]), pool),
    }
    size = len(rows) // 5
    show_shares("pool", np.bincount(of_class))
    uniform = [of_class[draw.permutation(len(rows))[:size]] for _ in range(SEEDS)]
    show_shares("uniform draw", *(np.bincount(classes, minlength=10) for classes in uniform))
    for name, vectors in ways.items():
        for clusters in ((20,), (200, 60, 20)):
            show_shares(f"{name}, {clusters}", *drawn_classes(vectors, of_class, clusters, size))


def drawn_classes(
    vectors: np.ndarray, of_class: np.ndarray, clusters: tuple[int, ...], size: int
) -> list[np.ndarray]:
    """Draws of each class, with several seeds."""
    points, found = numbered_points(vectors), []
    for seed in range(SEEDS):
        grown = grow_tree(points, clusters, seed=seed)
        drawn = draw_balanced(grown, points.words, size, seed=seed)
        found.append(np.bincount(of_class, weights=drawn, minlength=10).astype(int))
    return found


def clusterings(scale: float) -> None:
    """Two k-means on top of each other: this package's, faiss and the published one."""
    count, first, second = round(200_000 * scale), round(2000 * scale), max(2, round(100 * scale))
    vectors, _ = planted(count, 2 * first, 128)
    print(f"kmeans: {count} x 128 into {first} and {second}")
    ways: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
        f"thresher, at most {passes} passes": by_thresher(passes) for passes in (3, 5, 10, 50)
    }
    ways["thresher, more starts"] = by_thresher(20, start_points=64)
    ways["thresher, to the end"] = by_thresher(
        50, start_points=count // first, start_rounds=first, neighbours=512, enough=0
    )
    if faiss is not None:
        ways["faiss, 25 passes"] = by_faiss
    ways["published, 50 passes"] = by_published
    found: dict[str, tuple[float, float, float]] = {}
    for name, way in ways.items():
        started, busy = time.perf_counter(), time.process_time()
        fine = way(vectors, first)
        coarse = way(fine, second)
        took, busy = time.perf_counter() - started, time.process_time() - busy
        objectives = [float(nearest(*pair)[1].mean()) for pair in ((vectors, fine), (fine, coarse))]
        found[name] = (took, busy, objectives[0])
        print(
            f"  {name:<28} {took:7.2f} s ({busy:7.2f} s), objective {objectives[0]:.5f} and "
            f"{objectives[1]:.5f}",
            flush=True,
        )
    long, longer, least = found["published, 50 passes"]
    for share, words in ((1.05, "within 5% of its objective"), (1.0, "at its objective or below")):
        enough = [at for name, at in found.items() if name.startswith("thresher") and at[2] <= share * least]
        if enough:
            took, busy, _ = min(enough, key=lambda at: at[1])
            print(f"  published / thresher, {words}: {long / took:.1f} times ({longer / busy:.1f})")
        else:
            print(f"  thresher did not end {words}")


def tree(scale: float) -> None:
    """Three levels over a long tail of planted classes."""
    count = round(1_000_000 * scale)
    vectors, labels = planted(count, max(20, round(1000 * scale)), 128)
    points = numbered_points(vectors)
    clusters = cluster_counts(count, 3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, busy = time.perf_counter(), time.process_time()
    grown = grow_tree(points, clusters)
    took, busy = time.perf_counter() - started, time.process_time() - busy
    size = count // 10
    drawn = draw_balanced(grown, points.words, size)
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    print(
        f"tree: {count} x 128 into {clusters}, 3 resamplings: {took:.1f} s ({busy:.1f} s), {more:.2f} GiB "
        "beside the points"
    )
    uniform = rng().permutation(labels)[:size]
    for name, shares in (
        ("pool", np.bincount(labels)),
        ("uniform draw", np.bincount(uniform, minlength=labels.max() + 1)),
        ("balanced draw", np.bincount(labels, weights=drawn)),
    ):
        print(
            f"  {name:<14} {int(shares.sum())} draws, evenness over {len(shares)} classes "
            f"{evenness(shares.astype(int)):.3f}, largest : smallest "
            f"{shares.max() / max(1, shares.min()):.1f}",
            flush=True,
        )


def read_images(folder: Path) -> tuple[list[bytes], np.ndarray]:
    """Bytes of every image and its class."""
    images, names = [], []
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member)
                if file is not None and member.name.endswith(".jpg"):
                    images.append(file.read())
                elif file is not None and member.name.endswith(".json"):
                    names.append(json.loads(file.read())["class"])
    return images, np.unique(names, return_inverse=True)[1]


def components(images: list[bytes]) -> np.ndarray:
    """The first principal components of the pixels, as vectors of length 1."""
    pixels = np.stack(
        [
            np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize((SIDE, SIDE)), np.float32).ravel()
            for data in images
        ]
    )
    centred = (pixels - pixels.mean(axis=0)) / 255
    _, axes = np.linalg.eigh(centred.T @ centred)
    vectors = centred @ axes[:, -COMPONENTS:]
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def by_network(learnt: list[bytes], labels: np.ndarray, images: list[bytes]) -> np.ndarray:
    """Vectors of images by a network that learnt the classes from others."""
    from small_net import embed, learn_classes, pixels_of

    started, pixels = time.perf_counter(), pixels_of(learnt)
    network = learn_classes(pixels, labels, epochs=EPOCHS)
    print(f"  learnt in {time.perf_counter() - started:.0f} s", flush=True)
    return embed(network, pixels_of(images))


def planted(count: int, num_classes: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around centres whose shares fall from 100 to 1, and the class of each."""
    draw = rng()
    shares = 100.0 ** (-np.arange(num_classes) / max(1, num_classes - 1))
    labels = draw.choice(num_classes, count, p=shares / shares.sum())
    centres = draw.standard_normal((num_classes, dim), dtype=np.float32) / dim**0.5
    vectors = draw.standard_normal((count, dim), dtype=np.float32) * (0.7 / dim**0.5) + centres[labels]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, labels


def numbered_points(vectors: np.ndarray) -> Points:
    """Points whose uids are their numbers."""
    return points_in(vectors, uid_bytes([f"{number:032x}" for number in range(len(vectors))]))


def by_thresher(passes: int, **options: float) -> Callable[[np.ndarray, int], np.ndarray]:
    """A way to centroids with so many passes at most, and other options of `kmeans`."""

    def way(points: np.ndarray, clusters: int) -> np.ndarray:
        return kmeans(points, clusters, iterations=passes, draw=rng(), **options).centroids_kD

    return way


def by_faiss(vectors: np.ndarray, clusters: int) -> np.ndarray:
    """Centroids of faiss, on all points."""
    found = faiss.Kmeans(vectors.shape[1], clusters, niter=25, max_points_per_centroid=10**6, seed=0)
    found.train(vectors)
    return found.centroids


def by_published(vectors: np.ndarray, clusters: int) -> np.ndarray:
    """Centroids as the published code computes them with what it takes when nothing is said."""
    points, random = torch.from_numpy(vectors), np.random.RandomState(0)
    squares, count = (points**2).sum(1), len(points)
    chosen = [random.randint(count)]
    near = (points - points[chosen[0]]).double().pow(2).sum(1)
    for _ in range(clusters - 1):
        at = torch.from_numpy(random.uniform(size=2 + int(np.log(clusters)))) * near.sum()
        tried = torch.searchsorted(near.cumsum(0), at).clip(max=count - 1)
        apart = squares[tried][:, None] - 2 * points[tried] @ points.T + squares
        apart = torch.minimum(apart.double(), near)
        best = int(apart.sum(1).argmin())
        near = apart[best]
        chosen.append(int(tried[best]))
    centroids = points[chosen].clone()
    for _ in range(50):
        labels = published_labels(points, squares, centroids)
        members = torch.argsort(labels, stable=True).split(
            torch.bincount(labels, minlength=clusters).tolist()
        )
        for number, rows in enumerate(members):
            if len(rows):
                centroids[number] = points[rows].double().mean(0)
    published_labels(points, squares, centroids)
    return centroids.numpy()


def published_labels(points: torch.Tensor, squares: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    """Nearest centroid of each point, in chunks of 1e8 distances."""
    rows, lengths = max(1, int(1e8 / len(centroids))), (centroids**2).sum(1)
    found = []
    for start in range(0, len(points), rows):
        part = slice(start, start + rows)
        apart = lengths[:, None] - 2 * centroids @ points[part].T + squares[part]
        found.append(torch.argmin(apart, dim=0))
    return torch.cat(found)


def rng() -> np.random.Generator:
    """The same numbers each time."""
    return np.random.default_rng(0)


def show_shares(name: str, *counts: np.ndarray) -> None:
    """A line with the balance of classes: means over draws, and the standard deviation of the evenness."""
    even, mean = [evenness(of_class) for of_class in counts], np.mean(counts, axis=0)
    print(
        f"  {name:<32} evenness {np.mean(even):.3f} +- {np.std(even):.3f}, largest : smallest "
        f"{mean.max() / max(1, mean.min()):5.1f}, {mean.round(1).tolist()}",
        flush=True,
    )


if __name__ == "__main__":
    main()
