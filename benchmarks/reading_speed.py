"""How fast are pairs read at random? The index with two workers beside webdataset with two workers.

    python benchmarks/reading_speed.py [--pairs 20000] [--rounds 5] [--quick]

Writes shards of small JPEGs (64 x 64, photo-like, about 2.5 KB, with a caption each) and reads them:

- `webdataset`: its usual training pipeline, `shuffle(1000).decode("rgb8")`, batches made in the workers of
  a DataLoader;
- `index`: the pairs in a random order over all shards, by `thresher.train.images`, with captions;
- `decode`: the decoder alone on bytes that are in memory, in one process: with Pillow, and as `index` does.

All give batches of uint8 pixels in this process, the same ones (which is checked). Printed are pairs a second
on the clock and pairs a second of processor time (of this process and its workers) times two cores, which
other work on the machine disturbs less. The ways take turns; medians over the rounds. Expect about 2 minutes.
"""

import argparse
import importlib.util
import io
import itertools
import os
import statistics
import tarfile
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from thresher.data.images.decode import ImageSpec, decode
from thresher.data.images.jpeg import fast_decoder
from thresher.data.index import Index, build_index
from thresher.train.images import open_images

SIZE = 64
WORKERS = 2
BATCH = 64
AHEAD = 8
WARM_BATCHES = 16
SHARD_PAIRS = 2500
CORES = 2


def main() -> None:
    """Measure and print; see the text of this file."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--pairs", type=int, default=20_000, help="pairs written, and read in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="5000 pairs, 2 rounds")
    arguments = parser.parse_args()
    pairs, rounds = (5000, 2) if arguments.quick else (arguments.pairs, arguments.rounds)
    decoder = "simplejpeg" if fast_decoder() else "Pillow (simplejpeg is not installed)"
    print(
        f"{pairs} pairs of {SIZE} x {SIZE}, {WORKERS} workers, {rounds} rounds; index decodes with {decoder}"
    )
    with tempfile.TemporaryDirectory() as folder:
        shards = write_shards(Path(folder), pairs)
        index = build_index(shards, cache=Path(folder) / "index")
        ways: dict[str, Callable[[], tuple[float, float]]] = {
            "webdataset": lambda: webdataset_rate(shards, pairs),
            "index": lambda: index_rate(index, Path(folder) / "pixels", pairs),
            "decode, Pillow": lambda: decode_rate(index, by_pillow),
            "decode, ours": lambda: decode_rate(index, lambda data: decode(data, ImageSpec(SIZE))),
        }
        if importlib.util.find_spec("webdataset") is None:
            print("webdataset is not installed, so it is left out")
            del ways["webdataset"]
        check_pixels(index)
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _, name in itertools.product(range(rounds), ways):
            found[name].append(ways[name]())
    for name, rates in found.items():
        clock, processor = (statistics.median(column) for column in zip(*rates, strict=True))
        print(
            f"{name:16} {clock:9,.0f} pairs/s on the clock, {processor:9,.0f} pairs/s of {CORES} cores' time"
        )
    if "webdataset" in found:
        for place, name in enumerate(("clock", "processor time")):
            pairs_of_rates = zip(found["index"], found["webdataset"], strict=True)
            ratios = [ours[place] / theirs[place] for ours, theirs in pairs_of_rates]
            middle = statistics.median(ratios)
            print(f"index / webdataset, {name}: {middle:.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def write_shards(folder: Path, pairs: int) -> list[str]:
    """Tar files with `pairs` pairs of a JPEG and a caption."""
    shards = []
    for start in range(0, pairs, SHARD_PAIRS):
        path = folder / f"{len(shards):05d}.tar"
        with tarfile.open(path, "w") as tar:
            for number in range(start, min(start + SHARD_PAIRS, pairs)):
                caption = f"picture {number} of hills and clouds in the evening sun"
                for ext, data in (("jpg", photo(number)), ("txt", caption.encode())):
                    info = tarfile.TarInfo(f"{number:09d}.{ext}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
        shards.append(str(path))
    return shards


def photo(number: int, width: int = SIZE, height: int = SIZE) -> bytes:
    """A JPEG that costs as much as a photo does: large shapes, fine ones, and some noise."""
    random = np.random.default_rng(number)
    pixels = np.full((height, width, 3), 128.0)
    for cells, contrast in ((4, 50), (16, 25), (64, 12)):
        coarse = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        fine = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)
        pixels += (fine - 128) * contrast / 74
    pixels += random.normal(0, 3, pixels.shape)
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def check_pixels(index: Index) -> None:
    """Stop unless the index's pixels are Pillow's."""
    for row in range(0, len(index), max(len(index) // 200, 1)):
        data = index.image_bytes(row)
        assert np.array_equal(decode(data, ImageSpec(SIZE)), by_pillow(data)), f"pair {row} has other pixels"


def by_pillow(data: bytes) -> np.ndarray:
    """Pixels as webdataset decodes them."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def webdataset_rate(shards: list[str], pairs: int) -> tuple[float, float]:
    """Pairs a second through webdataset, on the clock and of the cores' time."""
    import webdataset
    from torch.utils.data import DataLoader

    dataset = (
        webdataset.WebDataset(shards, shardshuffle=len(shards), seed=0)
        .repeat()
        .shuffle(1000)
        .decode("rgb8")
        .to_tuple("jpg", "txt")
        .batched(BATCH)
    )
    loader = DataLoader(dataset, batch_size=None, num_workers=WORKERS)
    batches = iter(loader)
    rates = timed(batches, pairs)
    del batches
    return rates


def index_rate(index: Index, cache: Path, pairs: int) -> tuple[float, float]:
    """Pairs a second in a random order through the index, on the clock and of the cores' time."""
    rows = np.arange(len(index))
    captions = index.table.column("caption")
    order = np.random.default_rng(0)

    with open_images(index, rows, ImageSpec(SIZE), cache=cache, limit_bytes=0, workers=WORKERS) as (
        images,
        kept,
        _,
    ):

        def batches() -> Iterator[tuple[np.ndarray, list[str]]]:
            waiting: deque[tuple[np.ndarray, Callable[[], np.ndarray]]] = deque()
            while True:
                shuffled = order.permutation(len(kept))
                for start in range(0, len(shuffled) - BATCH + 1, BATCH):
                    places = shuffled[start : start + BATCH]
                    waiting.append((kept[places], images.submit(places)))
                    if len(waiting) > AHEAD:
                        chosen, pixels = waiting.popleft()
                        yield pixels(), captions.take(chosen).to_pylist()

        return timed(batches(), pairs)


def decode_rate(index: Index, decoder: Callable[[bytes], np.ndarray]) -> tuple[float, float]:
    """Images a second by one process on bytes in memory, on the clock; times the cores, of its own time."""
    images = [index.image_bytes(row) for row in range(min(len(index), 2000))]
    started, used = time.perf_counter(), time.process_time()
    for data in images:
        decoder(data)
    used = time.process_time() - used
    return len(images) / (time.perf_counter() - started), CORES * len(images) / used


def timed(batches: Iterator, pairs: int) -> tuple[float, float]:
    """Pairs a second of an endless iterator of batches, after a few that are not counted."""
    for _ in itertools.islice(batches, WARM_BATCHES):
        pass
    started, used, seen = time.perf_counter(), processor_seconds(), 0
    for pixels, captions in itertools.islice(batches, pairs // BATCH):
        assert tuple(pixels.shape[1:]) == (SIZE, SIZE, 3)
        seen += len(captions)
    seconds, used = time.perf_counter() - started, processor_seconds() - used
    return seen / seconds, CORES * seen / used


def processor_seconds() -> float:
    """Processor time of this process and of its children that are alive (Linux)."""
    ticks = 0
    parents: dict[int, list[int]] = {}
    used: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        pid = int(stat.parent.name)
        parents.setdefault(int(fields[1]), []).append(pid)
        used[pid] = int(fields[11]) + int(fields[12])
    waiting = [os.getpid()]
    while waiting:
        pid = waiting.pop()
        ticks += used.get(pid, 0)
        waiting.extend(parents.get(pid, []))
    return ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
