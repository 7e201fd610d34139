"""How cutting and subsetting grow with the rows of a score table: time and peak memory at several sizes.

    python benchmarks/rows.py [--rows 1M,10M] [--per-part 10000] [--folder DIR]

Makes a score table of made-up pairs in parts of `--per-part` rows (a part a shard, as `thresher score` writes
them), then runs two steps, each in a process of its own: `cut` into five pools by quantile, and `subset` of a
plan as .npy (two pools, one of them drawn 2.5 times a pass, so that broken repeats have to be dealt out).
Prints wall time, processor time and peak resident memory (VmHWM) of the steps at each size, and what a
billion rows would take by the last two. Reads the .npy once more and checks its order and its length.

1M and 10M rows take about two minutes on two cores and 1 GB of disk, 100M rows fifteen minutes and 7 GB. The
folder (a temporary one without `--folder`) is emptied after each size.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from thresher.budget import format_count, parse_count
from thresher.data.files.atomic import write_json
from thresher.data.uids import uid_texts
from thresher.planning.plans.plan import Plan, save_plan
from thresher.planning.plans.result import BudgetPlan, Candidate

EDGES = (0.2, 0.4, 0.6, 0.8, 1.0)
WEIGHTS = {"0-20%": 2.5 / 3.5, "20-40%": 1 / 3.5}
BILLION = 10**9
WORDS = ("a", "photo", "of", "the", "red", "old", "house", "near", "small", "river", "with", "two", "birds")


def make_scores(folder: Path, rows: int, per_part: int) -> None:
    """A finished scores folder of made-up rows; uids, scores and captions follow from the row alone."""
    random = np.random.default_rng(0)
    captions = pa.array([" ".join(random.choice(WORDS, size=9)) for _ in range(5000)])
    (folder / "parts").mkdir(parents=True)
    for number, start in enumerate(range(0, rows, per_part)):
        count = min(per_part, rows - start)
        words = random.integers(0, 2**64, (count, 2), dtype=np.uint64)
        keys = pc.utf8_lpad(pa.array(np.arange(start, start + count)).cast(pa.string()), 12, "0")
        columns = {
            "uid": uid_texts(words),
            "key": keys,
            "shard": pa.array([f"shards/{number:08d}.tar"] * count),
            "caption": captions.take(pa.array(random.integers(len(captions), size=count))),
            "clip": random.standard_normal(count, dtype=np.float32),
        }
        table = pa.table(columns).replace_schema_metadata({"thresher.scores.part": f"made up {number}"})
        pq.write_table(table, folder / "parts" / f"{number:05d}-{number:08d}.parquet", compression="zstd")
    scorers = [{"column": "clip", "name": "clip"}]
    summary = {"schema": "thresher.scores", "version": 1, "scorers": scorers, "counts": {"pairs": rows}}
    write_json(folder / "scores.json", summary)


def make_plan(path: Path, rows: int) -> None:
    """A plan whose best candidate is `WEIGHTS`."""
    best = Candidate(
        name=" + ".join(WEIGHTS),
        pools=tuple(WEIGHTS),
        weights=WEIGHTS,
        predicted_error=0.4,
        low=0.3,
        high=0.5,
        chance_best=0.9,
        expected_regret=0.0,
        repeats=dict.fromkeys(WEIGHTS, 2.0),
        num_unique=rows * 2 // 5,
    )
    budget = BudgetPlan(samples_seen=10 * rows, best=best.name, candidates=(best,), decision="take it")
    sizes = {f"{round(100 * edge) - 20}-{round(100 * edge)}%": rows // 5 for edge in EDGES}
    plan = Plan(law="utility", metric="error", budgets=(budget,), crossovers=(), pools=sizes, status=())
    save_plan(path, plan)


def step(name: str, folder: Path) -> dict[str, float]:
    """Run one step here; what it took."""
    from thresher.curate.pools.cut import cut
    from thresher.curate.subset.from_plan import subset_from_plan

    started = time.perf_counter()
    if name == "cut":
        cut(folder / "scores", by="clip", edges=EDGES, out=folder / "pools")
    else:
        budget = json.loads((folder / "plan.json").read_text())["budgets"][0]["samples_seen"]
        subset_from_plan(folder / "plan.json", budget, pools=folder / "pools", out=folder / "subset")
    wall = time.perf_counter() - started
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    return {"wall": wall, "processor": time.process_time(), "peak": int(peak.split()[1]) / 1024}


def check(folder: Path, rows: int) -> None:
    """Look at the subset with numpy alone."""
    array = np.load(folder / "subset" / "subset.npy", mmap_mode="r")
    most = 10**7
    for start in range(0, len(array), most):
        piece = np.array(array[start : start + most + 1])
        rising = (piece["f0"][1:] > piece["f0"][:-1]) | (
            (piece["f0"][1:] == piece["f0"][:-1]) & (piece["f1"][1:] >= piece["f1"][:-1])
        )
        assert rising.all(), "the subset is not sorted"
    assert len(array) == round(2.5 * rows / 5) + rows // 5, f"{len(array)} draws"


def measure(folder: Path, rows: int, per_part: int) -> dict[str, dict[str, float]]:
    """Both steps at one size."""
    make_scores(folder / "scores", rows, per_part)
    make_plan(folder / "plan.json", rows)
    found = {}
    for name in ("cut", "subset"):
        command = [sys.executable, __file__, "--step", name, "--folder", str(folder)]
        found[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        shutil.rmtree(folder / "scores", ignore_errors=True)  # the subset needs the pools alone
    check(folder, rows)
    return found


def main() -> None:
    """Every size in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", default="1M,10M")
    parser.add_argument("--per-part", type=int, default=10_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--step", choices=("cut", "subset"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        print(json.dumps(step(arguments.step, arguments.folder)))
        return
    sizes = [parse_count(text) for text in arguments.rows.split(",")]
    taken = []
    for rows in sizes:
        folder = Path(tempfile.mkdtemp(prefix="rows-", dir=arguments.folder))
        try:
            found = measure(folder, rows, arguments.per_part)
        finally:
            shutil.rmtree(folder)
        for name, cost in found.items():
            print(
                f"{format_count(rows):>5} rows, {name:6}: {cost['wall']:7.1f} s wall, "
                f"{cost['processor']:7.1f} s processor ({cost['processor'] / rows * 1e6:.2f} us a row), "
                f"peak {cost['peak']:6.0f} MiB",
                flush=True,
            )
        taken.append({what: sum(cost[what] for cost in found.values()) for what in ("wall", "processor")})
        taken[-1]["peak"] = max(cost["peak"] for cost in found.values())
        print(
            f"{format_count(rows):>5} rows, both  : {taken[-1]['wall']:7.1f} s wall, "
            f"{taken[-1]['processor']:7.1f} s processor, peak {taken[-1]['peak']:6.0f} MiB",
            flush=True,
        )
    if len(sizes) > 1:
        (few, many), (small, large) = taken[-2:], sizes[-2:]
        for what, unit in (("wall", "s"), ("processor", "s"), ("peak", "MiB")):
            slope = (many[what] - few[what]) / (large - small)
            print(f"a billion rows, {what}: {many[what] + slope * (BILLION - large):,.0f} {unit}")


if __name__ == "__main__":
    main()
