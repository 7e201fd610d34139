"""Deduplication: precision and recall on planted repeats, and the cost of comparing embeddings.

    python benchmarks/deduplication.py images SHARDS [--learn SHARDS] [--most 4000]
    python benchmarks/deduplication.py vectors [--sizes 250000,500000,1000000] [--dim 128]

`images` copies the pool, repeats every eighth image once by each kind (exact, resized, re-encoded, cropped at
5 percent of each side) and deduplicates all of it. Recall: planted repeats that end in one group with their
source. Precision: drops whose group is that of what stays for them; a drop among the images of the pool
itself counts as wrong unless the bytes are equal. With --learn a small network is trained on crops of these
other images (about a minute), and the same pool is deduplicated with its embeddings as well.

`vectors` deduplicates synthetic unit vectors around 1,000 topics, a tenth of them planted repeats of a cosine
from the threshold to 1: seconds, processor seconds, peak memory, precision and recall by size, each size in a
process of its own. Expect half a minute for a million vectors on two cores.
"""

import argparse
import io
import json
import multiprocessing
import resource
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from thresher.curate.duplicates.dedup import deduplicate
from thresher.curate.duplicates.semantic import semantic_duplicates
from thresher.data.pairs import Pair
from thresher.data.patterns import expand
from thresher.data.shards import read_pairs
from thresher.scores.embeddings.stored import EMBED, write_vectors
from thresher.sharded.parts import Stamp, write_stamped

KINDS = ("exact", "resized", "re-encoded", "cropped")
EVERY = 8
CROP = 0.05  # of each side
LEARNT, EPOCHS = 3000, 6
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


def images_of(shards: list[str], most: int) -> list[bytes]:
    """The images of shards."""
    pairs = (item for name in expand(shards) for item in read_pairs(name) if isinstance(item, Pair))
    return [pair.image_bytes or b"" for pair, _ in zip(pairs, range(most), strict=False)]


def planted(images: list[bytes]) -> tuple[list[bytes], list[str], list[int]]:
    """All images, of each the kind (`pool` for those there were) and the number of the one it shows."""
    digests: dict[bytes, int] = {}
    of = [digests.setdefault(data, number) for number, data in enumerate(images)]
    kinds = ["pool"] * len(images)
    every = list(images)
    for kind in KINDS:
        for number in range(0, len(images), EVERY):
            every.append(repeat_of(images[number], kind))
            kinds.append(kind)
            of.append(of[number])
    return every, kinds, of


def write_pool(path: Path, images: list[bytes]) -> str:
    """A shard in which image n has the uid n."""
    with tarfile.open(path, "w") as tar:
        for number, data in enumerate(images):
            content = json.dumps({"uid": f"{number:032x}"}).encode()
            for name, body in (("jpg", data), ("txt", b"an image"), ("json", content)):
                member = tarfile.TarInfo(f"{number:09d}.{name}")
                member.size = len(body)
                tar.addfile(member, io.BytesIO(body))
    return str(path)


def on_images(shards: list[str], learn: list[str], most: int) -> None:
    """Print precision and recall for each kind of repeat, by hashes and with embeddings."""
    images, kinds, of = planted(images_of(shards, most))
    print(f"{kinds.count('pool')} images and {len(images) - kinds.count('pool')} planted repeats")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        shard = write_pool(folder / "00000.tar", images)
        started = time.perf_counter()
        deduplicate([shard], folder / "out")
        print(f"hashed and compared in {time.perf_counter() - started:.1f} s")
        show("hashes", folder / "out", kinds, of)
        if learn:
            embedded = embeddings_of(folder / "embeddings", images, images_of(learn, LEARNT))
            for similarity in (0.9, SIMILARITY, 0.98):
                deduplicate([shard], folder / "out", embeddings=embedded, similarity=similarity)
                show(f"and embeddings, cosine {similarity}", folder / "out", kinds, of)


def show(name: str, out: Path, kinds: list[str], of: list[int]) -> None:
    """Print how the drops of a run agree with what was planted."""
    rows = pq.read_table(out / "dropped.parquet").to_pylist()
    kept = list(range(len(of)))
    for row in rows:
        kept[int(row["uid"], 16)] = int(row["kept_uid"], 16)
    print(f"{name}: {len(rows)} go")
    for kind in KINDS:
        again = [number for number, at in enumerate(kinds) if at == kind]
        print(f"  {kind:11s} recall {np.mean([kept[number] == kept[of[number]] for number in again]):.3f}")
    for method in ("exact", "perceptual", "semantic", None):
        chosen = [int(row["uid"], 16) for row in rows if method in (row["method"], None)]
        right = [of[number] == of[kept[number]] for number in chosen]
        own = sum(of[number] != of[kept[number]] and kinds[number] == "pool" for number in chosen)
        if chosen:
            print(
                f"  {method or 'all':11s} precision {np.mean(right):.3f} of {len(chosen)}; without the "
                f"{own} pool images that go for another one {sum(right) / max(1, len(chosen) - own):.3f}",
                flush=True,
            )


def embeddings_of(folder: Path, images: list[bytes], others: list[bytes]) -> Path:
    """A folder as `thresher embed` leaves it, of a small network that was trained on other images."""
    import torch

    from small_net import DIM, embed, learn_crops, pixels_of

    started = time.perf_counter()
    network = learn_crops(pixels_of(others), epochs=EPOCHS)
    took = time.perf_counter() - started
    print(f"learnt from {len(others)} other images in {took:.0f} s, torch {torch.__version__}")
    vectors = np.repeat(embed(network, pixels_of(images))[:, None], 2, axis=1)
    (folder / "parts").mkdir(parents=True)
    stamp = Stamp(shard="00000.tar", state="1", scorers={"model": "small"}, exclude="")
    uids = [f"{number:032x}" for number in range(len(images))]
    part = folder / "parts" / "00000-s.parquet"
    write_vectors(part, vectors.astype(np.float16))
    write_stamped(part, pa.table({"uid": uids}), stamp, EMBED)
    content = {
        **{"schema": "thresher.embeddings", "version": 1, "model": "small", "fingerprint": "small"},
        **{"precision": "fp32", "dtype": "fp16", "dim": DIM, "scale": 1.0, "bias": 0.0},
        **{"flops_per_pair": 1.0, "counts": {"pairs": len(uids)}},
    }
    (folder / "embeddings.json").write_text(json.dumps(content))
    return folder


def vectors_of(count: int, dim: int, seed: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Unit vectors around topics, the last tenth of them repeats, and of each which one it repeats."""
    random = np.random.default_rng(seed)
    topics = random.standard_normal((TOPICS, dim), dtype=np.float32)
    vectors = random.standard_normal((count, dim), dtype=np.float32)
    vectors += topics[random.integers(TOPICS, size=count)]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    of = np.arange(count)
    again = np.arange(round(count * (1 - REPEATED)), count)
    of[again] = random.integers(again[0], size=len(again))
    for rows in np.array_split(again, 16):
        source = vectors[of[rows]]
        aside = random.standard_normal((len(rows), dim), dtype=np.float32)
        aside -= (aside * source).sum(axis=1, keepdims=True) * source
        aside /= np.linalg.norm(aside, axis=1, keepdims=True)
        cosine = random.uniform(SIMILARITY + 1e-4, 1, size=(len(rows), 1)).astype(np.float32)
        vectors[rows] = cosine * source + np.sqrt(1 - cosine**2) * aside
    return vectors, of


def on_vectors(count: int, dim: int) -> None:
    """Print time, memory, precision and recall of one size."""
    vectors, of = vectors_of(count, dim, seed=0)
    started, busy = time.perf_counter(), time.process_time()
    keeper, _ = semantic_duplicates(vectors.__getitem__, np.arange(count), similarity=SIMILARITY)
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    repeats, gone = of != np.arange(count), keeper != np.arange(count)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{count:>9,} x {dim}: {seconds:.1f} s ({busy:.1f} s of processors), {busy / count * 1e6:.1f} us of "
        f"processors a vector, peak {memory:.2f} GiB; recall {(gone & repeats).sum() / repeats.sum():.4f}, "
        f"precision {(keeper[gone] == of[gone]).sum() / max(gone.sum(), 1):.4f}",
        flush=True,
    )


def sizes_of(text: str) -> Iterator[int]:
    """Numbers in a list with commas."""
    return (int(size) for size in text.split(","))


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("images", "vectors"))
    parser.add_argument("shards", nargs="*")
    parser.add_argument("--learn", nargs="+", default=[], metavar="SHARDS", help="other images, for crops")
    parser.add_argument("--most", type=int, default=4000)
    parser.add_argument("--sizes", default="250000,500000,1000000")
    parser.add_argument("--dim", type=int, default=128)
    arguments = parser.parse_args()
    if arguments.what == "images":
        on_images(arguments.shards, arguments.learn, arguments.most)
        return
    for size in sizes_of(arguments.sizes):
        process = multiprocessing.get_context("spawn").Process(target=on_vectors, args=(size, arguments.dim))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
