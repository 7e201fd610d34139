"""What scores without a model cost: `score-embedded` and `combine`, at two sizes each.

Makes random embeddings (256 numbers, fp16) and random scores, and measures processor time and the largest
memory of a process of its own for each run. Costs should grow with the number of pairs.

    python benchmarks/table_scores.py [--out DIR] [--pairs 20000] [--rows 500000]

`--pairs` embeddings and twice as many are scored by clip, s-clip-loss (one batch of 8,192) and normsim (p = 2
and inf, 2,000 images); `--rows` rows and twice as many are combined from two folders in different order.
Expect two minutes of processor time and 1 GB of disk.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from thresher.data.files.atomic import write_json
from thresher.scores.combine.combine import combine
from thresher.scores.embeddings.stored import EMBED, write_vectors
from thresher.scores.of_embeddings import parse_vector_scorer, score_embeddings
from thresher.scores.spec import SCORE, score_table
from thresher.sharded.parts import Stamp, part_path, write_stamped

DIM = 256
PART_ROWS = 10_000
SCORERS = {
    "clip": "clip",
    "s-clip-loss": "s-clip-loss:batch=8192,repeats=1",
    "normsim 2": "normsim:p=2,target={target}",
    "normsim inf": "normsim:target={target}",
}
METHODS = ("rank", "product", "learned")


def main() -> None:
    """Make the data, and measure each run at both sizes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/table_scores"), help="for the data")
    parser.add_argument("--pairs", type=int, default=20_000, help="smaller number of embeddings")
    parser.add_argument("--rows", type=int, default=500_000, help="smaller number of rows to combine")
    parser.add_argument("--run", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        measured(*arguments.run)
        return
    out = arguments.out
    make_embeddings(out / "target", 2000)
    for size in (arguments.pairs, 2 * arguments.pairs):
        make_embeddings(out / f"e{size}", size)
    print("score-embedded: pairs, seconds of processor, pairs a second, largest memory")
    for name in SCORERS:
        compare(name, out, "e", (arguments.pairs, 2 * arguments.pairs))
    for size in (arguments.rows, 2 * arguments.rows):
        make_scores(out / f"s{size}", size)
    print("combine: rows, seconds of processor, rows a second, largest memory")
    for name in METHODS:
        compare(name, out, "s", (arguments.rows, 2 * arguments.rows))
    shutil.rmtree(out)


def compare(name: str, out: Path, kind: str, sizes: tuple[int, int]) -> None:
    """Run at both sizes, each in a process of its own, and print."""
    seconds = []
    for size in sizes:
        call = [sys.executable, __file__, "--run", name, str(out), str(out / f"{kind}{size}")]
        record = json.loads(subprocess.run(call, check=True, capture_output=True, text=True).stdout)
        seconds.append(record["seconds"])
        rate = size / record["seconds"]
        print(f"  {name:12s} {size:>9,} {record['seconds']:7.2f} s {rate:>11,.0f}/s {record['mb']:6.0f} MB")
    print(f"  {name:12s} twice as many take {seconds[1] / seconds[0]:.2f} times as long")


def measured(name: str, out: str, source: str) -> None:
    """One run in this process; prints its cost as JSON."""
    made = Path(out) / "made"
    shutil.rmtree(made, ignore_errors=True)
    started = time.process_time()
    if name in SCORERS:
        spec = parse_vector_scorer(SCORERS[name].format(target=Path(out) / "target"))
        score_embeddings(source, made, [spec])
    else:
        labels = Path(source) / "labels.tsv" if name == "learned" else None
        folders = [Path(source) / "one", Path(source) / "two"]
        combine(folders, made, columns=["a", "b"], method=name, labels=labels)
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "mb": peak}))
    shutil.rmtree(made)


def uids_of(draw: np.random.Generator, count: int) -> list[str]:
    """Random uids."""
    text = draw.bytes(16 * count).hex()
    return [text[32 * n : 32 * (n + 1)] for n in range(count)]


def make_embeddings(folder: Path, count: int) -> None:
    """A folder as `thresher embed` leaves it, of random vectors."""
    shutil.rmtree(folder, ignore_errors=True)
    draw = np.random.default_rng(count)
    (folder / "parts").mkdir(parents=True)
    for number, start in enumerate(range(0, count, PART_ROWS)):
        size = min(PART_ROWS, count - start)
        vectors = draw.standard_normal((size, 2, DIM), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
        uids = uids_of(draw, size)
        part = folder / "parts" / f"{number:05d}-s.parquet"
        stamp = Stamp(f"{number}.tar", "1", {"model": "random"}, "")
        write_vectors(part, vectors.astype(np.float16))
        write_stamped(part, pa.table({"uid": uids, "key": uids, "caption": uids}), stamp, EMBED)
    content = {
        "schema": "thresher.embeddings",
        "version": 1,
        "model": "random",
        "fingerprint": "random",
        "precision": "fp32",
        "dtype": "fp16",
        "dim": DIM,
        "scale": 100.0,
        "bias": 0.0,
        "flops_per_pair": 1.0,
        "counts": {"pairs": count},
    }
    write_json(folder / "embeddings.json", content)


def make_scores(folder: Path, count: int) -> None:
    """Two scores folders of the same pairs in different order, and labels of some of them."""
    shutil.rmtree(folder, ignore_errors=True)
    draw = np.random.default_rng(count)
    uids = uids_of(draw, count)
    good = draw.random(count) < 0.5
    for name, column, order in (("one", "a", np.arange(count)), ("two", "b", draw.permutation(count))):
        scores = (good + draw.standard_normal(count)).astype(np.float32)
        for number, start in enumerate(range(0, count, 10 * PART_ROWS)):
            rows = order[start : start + 10 * PART_ROWS]
            chosen = [uids[row] for row in rows]
            columns = {"uid": chosen, "key": chosen, "shard": ["s.tar"] * len(rows), "caption": chosen}
            stamp = Stamp(f"{number}.tar", "1", {column: "random"}, "")
            part = part_path(folder / name, number, f"{number}.tar")
            write_stamped(part, score_table(columns, {column: scores[rows]}), stamp, SCORE)
        scorers = [{"column": column, "name": column, "fingerprint": "random"}]
        summary = {"schema": "thresher.scores", "version": 1, "scorers": scorers, "counts": {"pairs": count}}
        write_json(folder / name / "scores.json", summary)
    lines = [f"{uids[row]}\t{int(good[row])}" for row in range(0, count, count // 10_000)]
    (folder / "labels.tsv").write_text("\n".join(["uid\tlabel", *lines]) + "\n")


if __name__ == "__main__":
    main()
