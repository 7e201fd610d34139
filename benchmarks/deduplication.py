"""Deduplication: precision and recall on planted repeats, and the cost of clustering embeddings.

    python benchmarks/deduplication.py images FOLDER_OF_SHARDS [--most 3000]
    python benchmarks/deduplication.py vectors [--sizes 250000,500000,1000000] [--dim 128]

`images` plants one repeat of every fourth image by each kind and says which were found, and which pairs were
dropped that were not planted (a pool has repeats of its own, which count against the precision given here).
`vectors` deduplicates synthetic unit vectors around topics with a tenth of planted repeats; time and peak
memory of the process by size.
"""

import argparse
import io
import resource
import time

import numpy as np
import numpy.typing as npt
from PIL import Image

from thresher.data.pairs import Pair
from thresher.data.shards import expand, read_pairs
from thresher.duplicates.hashes import Hashed, HashTask, hash_images
from thresher.duplicates.near import near_pairs
from thresher.duplicates.semantic import semantic_duplicates
from thresher.duplicates.star import keep_of_edges

CROP = 0.05  # of each side
TOPICS = 1000
REPEATED = 0.1
SIMILARITY = 0.95


def jpeg_of(image: Image.Image, quality: int) -> bytes:
    """An image encoded anew."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def repeat_of(data: bytes, kind: str) -> bytes:
    """The image as another pair may have it."""
    if kind == "exact":
        return data
    with Image.open(io.BytesIO(data)) as opened:
        image = opened.convert("RGB")
    width, height = image.size
    if kind == "resized":
        return jpeg_of(image.resize((width * 3 // 4, height * 3 // 4), Image.Resampling.LANCZOS), 90)
    if kind == "re-encoded":
        return jpeg_of(image, 60)
    left, top = round(width * CROP), round(height * CROP)
    return jpeg_of(image.crop((left, top, width - left, height - top)), 90)


def on_images(shards: list[str], most: int) -> None:
    """Print precision and recall for each kind of repeat."""
    names = expand(shards)
    pairs = [item for name in names for item in read_pairs(name) if isinstance(item, Pair)][:most]
    images = [pair.image_bytes or b"" for pair in pairs]
    own = hash_images(HashTask(tuple(images)))
    print(f"{len(images)} images; already near one of them: {going(own).sum()}")
    for kind in ("exact", "resized", "re-encoded", "cropped"):
        of = np.arange(0, len(images), 4)
        again = hash_images(HashTask(tuple(repeat_of(images[place], kind) for place in of)))
        edges = near_pairs(
            np.concatenate([own.bits_n, again.bits_n]),
            np.concatenate([own.thumbnail_nT, again.thumbnail_nT]),
        )
        across = (edges.first_e < len(images)) & (edges.second_e >= len(images))
        first, second = edges.first_e[across], edges.second_e[across] - len(images)
        right = first == of[second]
        recall = len(np.unique(second[right])) / len(of)
        precision = right.mean() if len(right) else float("nan")
        print(f"{kind:11s} recall {recall:.3f}  share of pairs found that are planted {precision:.3f}")


def going(hashed: Hashed) -> npt.NDArray[np.bool_]:
    """Which images go for another one of the same pool."""
    keeper, _ = keep_of_edges(len(hashed.bits_n), near_pairs(hashed.bits_n, hashed.thumbnail_nT))
    gone: npt.NDArray[np.bool_] = keeper != np.arange(len(keeper))
    return gone


def vectors_of(count: int, dim: int, seed: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Unit vectors around topics, the last tenth of them repeats, and of each which one it repeats."""
    random = np.random.default_rng(seed)
    topics = random.standard_normal((TOPICS, dim), dtype=np.float32)
    vectors = random.standard_normal((count, dim), dtype=np.float32)
    vectors += topics[random.integers(TOPICS, size=count)]
    of = np.arange(count)
    again = np.arange(round(count * (1 - REPEATED)), count)
    of[again] = random.integers(again[0], size=len(again))
    noise = 0.15 * random.standard_normal((len(again), dim), dtype=np.float32)
    vectors[again] = vectors[of[again]] + noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, of


def on_vectors(sizes: list[int], dim: int) -> None:
    """Print time, memory, precision and recall by size."""
    for count in sizes:
        vectors, of = vectors_of(count, dim, seed=0)
        started = time.perf_counter()
        keeper, _ = semantic_duplicates(vectors.__getitem__, np.arange(count), similarity=SIMILARITY)
        seconds = time.perf_counter() - started
        planted, gone = of != np.arange(count), keeper != np.arange(count)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{count:>9,} x {dim}: {seconds:.1f} s, {seconds / count * 1e6:.1f} us a vector, "
            f"peak {memory:.2f} GiB; recall {(gone & planted).sum() / planted.sum():.3f}, "
            f"precision {(gone & planted).sum() / max(gone.sum(), 1):.3f}"
        )


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("images", "vectors"))
    parser.add_argument("shards", nargs="*")
    parser.add_argument("--most", type=int, default=3000)
    parser.add_argument("--sizes", default="250000,500000,1000000")
    parser.add_argument("--dim", type=int, default=128)
    arguments = parser.parse_args()
    if arguments.what == "images":
        on_images(arguments.shards, arguments.most)
    else:
        on_vectors([int(size) for size in arguments.sizes.split(",")], arguments.dim)


if __name__ == "__main__":
    main()
