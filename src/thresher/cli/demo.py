"""`thresher demo`: makes a small pool and runs every stage on it."""

from pathlib import Path
from typing import Annotated

from thresher.cli.options import Json, argument, option
from thresher.cli.progress import sentences
from thresher.cli.run import _record
from thresher.cli.text import answer


def demo(
    folder: Annotated[Path, argument("DIR", "Folder for the pool and all results.")] = Path("demo"),
    seed: Annotated[
        int, option("N", "Seed of the pool; a pool of another seed in DIR is refused.", min=0)
    ] = 0,
    as_json: Json = False,
) -> None:
    """Make a small web pool and run every stage on it.

    Takes minutes on a laptop CPU. Draws procedural scenes with captions: right, vague and wrong ones,
    degraded images, pasted text, repeats. Trains a small filter network on a clean part, scores and cuts the
    pool, probes the pools, fits the laws and plans. To check the plan, it trains the winners of the smallest
    and of the largest budget at both. Then it writes the subset and the report. As the quality is planted,
    the report can say how well each pool was cut.

    Writes DIR with the pool, the config (DIR/config.toml) and the results of every stage. Prints the plan and
    the path of the report. Called again, it continues where it stopped; a config that you have changed is
    kept and used.

    Examples:
        thresher demo
        thresher demo try --seed 1
    """
    from thresher.pipeline.config import load_config
    from thresher.pipeline.demo import make_demo, summary
    from thresher.pipeline.run import run as walk

    with sentences("demo") as progress:
        config = make_demo(folder, seed=seed, progress=progress)
        outcome = walk(load_config(config), progress=progress)
    answer(_record(outcome), summary(outcome, folder), as_json)
