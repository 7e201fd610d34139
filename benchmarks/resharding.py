"""Resharding against copying the result and against a resharder that streams through webdataset.

    python benchmarks/resharding.py [--tars 16] [--pairs 10000] [--rounds 3] [--workers 2] [--folder DIR]

Makes tars of `--pairs` pairs (noise of about 10 KB as .jpg, a .txt and a .json with a uid; 16 tars are 2 GB)
and keeps half of the uids. Then, in interleaved rounds, each in a process of its own and each with a flush
to the disk:

- ours: `write_subset` to shards, the index of the sources at hand (as `thresher cut`, `train` or an earlier
run
  leaves it); `ours from nothing` makes the index as well
- cp: `cp -r` of the shards that ours wrote, then `sync`: what the disk and the system allow - webdataset: a
model of DataComp's resharder in our own words, on webdataset's reader and writer: every tar is
  read front to back with `webdataset.WebDataset`, the uid of each sample is taken from its json and looked
  up in the sorted subset file with `numpy.searchsorted`, and what is in it goes to `webdataset.TarWriter` as
  often as it stands there, under the key uid-j, 10,000 pairs a tar. One process, as ours.

Prints MB of output a second of wall time and of processor time (user and system), median of the rounds, and
the ratios. A quiet machine is needed for the wall times. Takes about two minutes and 6 GB of disk.
"""

import argparse
import hashlib
import io
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from thresher.curate.subset.npy import write_npy
from thresher.curate.subset.write import write_subset
from thresher.data.index import build_index

PAIRS_PER_SHARD = 10_000
SUBSET = "subset.npy"


def uid_of(number: int) -> str:
    """The uid of a made-up pair."""
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()


def make_tar(path: Path, first: int, pairs: int) -> None:
    """A tar of noise with captions, in the layout of DataComp."""
    random = np.random.default_rng(first)
    noise = random.bytes(2**20)
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for number in range(first, first + pairs):
            size = int(random.integers(5_000, 15_000))
            start = int(random.integers(0, 2**20 - size))
            caption = f"a photo of the number {number}"
            fields = {"uid": uid_of(number), "caption": caption, "key": f"{number:012d}", "status": "success"}
            fields |= {"width": 256, "height": 192, "sha256": hashlib.sha256(noise[start:]).hexdigest()}
            contents = {"jpg": noise[start : start + size], "txt": caption.encode()}
            contents["json"] = json.dumps(fields).encode()
            for ext, content in contents.items():
                info = tarfile.TarInfo(f"{number:012d}.{ext}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


def make(folder: Path, tars: int, pairs: int) -> None:
    """Sources, their index, and the subset: every pair whose uid is even."""
    (folder / "in").mkdir()
    for number in range(tars):
        make_tar(folder / "in" / f"{number:08d}.tar", number * pairs, pairs)
    kept = pa.array([uid for uid in map(uid_of, range(tars * pairs)) if int(uid, 16) % 2 == 0])
    write_npy(folder / SUBSET, kept, np.ones(len(kept), dtype=np.int64))
    build_index(sources(folder), cache=folder / "index")


def sources(folder: Path) -> list[str]:
    """The tars that pairs are taken from."""
    return sorted(map(str, (folder / "in").glob("*.tar")))


def ours(folder: Path, workers: int, cache: Path | None) -> None:
    """Our resharder."""
    from thresher.curate.subset.npy import read_npy_subset

    table = read_npy_subset(folder / SUBSET)
    draws = pa.table({"uid": table["uid"], "pool": ["all"] * table.num_rows, "repeats": table["repeats"]})
    shards = sources(folder)
    write_subset(draws, folder / "out", format="shards", shards=shards, index_cache=cache, workers=workers)


def streamed(folder: Path) -> None:
    """What the module's text says of webdataset."""
    import webdataset as wds

    wanted = np.load(folder / SUBSET)
    (folder / "out").mkdir()
    shard, inside = 0, 0
    writer = wds.TarWriter(str(folder / "out" / f"{shard:08d}.tar"), encoder=False)
    for source in sources(folder):
        for sample in wds.WebDataset(source, shardshuffle=False):
            uid = json.loads(sample["json"])["uid"]
            key = np.array([(int(uid[:16], 16), int(uid[16:], 16))], wanted.dtype)[0]
            count = np.searchsorted(wanted, key, "right") - np.searchsorted(wanted, key, "left")
            members = {ext: sample[ext] for ext in ("jpg", "txt", "json")}
            for copy in range(count):
                if inside == PAIRS_PER_SHARD:
                    writer.close()
                    shard, inside = shard + 1, 0
                    writer = wds.TarWriter(str(folder / "out" / f"{shard:08d}.tar"), encoder=False)
                writer.write({"__key__": f"{uid}-{copy}", **members})
                inside += 1
    writer.close()


def step(name: str, folder: Path, workers: int) -> None:
    """One way of making the output, in this process."""
    steps: dict[str, Callable[[], None]] = {
        "ours": lambda: ours(folder, workers, folder / "index"),
        "ours from nothing": lambda: ours(folder, workers, None),
        "webdataset": lambda: streamed(folder),
    }
    steps[name]()


def timed(command: list[str]) -> tuple[float, float]:
    """Wall and processor seconds of a command and all that it started, the flush to the disk included."""
    os.sync()
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    os.sync()
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(folder: Path, rounds: int, workers: int) -> None:
    """Interleaved rounds, and a line a way."""
    rates: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for name in ("webdataset", "ours from nothing", "ours", "cp"):
            if name == "cp":
                command = ["cp", "-r", str(folder / "out"), str(folder / "copy")]
            else:
                shutil.rmtree(folder / "out", ignore_errors=True)
                command = [sys.executable, __file__, "--step", name, "--folder", str(folder)]
                command += ["--workers", str(workers)]
            wall, processor = timed(command)
            written = sum(path.stat().st_size for path in (folder / "out").glob("*.tar")) / 1e6
            rates.setdefault(name, []).append((written / wall, written / processor))
        shutil.rmtree(folder / "copy")
    median = {
        name: [statistics.median(side) for side in zip(*found, strict=True)] for name, found in rates.items()
    }
    for name, (wall, processor) in median.items():
        print(f"{name:18} {wall:7.0f} MB/s of wall time, {processor:7.0f} MB/s of processor time")
    for name in ("ours", "ours from nothing"):
        for peer in ("cp", "webdataset"):
            wall, processor = (median[name][side] / median[peer][side] for side in (0, 1))
            print(f"{name} / {peer}: {wall:.2f} by wall time, {processor:.2f} by processor time")


def main() -> None:
    """Make the sources and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tars", type=int, default=16)
    parser.add_argument("--pairs", type=int, default=10_000, help="pairs a tar")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="processes of ours; 0 is the calling one")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--step", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        step(arguments.step, arguments.folder, arguments.workers)
        return
    folder = Path(tempfile.mkdtemp(prefix="resharding-", dir=arguments.folder))
    try:
        make(folder, arguments.tars, arguments.pairs)
        size = sum(Path(path).stat().st_size for path in sources(folder)) / 1e9
        print(f"{size:.2f} GB in {arguments.tars} tars; half of the pairs are kept", flush=True)
        measure(folder, arguments.rounds, arguments.workers)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
