"""A small pool with planted quality, and a config that walks the whole way over it in seconds.

`python -m tests.small_run CONFIG NUMBER` walks it and waits to be killed at the NUMBERth sentence.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from tests.killing import wait_for_kill
from tests.models.small import VIT
from thresher.pipeline.config import load_config
from thresher.pipeline.run import Outcome, run
from thresher.pipeline.synthetic import write_demo_pool

CONFIG = f"""
workdir = "work"
device = "cpu"
[shards]
paths = ["pool"]
[filter]
shards = ["curated"]
model = "{VIT}"
samples_seen = 96
batch_size = 16
[score]
scorers = ["clip", "caption"]
workers = 1
[cut]
by = "clip"
edges = [0.4, 1.0]
[probe]
model = "{VIT}"
samples = [48, 96, 144]
fractions = [1.0, 0.5]
batch_size = 16
jobs = 1
precision = "fp32"
verify = true
[evaluate]
zeroshot = ["test"]
[fit]
bootstrap = 10
[plan]
budgets = [144, 288]
[train]
model = "{VIT}"
batch_size = 16
samples_seen = 80
precision = "fp32"
[report]
gallery = 2
"""


def make_inputs(folder: Path, config: str = CONFIG) -> Path:
    """Shards and config; the path of the config."""
    write_demo_pool(folder, pool=400, curated=100, test=60, seed=0)
    (folder / "config.toml").write_text(config)
    return folder / "config.toml"


def walk(config: Path, progress: Callable[[str], None] = lambda _: None) -> Outcome:
    return run(load_config(config), progress=progress)


def main(config: Path, number: int) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # as `one_core` in the tests
    said = 0

    def count(_: str) -> None:
        nonlocal said
        said += 1
        if said == number:
            wait_for_kill()

    walk(config, count)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
