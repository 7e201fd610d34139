"""Balance before and after drawing from a tree of clusters, and what k-means and the tree cost.

    python benchmarks/balancing.py [--data DIR] [--scale 1.0]

Three parts, each alone with --only:

    classes  CIFAR-10 (DIR/cifar10/train) with class shares falling from 100 to 1, by principal components of
             its pixels: class shares of the pool, of a balanced subset and of a uniform one of the same size.
    kmeans   200,000 x 128 planted points into 2,000 clusters, and these into 100: seconds and objectives
             (mean squared distance), beside faiss on the same points where it is installed.
    tree     1,000,000 x 128 planted points with a long tail, three levels: seconds, peak memory, balance.

--scale 0.05 takes a twentieth of the points and clusters. Times are of a machine with nothing else to do.
Expect about 5 minutes on two cores.
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
from PIL import Image

from thresher.balance import (
    Points,
    cluster_counts,
    draw_balanced,
    evenness,
    grow_tree,
    kmeans,
    nearest,
    points_in,
)
from thresher.data.index import uid_bytes

try:
    import faiss
except ModuleNotFoundError:
    faiss = None

SIDE, COMPONENTS = 16, 48
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
        classes(arguments.data / "cifar10" / "train")
    if arguments.only in (None, "kmeans"):
        clusterings(arguments.scale)
    if arguments.only in (None, "tree"):
        tree(arguments.scale)


def classes(folder: Path) -> None:
    """Class shares of a long-tailed CIFAR-10 before and after."""
    pixels, labels = read_pixels(folder)
    counts = np.bincount(labels)
    kept = np.round(counts.max() * 100.0 ** (-np.arange(len(counts)) / (len(counts) - 1))).astype(int)
    draw = np.random.default_rng(0)
    rows = np.concatenate(
        [draw.permutation(np.flatnonzero(labels == label))[:most] for label, most in enumerate(kept)]
    )
    vectors, labels = components(pixels[rows]), labels[rows]
    points = numbered_points(vectors)
    size = len(rows) // 5
    print(f"classes: {len(rows)} images, {size} drawn, {COMPONENTS} principal components of {SIDE} x {SIDE}")
    uniform = np.bincount(labels[draw.permutation(len(rows))[:size]], minlength=len(kept))
    show_shares("pool", np.bincount(labels))
    show_shares("uniform draw", uniform)
    for clusters in ((400,), (400, 80, 16)):
        grown = grow_tree(points, clusters)
        drawn = draw_balanced(grown, points.words, size)
        show_shares(f"clusters {clusters}", np.bincount(labels, weights=drawn).astype(int))


def clusterings(scale: float) -> None:
    """Two k-means on top of each other, with sampled training as the tree has it, and faiss beside."""
    count, first, second = round(200_000 * scale), round(2000 * scale), max(2, round(100 * scale))
    vectors, _ = planted(count, 2 * first, 128)
    print(f"kmeans: {count} x 128 into {first} and {second}")
    ways: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
        "thresher, 5 passes": lambda x, k: kmeans(x, k, iterations=5, draw=rng()).centroids_kD,
        "thresher, 10 passes": lambda x, k: kmeans(x, k, iterations=10, draw=rng()).centroids_kD,
        "thresher, 50 passes": lambda x, k: kmeans(x, k, iterations=50, draw=rng()).centroids_kD,
    }
    if faiss is not None:
        ways["faiss, 25 passes"] = by_faiss
    for name, way in ways.items():
        started = time.perf_counter()
        fine = way(vectors, first)
        coarse = way(fine, second)
        took = time.perf_counter() - started
        objectives = [float(nearest(*pair)[1].mean()) for pair in ((vectors, fine), (fine, coarse))]
        print(
            f"  {name:<20} {took:7.2f} s, objective {objectives[0]:.5f} and {objectives[1]:.5f}", flush=True
        )


def tree(scale: float) -> None:
    """Three levels over a long tail of planted classes."""
    count = round(1_000_000 * scale)
    vectors, labels = planted(count, max(20, round(1000 * scale)), 128)
    points = numbered_points(vectors)
    clusters = cluster_counts(count, 3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    grown = grow_tree(points, clusters)
    took = time.perf_counter() - started
    size = count // 10
    drawn = draw_balanced(grown, points.words, size)
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    print(
        f"tree: {count} x 128 into {clusters}, 3 resamplings: {took:.1f} s, {more:.2f} GiB beside the points"
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


def read_pixels(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels in [0, 1] of every image, [n, SIDE * SIDE * 3], and its class."""
    pixels, names = [], []
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member)
                if file is None:
                    continue
                if member.name.endswith(".jpg"):
                    image = Image.open(io.BytesIO(file.read())).convert("RGB").resize((SIDE, SIDE))
                    pixels.append(np.asarray(image, dtype=np.float32).ravel() / 255)
                elif member.name.endswith(".json"):
                    names.append(json.loads(file.read())["class"])
    return np.stack(pixels), np.unique(names, return_inverse=True)[1]


def components(pixels: np.ndarray) -> np.ndarray:
    """The first principal components, as vectors of length 1."""
    centred = pixels - pixels.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    vectors = centred @ axes[:, -COMPONENTS:]
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


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


def by_faiss(vectors: np.ndarray, clusters: int) -> np.ndarray:
    """Centroids of faiss, on all points."""
    found = faiss.Kmeans(vectors.shape[1], clusters, niter=25, max_points_per_centroid=10**6, seed=0)
    found.train(vectors)
    return found.centroids


def rng() -> np.random.Generator:
    """The same numbers each time."""
    return np.random.default_rng(0)


def show_shares(name: str, counts: np.ndarray) -> None:
    """A line with the balance of classes."""
    ratio = counts.max() / max(1, counts.min())
    print(
        f"  {name:<24} evenness {evenness(counts):.3f}, largest : smallest {ratio:6.1f}, {counts.tolist()}",
        flush=True,
    )


if __name__ == "__main__":
    main()
