"""What does `kill -9` change? Score and reshard, killed at random moments, against a run that was left alone.

    python benchmarks/faults.py [--driver-kills 20] [--worker-kills 10] [--pairs 4000]

Makes synthetic shards, scores them and writes some of the pairs, some of those repeated, into new shards: the
reference. Then, again and again into a fresh folder: starts one of the two, kills the whole process at a
random moment of its work, runs the same to its end, and compares every byte. The same with workers of a Ray
that belongs to the run, where the run must survive. At last the uids of all tables and tars are counted: none
may be lost or doubled. About ten minutes on two free cores; exit code 1 when anything differs.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from made_shards import make_shards, uid_of
from thresher.curate.subset.write import write_subset
from thresher.data.patterns import expand

SCORERS = ("caption", "image:feature=entropy", "clip:model=thresher-tiny-32,device=cpu")
THRESHER = ("-m", "thresher.cli")
ON_RAY = ("--executor", "ray", "--workers", "1")
WORKERS_OF_RAY = "ray::_Remote"
MOST_SECONDS = 600.0
MOST_TRIALS = 5


@dataclass(frozen=True)
class Stage:
    """A command without its output folder, and how long its work takes once that folder is there."""

    name: str
    words: tuple[str, ...]
    reference: Path
    seconds: float


@dataclass(frozen=True)
class Trial:
    """What came of one kill."""

    stage: str
    killed: str
    hit: bool
    same: bool


def main() -> None:
    """Kill, compare, print; see the text of this file."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--driver-kills", type=int, default=20)
    parser.add_argument("--worker-kills", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=4000)
    parser.add_argument("--shards", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder for everything; a temporary one without it")
    parser.add_argument("--reshard", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--executor", default="local", help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.reshard:
        reshard(arguments)
        return
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(run(arguments, arguments.out or Path(temporary)))


def run(arguments: argparse.Namespace, folder: Path) -> int:
    """All trials; the exit code."""
    rng = random.Random(arguments.seed)
    shards = make_shards(folder / "shards", arguments.pairs, arguments.shards)
    stages = references(folder, shards, arguments.pairs)
    for stage in stages:
        print(f"{stage.name}: {stage.seconds:.1f} s of work when it is left alone", flush=True)
    out = folder / "trial"
    trials = []
    for number in range(arguments.driver_kills):
        stage = stages[number % 2]
        trials += until_hit(number, lambda s=stage: kill_driver(s, out, rng.random() * s.seconds))
    seconds = []
    for stage in stages if arguments.worker_kills else ():
        alone, took = left_alone_on_ray(stage, out)
        print(f"{stage.name} on Ray: {took:.1f} s of work when it is left alone", flush=True)
        trials.append(alone)
        seconds.append(took)
    for number in range(arguments.worker_kills):
        stage, most = stages[number % 2], seconds[number % 2]
        trials += until_hit(number, lambda s=stage, m=most: kill_worker(s, out, rng.random() * m, rng))
    counted = count(stages, arguments.pairs)
    return summary(trials, counted)


def until_hit(number: int, trial: Callable[[], Trial]) -> list[Trial]:
    """Trials until one of them was early enough to kill something, a few at most; each is told."""
    trials: list[Trial] = []
    while len(trials) < MOST_TRIALS and not (trials and trials[-1].hit):
        trials.append(trial())
        hit = "killed" if trials[-1].hit else "had ended"
        outcome = "same bytes" if trials[-1].same else "DIFFERENT"
        print(f"{number + 1:3d} {trials[-1].stage}: {trials[-1].killed}: {hit}, {outcome}", flush=True)
    return trials


def references(folder: Path, shards: list[str], pairs: int) -> tuple[Stage, Stage]:
    """The two stages with what they make when nobody kills them."""
    scored, subset = folder / "reference-scores", folder / "reference-subset"
    score = [*THRESHER, "score", *shards, *(word for text in SCORERS for word in ("--scorer", text))]
    reshard = [__file__, "--reshard", str(Path(shards[0]).parent), "--pairs", str(pairs)]
    return (
        Stage("score", tuple(score), scored, call_alone(score, scored)),
        Stage("reshard", tuple(reshard), subset, call_alone(reshard, subset)),
    )


def draws(pairs: int) -> dict[str, int]:
    """How often each uid is drawn: a fifth of them never, the others once, twice or three times."""
    return {uid_of(number): 1 + number % 3 for number in range(pairs) if number % 5}


def reshard(arguments: argparse.Namespace) -> None:
    """What one of the two processes does."""
    repeats = draws(arguments.pairs)
    table = pa.table(
        {
            "uid": list(repeats),
            "pool": ["all"] * len(repeats),
            "repeats": pa.array(list(repeats.values()), pa.int32()),
        }
    )
    write_subset(
        table,
        arguments.out,
        format="shards",
        shards=expand([str(arguments.reshard)]),
        pairs_per_shard=200,
        executor=arguments.executor,
        workers=arguments.workers or None if arguments.executor == "ray" else 0,
    )


def call(words: Sequence[object], out: Path) -> None:
    """Run a command to its end; an error shows what it said."""
    done = subprocess.run(command(words, out), env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words[0]} ended with {done.returncode}: {done.stderr}"


def call_alone(words: Sequence[object], out: Path) -> float:
    """Run a command to its end; seconds from the moment when its folder is there."""
    with start(words, out) as process:
        started = wait_for_work(process, out)
        assert process.wait(MOST_SECONDS) == 0, f"{words[0]} failed"
        return time.monotonic() - started


def start(words: Sequence[object], out: Path) -> "subprocess.Popen[bytes]":
    """The command, writing into `out`, under way."""
    return subprocess.Popen(
        command(words, out),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def command(words: Sequence[object], out: Path) -> list[str]:
    """The command line of a stage."""
    return [sys.executable, *map(str, words), "--out", str(out)]


def environment() -> dict[str, str]:
    """Where the command finds what this process finds."""
    paths = os.pathsep.join(path for path in sys.path if path)
    return {**os.environ, "PYTHONPATH": paths, "HF_HUB_OFFLINE": "1", "RAY_worker_niceness": "0"}


def wait_for_work(process: "subprocess.Popen[bytes]", out: Path) -> float:
    """When the command had made its folder."""
    while not (out / ".lock").exists():
        assert process.poll() is None, "the command ended before it began"
        time.sleep(0.01)
    return time.monotonic()


def kill_driver(stage: Stage, out: Path, after: float) -> Trial:
    """Kill the command `after` seconds into its work, run it again, compare."""
    clear(out)
    with start(stage.words, out) as process:
        wait_for_work(process, out)
        try:
            process.wait(after)
            hit = False
        except subprocess.TimeoutExpired:
            process.kill()
            hit = True
    call(stage.words, out)
    return Trial(stage.name, f"driver after {after:.2f} s", hit, contents(out) == contents(stage.reference))


def left_alone_on_ray(stage: Stage, out: Path) -> tuple[Trial, float]:
    """The command on a Ray of its own, and how long its workers are there."""
    clear(out)
    with start([*stage.words, *ON_RAY], out) as process:
        wait_for_workers(process)
        started = time.monotonic()
        code = process.wait(MOST_SECONDS)
        seconds = time.monotonic() - started
    same = code == 0 and contents(out) == contents(stage.reference)
    return Trial(f"{stage.name} on Ray", "nothing", False, same), seconds


def kill_worker(stage: Stage, out: Path, after: float, rng: random.Random) -> Trial:
    """Kill one worker of the command's own Ray `after` seconds into its work; the command goes on."""
    clear(out)
    hit = False
    with start([*stage.words, *ON_RAY], out) as process:
        wait_for_workers(process)
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            found = workers_of(process)
            if found:
                rng.choice(found).kill()
                hit = True
        code = process.wait(MOST_SECONDS)
    same = code == 0 and contents(out) == contents(stage.reference)
    return Trial(f"{stage.name} on Ray", f"worker after {after:.2f} s", hit, same)


def wait_for_workers(process: "subprocess.Popen[bytes]") -> None:
    """Return once the command's own Ray has workers, or the command has ended."""
    while process.poll() is None and not workers_of(process):
        time.sleep(0.05)


def workers_of(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    """The workers of a command's own Ray."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            words = child.cmdline()
        except psutil.Error:
            continue
        if words and words[0].startswith(WORKERS_OF_RAY):
            found.append(child)
    return found


def clear(folder: Path) -> None:
    """Take a folder away."""
    if folder.exists():
        subprocess.run(["rm", "-r", str(folder)], check=True)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file by its relative name, but for logs and hidden files."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(".log.jsonl") and not path.name.startswith(".")
    }


def count(stages: tuple[Stage, Stage], pairs: int) -> bool:
    """Whether every pair stands in the tables once, and in the tars as often as `sample_ids.npy` says."""
    parts = (stages[0].reference / "parts").glob("*.parquet")
    scored = Counter(uid for part in parts for uid in pq.read_table(part).column("uid").to_pylist())
    every = Counter(uid_of(number) for number in range(pairs))
    listed = np.load(stages[1].reference / "sample_ids.npy").tolist()
    due = Counter(draws(pairs))
    assert due == Counter(f"{high:016x}{low:016x}" for high, low in listed), "sample_ids.npy is wrong"
    keys = []
    for path in sorted(stages[1].reference.glob("*.tar")):
        with tarfile.open(path) as tar:
            keys += [name.removesuffix(".jpg") for name in tar.getnames() if name.endswith(".jpg")]
    drawn = Counter(key.rpartition("-")[0] for key in keys)
    sizes = json.loads((stages[1].reference / "sizes.json").read_bytes())
    print(
        f"score: {scored.total():,} rows, {len(scored):,} different, of {pairs:,} pairs; reshard: "
        f"{len(keys):,} pairs in {len(sizes)} tars, {len(set(keys)):,} different keys, {len(drawn):,} "
        f"different uids, {due.total():,} of {len(due):,} were due"
    )
    return scored == every and drawn == due and len(set(keys)) == len(keys) == sum(sizes.values())


def summary(trials: Sequence[Trial], counted: bool) -> int:
    """Print the counts; the exit code."""
    for kind in ("driver", "nothing", "worker"):
        chosen = [trial for trial in trials if trial.killed.startswith(kind)]
        hit, same = sum(trial.hit for trial in chosen), sum(trial.same for trial in chosen)
        if not chosen:
            continue
        print(f"{kind} killed: {len(chosen)} trials, {hit} of them in the middle, {same} with the same bytes")
    print("no pair lost or doubled" if counted else "PAIRS LOST OR DOUBLED")
    return 0 if counted and all(trial.same for trial in trials) else 1


if __name__ == "__main__":
    main()
