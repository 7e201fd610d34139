"""The whole way on real pairs with planted noise: does the plan choose what training would have chosen?

Plants wrong captions in 60% of CIFAR-10 train and of Flickr8k train, keeps 10% of the pairs clean aside as
the curated set, walks all stages, then trains the candidates at the smallest and the largest budget with
three seeds. Finished runs are kept in ledgers under OUT and are not run again.

    python benchmarks/real_pairs.py --data DIR [--out OUT] [--dataset cifar10|flickr8k|both]

DIR holds cifar10/train, cifar10/test and flickr8k as WebDataset tars. Expect about 40 minutes for CIFAR-10
and 30 for Flickr8k on two cores; the script prints its own estimate first.
"""

import argparse
import io
import json
import os
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from thresher.data.pairs import Pair
from thresher.data.patterns import expand
from thresher.data.shards import read_pairs
from thresher.models.towers import resolve_device
from thresher.pipeline.config import Config, load_config
from thresher.pipeline.estimate import estimate
from thresher.pipeline.run import Outcome, run
from thresher.planning.plans.result import BudgetPlan, winner
from thresher.planning.runs.ledger import read_runs
from thresher.planning.runs.record import Run
from thresher.sharded.parts import list_parts
from thresher.train.probe.stage import open_bench, plan_trials, recipe_of
from thresher.train.probe.trials import Trial, default_jobs, run_trials

WRONG_SHARE = 0.6
CURATED_SHARE = 0.1
SEEDS = (0, 1, 2)
UNDECIDED = 0.05  # where best and worst candidates lie this close, there is nothing to decide

CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CONFIG = """\
workdir = "work"

[shards]
paths = ["pool"]

[filter]
shards = ["curated"]
model = "thresher-tiny-32"
samples_seen = {filter_samples}
batch_size = 64
lr = 2e-3
flip = true
crop = 3

[score]
scorers = ["clip", "caption"]

[cut]
by = "clip"
edges = [0.1, 0.2, 0.3, 0.4, 1.0]

[probe]
model = "thresher-tiny-32"
samples = {samples}
fractions = [1.0, 0.25]
seeds = {seeds}
batch_size = 64
lr = 2e-3
flip = true
crop = 3

[evaluate]
{evaluate}

[plan]
budgets = {budgets}
"""
SETTINGS = {
    "cifar10": {
        "filter_samples": 49_152,
        "samples": [2_048, 4_096, 8_192],
        "budgets": [4_096, 8_192, 16_384, 32_768],
        "seeds": [0, 1],
    },
    "flickr8k": {
        "filter_samples": 32_768,
        "samples": [4_096, 8_192, 16_384],
        "budgets": [8_192, 32_768, 65_536],
        "seeds": [0],
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A mix trained at the ends of the budgets: its errors by budget and seed."""

    name: str
    weights: dict[str, float]
    errors: dict[int, list[float]]
    metrics: dict[int, list[dict[str, float]]]


def main() -> None:
    """Measure the data sets asked for, one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with cifar10/ and flickr8k/")
    parser.add_argument("--out", type=Path, default=Path("runs/real_pairs"), help="ledgers and results")
    parser.add_argument("--dataset", choices=["cifar10", "flickr8k", "both"], default="both")
    arguments = parser.parse_args()
    names = ["cifar10", "flickr8k"] if arguments.dataset == "both" else [arguments.dataset]
    for name in names:
        measure(name, arguments.data, arguments.out / name)


def measure(name: str, data: Path, out: Path) -> None:
    """Walk the whole way on one data set and print what came of it."""
    started = time.monotonic()
    print(f"== {name}")
    plant(name, data, out)
    config = load_config(write_config(name, data, out))
    announce(config)
    outcome = run(
        config, progress=lambda sentence: print(f"[{time.monotonic() - started:6.0f} s] {sentence}")
    )
    print(f"mean absolute error on check mixes: {describe_check(outcome)}")
    score_quality(out, outcome)
    candidates = train_candidates(config, outcome)
    for budget in (outcome.plan.budgets[0], outcome.plan.budgets[-1]):
        judge(name, budget, candidates)
    print(f"{name}: {(time.monotonic() - started) / 60:.1f} minutes in this call")


def plant(name: str, data: Path, out: Path) -> None:
    """Write `curated/` and `pool/` shards with planted captions and `planted.json`, once."""
    if (out / "planted.json").exists():
        return
    folder = data / "cifar10" / "train" if name == "cifar10" else data / "flickr8k"
    shards = sorted(folder.glob("*.tar")) if name == "cifar10" else sorted(folder.glob("0000[0-5].tar"))
    pairs = [pair for shard in shards for pair in read_pairs(str(shard)) if isinstance(pair, Pair)]
    random = np.random.default_rng(17)
    order = random.permutation(len(pairs))
    num_curated = round(CURATED_SHARE * len(pairs))
    curated = [pairs[place] for place in order[:num_curated]]
    pool = [pairs[place] for place in order[num_curated:]]
    is_wrong = np.zeros(len(pool), dtype=bool)
    is_wrong[random.permutation(len(pool))[: round(WRONG_SHARE * len(pool))]] = True
    captions = [
        wrong_caption(pair, pool, random) if wrong else pair.caption
        for pair, wrong in zip(pool, is_wrong, strict=True)
    ]
    write_tars(out / "curated", [(pair, pair.caption) for pair in curated])
    write_tars(out / "pool", list(zip(pool, captions, strict=True)))
    planted = {pair.uid: "wrong" if wrong else "clean" for pair, wrong in zip(pool, is_wrong, strict=True)}
    (out / "planted.json").write_text(json.dumps(planted))


def wrong_caption(pair: Pair, pool: list[Pair], random: np.random.Generator) -> str:
    """The caption of another pair; where pairs have classes, of another class."""
    while True:
        other = pool[int(random.integers(len(pool)))]
        if other.uid == pair.uid or (pair.meta.get("class") and other.meta["class"] == pair.meta["class"]):
            continue
        return other.caption


def write_tars(folder: Path, pairs: list[tuple[Pair, str]], per_shard: int = 1000) -> None:
    """Write pairs with the captions given as WebDataset tars."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard, start in enumerate(range(0, len(pairs), per_shard)):
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as tar:
            for number, (pair, caption) in enumerate(pairs[start : start + per_shard]):
                meta = {key: value for key, value in pair.meta.items() if key != "captions"} | {
                    "uid": pair.uid
                }
                members = {
                    "jpg": pair.image_bytes,
                    "txt": caption.encode(),
                    "json": json.dumps(meta).encode(),
                }
                for extension, content in members.items():
                    info = tarfile.TarInfo(f"{shard:05d}{number:04d}.{extension}")
                    info.size = len(content or b"")
                    tar.addfile(info, io.BytesIO(content or b""))


def write_config(name: str, data: Path, out: Path) -> Path:
    """Write the config of a data set; its path."""
    data = data.resolve()
    if name == "cifar10":
        evaluate = f'metric = "zeroshot_error"\nzeroshot = ["{data}/cifar10/test"]\n'
        evaluate += f"classes = {json.dumps(CIFAR_CLASSES)}\n"
        evaluate += 'templates = ["a photo of a {}", "a picture of a {}", "an image of a {}"]'
    else:
        evaluate = f'metric = "mrr_error"\nretrieval = ["{data}/flickr8k/00006.tar"]'
    path = out / "config.toml"
    path.write_text(CONFIG.format(evaluate=evaluate, **SETTINGS[name]))
    return path


def announce(config: Config) -> None:
    """Print the expected time; what is finished already will take none of it."""
    costs = estimate(config)
    stages = {cost.stage: cost.seconds for cost in costs}
    probes = next(cost for cost in costs if cost.stage == "probe")
    trials = plan_trials(
        ["a", "b", "c", "d", "e"], config.probe, config.plan.budgets, dict.fromkeys("abcde", 1)
    )
    probe_samples = sum(0.8 * trial.points[-1] + 0.2 * sum(trial.points) for trial in trials)
    candidates = 6 * len(SEEDS) * max(config.plan.budgets)
    stages["candidates"] = probes.seconds * candidates / probe_samples
    shown = ", ".join(f"{stage} {seconds / 60:.1f}" for stage, seconds in stages.items())
    print(f"expected minutes: {shown}; together {sum(stages.values()) / 60:.0f} (less what is finished)")


def describe_check(outcome: Outcome) -> str:
    """The error on check mixes as text."""
    check = outcome.laws.check
    return f"{check.mae:.4f}, predicting their mean {check.mae_of_mean:.4f}"


def score_quality(out: Path, outcome: Outcome) -> None:
    """Print the AUC of the score against planted captions, and the share of right captions in each pool."""
    planted = json.loads((out / "planted.json").read_text())
    parts = list_parts(outcome.workdir / "scores")
    table = pa.concat_tables([pq.read_table(part, columns=["uid", "clip"]) for part in parts])
    right = np.asarray([planted[uid] == "clean" for uid in table.column("uid").to_pylist()])
    print(f"AUC of the score against planted captions: {auc(table.column('clip').to_numpy(), right):.3f}")
    for pool in outcome.pools.pools:
        uids = outcome.pools.uids(pool.rank).to_pylist()
        precision = np.mean([planted[uid] == "clean" for uid in uids])
        print(f"  pool {pool.name}: {pool.num_samples} pairs, {precision:.1%} right captions")


def auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Chance that a positive scores above a negative; ties count half."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[place]
    num_positive = positive.sum()
    return float(
        (rank[positive].sum() - num_positive * (num_positive + 1) / 2) / (num_positive * (~positive).sum())
    )


def train_candidates(config: Config, outcome: Outcome) -> list[Candidate]:
    """Train the plan's choices, the nested prefixes and everything at both ends, with every seed."""
    ends = (outcome.plan.budgets[0], outcome.plan.budgets[-1])
    points = tuple(end.samples_seen for end in ends)
    mixes = {end.best: dict(winner(end).weights) for end in ends}
    sizes = outcome.pools.sizes
    for count in range(1, len(sizes) + 1):
        names = list(sizes)[:count]
        total = sum(sizes[name] for name in names)
        mixes.setdefault(" + ".join(names), {name: sizes[name] / total for name in names})
    trials = {
        (name, seed): Trial(role="verify", weights=weights, fraction=1.0, points=points, seed=seed)
        for name, weights in mixes.items()
        for seed in SEEDS
    }
    device = resolve_device(config.device)
    probes = plan_trials(outcome.pools.names, config.probe, config.plan.budgets, sizes)
    bench = open_bench(
        outcome.pools,
        expand(config.shards.paths),
        recipe=recipe_of(probes, config.probe),
        probe=config.probe,
        evaluate=config.evaluate,
        work=config.workdir,
        device=device,
    )
    ledger = config.workdir / "candidates.jsonl"
    run_trials(bench, list(trials.values()), ledger, jobs=default_jobs(device), progress=print)
    runs = read_runs(ledger)
    return [
        Candidate(
            name=name,
            weights=weights,
            errors={end: [r.error for r in _of(runs, trials, name, end)] for end in points},
            metrics={end: [dict(r.metrics) for r in _of(runs, trials, name, end)] for end in points},
        )
        for name, weights in mixes.items()
    ]


def _of(runs: list[Run], trials: dict[tuple[str, int], Trial], name: str, end: int) -> list[Run]:
    wanted = [trials[name, seed].name for seed in SEEDS]
    found = {run.run: run for run in runs if abs(run.samples_seen - end) < 64}
    return [found[run] for run in wanted]


def judge(name: str, budget: BudgetPlan, candidates: list[Candidate]) -> None:
    """Print the candidates at one budget, best first, and the regret of the plan's choice."""
    end = budget.samples_seen
    ranked = sorted(candidates, key=lambda candidate: float(np.mean(candidate.errors[end])))
    predicted = {candidate.name: candidate for candidate in budget.candidates}
    held = [
        predicted[one.name].low <= float(np.mean(one.errors[end])) <= predicted[one.name].high
        for one in candidates
        if one.name in predicted
    ]
    print(f"-- {end} samples seen; the plan says: {budget.decision}")
    for candidate in ranked:
        errors = np.asarray(candidate.errors[end])
        line = f"  {candidate.name:45s} error {errors.mean():.4f} +- {standard_error(errors):.4f}"
        if candidate.name in predicted:
            found = predicted[candidate.name]
            line += f"  predicted {found.predicted_error:.4f} ({found.low:.4f} to {found.high:.4f})"
        if name == "flickr8k":
            for metric in ("retrieval_mrr", "retrieval_loss"):
                values = np.asarray([m[metric] for m in candidate.metrics[end]])
                line += f"  {metric} {values.mean():.4f} +- {standard_error(values):.4f}"
        print(line)
    chosen = next(candidate for candidate in candidates if candidate.name == budget.best)
    differences = np.asarray(chosen.errors[end]) - np.asarray(ranked[0].errors[end])
    regret, error = float(differences.mean()), standard_error(differences)
    spread = float(np.mean(ranked[-1].errors[end]) - np.mean(ranked[0].errors[end]))
    if spread < UNDECIDED:
        print(f"  no decision here: best and worst lie {100 * spread:.2f} points apart")
    print(f"  measured errors within their 90% bands: {sum(held)} of {len(held)}")
    bound = max(0.01, 2 * error)
    holds = "holds" if regret <= bound else "does not hold"
    print(f"  regret of {budget.best}: {100 * regret:.2f} points (bound {100 * bound:.2f}): {holds}")


def standard_error(values: np.ndarray) -> float:
    """Of the mean over seeds."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
