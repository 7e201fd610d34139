"""What is gained when one decoding feeds several scorers? One fused run against three separate ones.

    python benchmarks/fused.py [--pairs 8000] [--side 64] [--rounds 5] [--data DIR] [--quick]

Scores the same shards with `image`, `caption` and `clip` (a tiny model, random weights): once in one run of
`thresher score`, and once in three runs of one scorer each. With `--data` the shards are those of Flickr8k
(DIR/flickr8k, 64 x 64), else synthetic ones of JPEGs with `--side` pixels a side, with the json that
downloaders write. The runs take turns, and their tables are compared: the fused columns must be the separate
ones, bit for bit. Printed are the seconds on the clock (without opening the model) and the processor time (of
this process and its workers, less that of opening the model). Expect about 3 minutes.
"""

import argparse
import io
import itertools
import json
import os
import resource
import statistics
import tarfile
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from reading_speed import photo
from thresher.scores.registry import open_scorer, parse_scorer
from thresher.scores.score import score_shards

MODEL = "thresher-tiny-32"
SCORERS = ("image", "caption", f"clip:model={MODEL}")
SHARD_PAIRS = 2000


def main() -> None:
    """Measure and print; see the text of this file."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--pairs", type=int, default=8000, help="synthetic pairs")
    parser.add_argument("--side", type=int, default=64, help="pixels a side of the synthetic images")
    parser.add_argument("--data", type=Path, help="folder with flickr8k/, in place of synthetic images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2, help="decoding processes")
    parser.add_argument("--quick", action="store_true", help="2000 pairs, 2 rounds")
    arguments = parser.parse_args()
    pairs, rounds = (2000, 2) if arguments.quick else (arguments.pairs, arguments.rounds)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.data is not None:
            shards = sorted(str(path) for path in (arguments.data / "flickr8k").glob("0000[0-5].tar"))
        else:
            shards = write_shards(Path(folder), pairs, arguments.side)
        score(shards, Path(folder) / "warm", SCORERS[2:], arguments.workers)
        found: list[tuple[float, float]] = []
        for number in range(rounds):
            fused = score(shards, Path(folder) / f"fused-{number}", SCORERS, arguments.workers)
            apart = [
                score(shards, Path(folder) / f"apart-{number}-{place}", [scorer], arguments.workers)
                for place, scorer in enumerate(SCORERS)
            ]
            check_equal(fused.table, [run.table for run in apart])
            clock, processor = (
                (sum(getattr(run, name) for run in apart), getattr(fused, name))
                for name in ("seconds", "processor")
            )
            found.append((clock[0] / clock[1], processor[0] / processor[1]))
            each = ", ".join(
                f"{scorer.partition(':')[0]} {run.processor:.2f} s"
                for scorer, run in zip(SCORERS, apart, strict=True)
            )
            print(
                f"round {number}, {fused.table.num_rows} pairs: clock {clock[0]:.2f} s apart, "
                f"{clock[1]:.2f} s fused; processor {processor[0]:.2f} s apart ({each}), "
                f"{processor[1]:.2f} s fused",
                flush=True,
            )
    for name, ratios in zip(("clock", "processor time"), zip(*found, strict=True), strict=True):
        middle = statistics.median(ratios)
        print(f"{name}: separate / fused {middle:.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


class Run:
    """One run: seconds on the clock, processor seconds, and its columns."""

    def __init__(self, seconds: float, processor: float, table: pa.Table) -> None:
        self.seconds = seconds
        self.processor = processor
        self.table = table


def score(shards: list[str], out: Path, scorers: list[str] | tuple[str, ...], workers: int) -> Run:
    """Score the shards; what opening the scorers costs is measured beside and taken off."""
    specs = [parse_scorer(text) for text in scorers]
    used = time.process_time()
    for spec in specs:
        open_scorer(spec)
    opening = time.process_time() - used
    used = processor_seconds()
    summary = score_shards(shards, out, specs, workers=workers)
    used = processor_seconds() - used - opening
    parts = sorted(path for path in (out / "parts").glob("*.parquet") if "quarantine" not in path.name)
    return Run(summary.seconds, used, pa.concat_tables([pq.read_table(part) for part in parts]))


def processor_seconds() -> float:
    """Processor time of this process and of its children that have ended."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def check_equal(fused: pa.Table, apart: list[pa.Table]) -> None:
    """Stop unless every column of the separate runs stands in the fused one."""
    for table, name in itertools.product(apart, fused.column_names):
        if name in table.column_names:
            assert table.column(name).equals(fused.column(name)), f"the column {name} differs"


def write_shards(folder: Path, pairs: int, side: int) -> list[str]:
    """Tar files of pairs as img2dataset writes them: image, caption, json."""
    shards = []
    for start in range(0, pairs, SHARD_PAIRS):
        path = folder / f"{len(shards):05d}.tar"
        with tarfile.open(path, "w") as tar:
            for number in range(start, min(start + SHARD_PAIRS, pairs)):
                caption = f"picture {number} of hills and clouds in the evening sun"
                meta = {
                    "uid": f"{number:032x}",
                    "url": f"http://example.com/{number}.jpg",
                    "caption": caption,
                    "status": "success",
                    "width": side,
                    "height": side,
                    "original_width": 2 * side,
                    "original_height": 2 * side,
                }
                members = {
                    "jpg": photo(number, side, side),
                    "txt": caption.encode(),
                    "json": json.dumps(meta).encode(),
                }
                for ext, data in members.items():
                    info = tarfile.TarInfo(f"{number:09d}.{ext}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
        shards.append(str(path))
    return shards


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
