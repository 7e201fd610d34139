"""The demo: a small web pool with planted quality, and a config that runs every stage on it."""

import json
from collections.abc import Callable
from pathlib import Path

from thresher.data.files.atomic import atomic_path, write_json
from thresher.data.files.record_file import from_record, own_file
from thresher.errors import InputError
from thresher.pipeline.run import Outcome, measured_order
from thresher.pipeline.synthetic import CLASS_TEMPLATES, write_demo_pool
from thresher.planning.runs.record import is_loss
from thresher.report.workdir import read_planted
from thresher.tables import error_text, gap_text, percent

CONFIG = """\
# The demo: a pool of drawn scenes, some of whose captions are wrong, vague, pasted or repeated.
workdir = "."

[shards]
paths = ["pool"]

[filter]                       # a small network trained on curated pairs scores the pool
shards = ["curated"]
model = "thresher-tiny-32"
samples_seen = 65_536
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
EDGES = [0.1, 0.35, 0.42]
SAMPLES = [4_096, 8_192, 16_384, 24_576]
FRACTIONS = [0.6, 1.0]
BUDGETS = [4_096, 16_384, 49_152, 98_304]
POOL, CURATED, TEST = 8_000, 2_000, 3_000


def make_demo(folder: Path, *, seed: int = 0, progress: Callable[[str], None] = lambda _: None) -> Path:
    """Draw the pool into `folder` and write its config; the path of the config.

    A pool that is there already is kept, and so is a config, whatever it says.

    Raises:
        InputError: the pool that is there was drawn with another seed.
    """
    config, mark = folder / "config.toml", folder / "demo.json"
    if (folder / "planted.json").exists():
        drawn = seed
        if mark.exists():
            with own_file(mark, "delete the folder, or name another"):
                drawn = from_record(int, json.loads(mark.read_bytes())["seed"], place="seed")
        if drawn != seed:
            raise InputError(
                f"{folder} holds a pool of seed {drawn}; name another folder for seed {seed}, "
                "or delete this one"
            )
    else:
        write_json(mark, {"schema": "thresher.demo", "version": 1, "seed": seed})
        write_demo_pool(folder, pool=POOL, curated=CURATED, test=TEST, seed=seed)
        progress(f"pool: {POOL} pairs drawn into {folder / 'pool'}")
    text = CONFIG.format(
        edges=EDGES,
        samples=SAMPLES,
        fractions=FRACTIONS,
        budgets=BUDGETS,
        templates=json.dumps(CLASS_TEMPLATES),
    )
    if not config.exists():
        with atomic_path(config) as temporary:
            temporary.write_text(text)
    elif config.read_text() != text:
        progress(f"{config} is not the demo's own and is walked as it is; delete it to have the demo's back")
    return config


def summary(outcome: Outcome, folder: Path) -> str:
    """What the demo shows: the plan, what training its winners gave, and how well the pools were cut."""
    lines = ["", "The plan"]
    lines += [f"  {budget.decision}" for budget in outcome.plan.budgets]
    lines += ["", "Trained for real"]
    for budget, runs in measured_order(outcome.runs, outcome.plan).items():
        shown = ", ".join(
            f"{' + '.join(run.weights or [str(run.pool)])} {error_text(run.error, is_loss(run.metric))}"
            for run in runs
        )
        lines.append(f"  at {budget} samples seen: {shown}")
    check, loss = outcome.laws.check, is_loss(outcome.laws.metric)
    if check.mae is not None:
        lines.append(
            f"  check mixes: mean absolute error {gap_text(check.mae, loss)}; "
            f"predicting their mean {gap_text(check.mae_of_mean or 0.0, loss)}"
        )
    lines += ["", "What the cut found (planted quality, which nothing reads but this table)"]
    lines += _planted_shares(outcome, folder)
    return "\n".join([*lines, "", f"Look at {outcome.report}"])


def _planted_shares(outcome: Outcome, folder: Path) -> list[str]:
    planted = read_planted(folder / "planted.json")
    table = outcome.pools.table(["uid", "pool"])
    qualities = sorted(set(planted.values()))
    lines = []
    for pool in outcome.pools.pools:
        uids = [u for u, p in zip(*(c.to_pylist() for c in table.columns), strict=True) if p == pool.rank]
        shares = {q: sum(planted.get(uid) == q for uid in uids) / len(uids) for q in qualities}
        found = ", ".join(f"{quality} {percent(share, 0)}" for quality, share in shares.items())
        lines.append(f"  {pool.name:>8}: {found}")
    return lines
