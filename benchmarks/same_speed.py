"""Is the tree as fast as a commit? For changes that move or merge code.

    python benchmarks/same_speed.py [--base COMMIT] [--pairs 10] [--threads 1] [--only NAME ...]

Runs the source of COMMIT and that of this tree in turn, each in processes of its own: importing the command
line, `score` with the tiny model, `subset` to shards, joint selection, a fit and a plan. Prints for each the
median of the ratios tree / commit over the pairs of runs, with the 95% interval of that median (order
statistics), and the median seconds. Whole processes are timed for the first three, the calls alone for the
others.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import golden_inputs

ROOT = Path(__file__).resolve().parents[1]
NUM_PAIRS = 4000
BUDGET = 40_000

LAWS = {
    **{"schema": "thresher.laws", "version": 1, "law": "utility", "metric": "zeroshot_error"},
    "shared": {"A": 1, "n0": 1000, "d": 0.1},
    "pools": [
        {"name": "0-50%", "b": -0.2, "tau": 6.0, "num_unique": NUM_PAIRS // 2},
        {"name": "50-100%", "b": -0.1, "tau": 6.0, "num_unique": NUM_PAIRS // 2},
    ],
}

SELECT = """
import time, torch
from thresher.selection import Embeddings, select, uid_keys
torch.manual_seed(0)
def made(noise):
    base = torch.randn(4096, 256)
    sides = [torch.nn.functional.normalize(base + noise * torch.randn(4096, 256), dim=1) for _ in range(2)]
    return Embeddings(image_BD=sides[0], text_BD=sides[1], scale=10.0, bias=-10.0)
learner, reference = made(1.0), made(0.5)
keys = uid_keys([f"{number:032x}" for number in range(4096)])
select(learner, reference, keys, size=1024, step=0, seed=0)
started = time.perf_counter()
for step in range(16):
    select(learner, reference, keys, size=1024, step=step, seed=0)
print(time.perf_counter() - started)
"""

FIT = """
import sys, time
import thresher as th
runs = th.read_runs(sys.argv[1])
th.fit(runs, num_draws=50)
started = time.perf_counter()
th.fit(runs, num_draws=200)
print(time.perf_counter() - started)
"""

PLAN = """
import sys, time
import thresher as th
laws = th.fit(th.read_runs(sys.argv[1]), num_draws=200)
th.plan(laws, [10**8])
started = time.perf_counter()
th.plan(laws, [10**7, 10**8, 10**9], weights="both")
print(time.perf_counter() - started)
"""


def main() -> int:
    """Time and print; see the text of this file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", default="HEAD", metavar="COMMIT", help="commit to compare with")
    parser.add_argument("--pairs", type=int, default=10, help="pairs of runs of each")
    parser.add_argument("--threads", type=int, default=1, help="threads of every library")
    parser.add_argument(
        "--only", nargs="*", default=[], metavar="NAME", help="import score subset select fit plan"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="same-speed-") as folder:
        scratch = Path(folder)
        sources = {"commit": _source_of(arguments.base, scratch / "commit"), "tree": ROOT / "src"}
        timed = _prepared(scratch, sources["commit"], arguments.threads)
        print("what       ratio (95%)             seconds: commit, tree")
        for name, run in timed.items():
            if arguments.only and name not in arguments.only:
                continue
            seconds: dict[str, list[float]] = {"commit": [], "tree": []}
            for number in range(arguments.pairs + 1):
                for side in ("commit", "tree") if number % 2 else ("tree", "commit"):
                    found = run(sources[side], f"{side}-{number}")
                    if number:  # the first pair warms the caches
                        seconds[side].append(found)
            ratios = sorted(tree / commit for commit, tree in zip(*seconds.values(), strict=True))
            low, high = _interval(ratios)
            middles = " ".join(f"{statistics.median(values):9.3f}" for values in seconds.values())
            print(
                f"{name:9} {statistics.median(ratios):6.3f} ({low:.3f} to {high:.3f})  {middles}", flush=True
            )
    return 0


def _source_of(commit: str, folder: Path) -> Path:
    folder.mkdir()
    archive = folder / "source.tar"
    git = ["git", "-C", str(ROOT), "archive", commit, "src"]
    archive.write_bytes(subprocess.run(git, capture_output=True, check=True).stdout)
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / "src"


def _prepared(scratch: Path, base: Path, threads: int) -> dict[str, Callable[[Path, str], float]]:
    """What is timed, by name: a function of the source and of a name for its output, which gives seconds."""
    pool, pools, plan = scratch / "pool", scratch / "pools", scratch / "plan.json"
    for shard in range(8):
        size = NUM_PAIRS // 8
        numbers = range(shard * size, (shard + 1) * size)
        golden_inputs.write_tar(
            pool / f"{shard:05d}.tar", [golden_inputs.plain(number) for number in numbers]
        )
    golden_inputs.write_inputs(scratch / "in")
    (scratch / "laws.json").write_text(json.dumps(LAWS))
    variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(variables, str(threads)), "HF_HUB_OFFLINE": "1"}
    environment |= {"PYTHONDONTWRITEBYTECODE": ""}

    def python(source: Path, *words: object) -> tuple[float, str]:
        started = time.perf_counter()
        command = [sys.executable, "-P", *map(str, words)]
        done = subprocess.run(
            command,
            env=environment | {"PYTHONPATH": str(source)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"{' '.join(command)}\n{done.stderr}")
        return time.perf_counter() - started, done.stdout

    def thresher(source: Path, *words: object) -> float:
        return python(source, "-m", "thresher.cli", *words)[0]

    thresher(base, "score", pool, "--out", scratch / "scores", "--scorer", "caption")
    thresher(base, "cut", scratch / "scores", "--by", "caption_score", "--edges", "0.5,1", "--out", pools)
    thresher(base, "plan", scratch / "laws.json", "--budget", BUDGET, "--out", plan)
    tiny = "clip:model=thresher-tiny-32"
    shards = ("--pools", pools, "--format", "shards", "--shards", pool)
    return {
        "import": lambda source, _: python(source, "-c", "import thresher.cli")[0],
        "score": lambda source, name: thresher(
            source, "score", pool, "--out", scratch / f"s-{name}", "--scorer", tiny, "--workers", 1
        ),
        "subset": lambda source, name: thresher(
            source, "subset", plan, "--budget", BUDGET, "--out", scratch / f"u-{name}", *shards
        ),
        "select": lambda source, _: float(python(source, "-c", SELECT)[1]),
        "fit": lambda source, _: float(python(source, "-c", FIT, scratch / "in" / "runs.jsonl")[1]),
        "plan": lambda source, _: float(python(source, "-c", PLAN, scratch / "in" / "runs.jsonl")[1]),
    }


def _interval(ratios: list[float]) -> tuple[float, float]:
    """The order statistics that hold the median with a chance of at least 95% (of sorted values)."""
    count, left_out, k = len(ratios), 0.0, 0
    while left_out + 2 * math.comb(count, k) / 2**count <= 0.05:
        left_out += 2 * math.comb(count, k) / 2**count
        k += 1
    return (ratios[max(k - 1, 0)], ratios[-max(k, 1)])


if __name__ == "__main__":
    sys.exit(main())
