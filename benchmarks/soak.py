"""Does the memory of a long run stay flat? One run of `score` over many pairs, the memory sampled meanwhile.

    python benchmarks/soak.py [--pairs 200000] [--executor local|ray] [--out FOLDER]

Makes synthetic shards of 10,000 pairs (20 MB each; once, they stay in FOLDER), scores them with `caption`,
`image` and a `clip` of a tiny model, and samples the proportional set size (PSS) of this process and all
below it, the decode processes and a Ray of its own among them. Holds when the mean and the peak of the last
quarter of the pairs are within 10% of the first quarter's. About four minutes of processor time;
`--pairs 20000 --shard-pairs 1000` shows the same in half a minute.
"""

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from made_shards import make_shards
from thresher.scores.registry import parse_scorer
from thresher.scores.score import score_shards
from thresher.sharded.stage import Progress

SECONDS_BETWEEN_SAMPLES = 0.5
SCORERS = (
    "caption",
    "image:feature=entropy",
    "clip:model=thresher-tiny-32,device=cpu,batch_size=64",
)
LARGEST_CHANGE = 0.10


class Sampler:
    """The memory of this process and those below it, by how many pairs were done when it was looked at."""

    def __init__(self) -> None:
        self.samples: list[tuple[int, int]] = []
        self.pairs = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def look(self, at: Progress) -> None:
        """Take note of how far the run is."""
        self.pairs = at.pairs

    def _run(self) -> None:
        while not self._stop.wait(SECONDS_BETWEEN_SAMPLES):
            pairs = self.pairs
            if pairs and (not self.samples or self.samples[-1][0] != pairs):  # nothing new, nothing to see
                self.samples.append((pairs, memory_of_all()))


def memory_of_all() -> int:
    """Bytes: PSS of this process and all below it."""
    own = psutil.Process()
    total = 0
    for process in (own, *own.children(recursive=True)):
        try:
            total += process.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total


def main() -> None:
    """Measure and print; exit code 1 when the memory is not flat."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--pairs", type=int, default=200_000)
    parser.add_argument("--shard-pairs", type=int, default=10_000, help="pairs a shard")
    parser.add_argument("--workers", type=int, default=2, help="decoding processes")
    parser.add_argument("--executor", default="local", help="local or ray")
    parser.add_argument("--out", type=Path, help="folder for shards and scores; a temporary one without it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(soak(arguments, arguments.out or Path(temporary)))


def soak(arguments: argparse.Namespace, folder: Path) -> int:
    """Run once in `folder`; the exit code."""
    num_shards = max(-(-arguments.pairs // arguments.shard_pairs), 4)
    shards = make_shards(folder / f"shards-{arguments.pairs}", arguments.pairs, num_shards)
    specs = [parse_scorer(text) for text in SCORERS]
    before = os.times()
    with tempfile.TemporaryDirectory(dir=folder) as out, Sampler() as sampler:
        summary = score_shards(
            *(shards, out, specs),
            workers=arguments.workers,
            executor=arguments.executor,
            progress=sampler.look,
        )
    after = os.times()
    cpu = sum(after[:4]) - sum(before[:4])
    assert summary.num_pairs == summary.new_pairs == arguments.pairs, summary
    print(
        f"{arguments.executor}: {summary.num_pairs:,} pairs of {num_shards} shards, {summary.seconds:.0f} s, "
        f"{cpu:.0f} s of processor time, {len(sampler.samples)} samples of memory, "
        f"{len(summary.deaths)} processes died"
    )
    quarters = [
        [size for pairs, size in sampler.samples if low < pairs / arguments.pairs <= low + 0.25]
        for low in (0.0, 0.25, 0.5, 0.75)
    ]
    for number, sizes in enumerate(quarters, 1):
        if sizes:
            mean, peak = statistics.fmean(sizes), max(sizes)
            print(f"quarter {number}: mean {mean / 1e6:,.0f} MB, peak {peak / 1e6:,.0f} MB")
    first, last = quarters[0], quarters[3]
    if not first or not last:
        print("too few samples; give more pairs")
        return 1
    changes = (statistics.fmean(last) / statistics.fmean(first) - 1, max(last) / max(first) - 1)
    flat = all(abs(change) <= LARGEST_CHANGE for change in changes)
    print(
        f"last against first quarter: mean {100 * changes[0]:+.1f}%, peak {100 * changes[1]:+.1f}%; "
        f"{'flat' if flat else 'NOT FLAT'} ({time.strftime('%Y-%m-%d')})"
    )
    return 0 if flat else 1


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
