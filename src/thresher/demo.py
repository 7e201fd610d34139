"""The demo: a small web pool with planted quality, and a config that walks the whole way over it."""

import json
from pathlib import Path

import pyarrow.parquet as pq

from thresher.data.synthetic import CLASS_TEMPLATES, write_demo_pool
from thresher.data.writer import atomic_path
from thresher.pipeline import Outcome, measured_order

CONFIG = """\
# The demo: a pool of drawn scenes, some of whose captions are wrong, vague, pasted or repeated.
workdir = "."

[shards]
paths = ["pool"]

[filter]                       # a small network trained on curated pairs scores the pool
shards = ["curated"]
model = "thresher-tiny-32"
samples_seen = 40_960
batch_size = 64
lr = 2e-3

[score]
scorers = ["clip", "caption"]

[cut]
by = "clip"
edges = {edges}

[probe]
model = "thresher-tiny-32"
samples = {samples}
fractions = {fractions}
batch_size = 64
lr = 2e-3
warmup = 0.1
verify = true

[evaluate]
metric = "zeroshot_error"
zeroshot = ["test"]
templates = {templates}

[plan]
budgets = {budgets}

[subset]
format = "npy"

[report]
title = "Thresher demo"
"""
EDGES = [0.125, 0.375, 0.6]
SAMPLES = [4_096, 8_192, 16_384, 24_576]
FRACTIONS = [0.5, 1.0]
BUDGETS = [4_096, 16_384, 49_152, 98_304]
POOL, CURATED, TEST = 8_000, 1_000, 3_000


def make_demo(folder: Path, *, seed: int = 0) -> Path:
    """Draw the pool into `folder` and write its config; the path of the config.

    A pool that is there already is kept.
    """
    config = folder / "config.toml"
    if not (folder / "planted.json").exists():
        write_demo_pool(folder, pool=POOL, curated=CURATED, test=TEST, seed=seed)
    text = CONFIG.format(
        edges=EDGES,
        samples=SAMPLES,
        fractions=FRACTIONS,
        budgets=BUDGETS,
        templates=json.dumps(CLASS_TEMPLATES),
    )
    with atomic_path(config) as temporary:
        temporary.write_text(text)
    return config


def summary(outcome: Outcome, folder: Path) -> str:
    """What the demo shows: the plan, what training its winners gave, and how well the pools were cut."""
    lines = ["", "The plan"]
    lines += [f"  {budget.decision}" for budget in outcome.plan.budgets]
    lines += ["", "Trained for real"]
    for budget, runs in measured_order(outcome.runs, outcome.plan).items():
        shown = ", ".join(f"{' + '.join(run.weights or [str(run.pool)])} {run.error:.3f}" for run in runs)
        lines.append(f"  at {budget} samples seen: {shown}")
    check = outcome.fit.check
    if check.mae is not None:
        lines.append(
            f"  check mixes: mean absolute error {check.mae:.3f}; "
            f"predicting their mean {check.mae_of_mean:.3f}"
        )
    lines += ["", "What the cut found (planted quality, which nothing reads but this table)"]
    lines += _planted_shares(outcome, folder)
    return "\n".join([*lines, "", f"Look at {outcome.report}"])


def _planted_shares(outcome: Outcome, folder: Path) -> list[str]:
    planted = json.loads((folder / "planted.json").read_text())
    table = pq.read_table(outcome.pools.folder / "pools.parquet", columns=["uid", "pool"])
    qualities = sorted(set(planted.values()))
    lines = []
    for pool in outcome.pools.pools:
        uids = [u for u, p in zip(*(c.to_pylist() for c in table.columns), strict=True) if p == pool.rank]
        shares = {q: sum(planted[uid] == q for uid in uids) / len(uids) for q in qualities}
        lines.append(f"  {pool.name:>8}: " + ", ".join(f"{q} {share:.0%}" for q, share in shares.items()))
    return lines
