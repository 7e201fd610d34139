"""`torchrun ... -m tests.train.several_processes WHAT FOLDER`.

WHAT is `losses`, `select`, `job`, `probe` or `resolutions`.
"""

import dataclasses
import sys
from pathlib import Path

import torch

from tests.models.small import RESNET, VIT
from tests.probing import PROBE, probe
from tests.train import two_resolutions
from tests.train.small import BATCH, RECIPE, flat_pairs, random_reference, run
from thresher.selection.choices import LOSSES
from thresher.train.distributed import Ranks, ranks_from_environment
from thresher.train.job import RESULT_FILE, Job, run_job
from thresher.train.pairs import Pairs
from thresher.train.recipe import Recipe

SAMPLES = 12 * BATCH


def pairs_of(model: str) -> Pairs:
    return flat_pairs(48, model=model)


def recipe_of(loss: str) -> Recipe:
    return dataclasses.replace(RECIPE, model=VIT, loss=loss)


def job_of(folder: Path) -> Job:
    return Job(
        shards=(str(folder / "pool" / "00000.tar"),),
        uids=None,
        repeats=None,
        recipe=dataclasses.replace(RECIPE, model=RESNET),
        samples_seen=SAMPLES,
        seed=0,
        tasks=None,
        device="cpu",
        cache=folder / "cache",
        checkpoint_seconds=0,
    )


def select(folder: Path, ranks: Ranks, across: str) -> None:
    """Joint selection, of pairs that lie on any process or of each its own."""
    recipe = dataclasses.replace(RECIPE, model=VIT, select="joint", filter_ratio=0.5, chunks=4, across=across)
    pairs = pairs_of(VIT)
    run(folder, pairs, SAMPLES, recipe=recipe, ranks=ranks, reference=random_reference(pairs))


def main(what: str, folder: Path) -> None:
    if what == "job":
        run_job(job_of(folder), folder / "model")
        assert (folder / "model" / RESULT_FILE).exists()  # for every process
    elif what == "select":
        with ranks_from_environment("cpu") as ranks:
            for across in ("global", "stratified"):
                select(folder / across, ranks, across)
    elif what == "resolutions":
        with ranks_from_environment("cpu") as ranks:
            torch.save(two_resolutions.train(ranks), folder / f"{ranks.rank}.pt")
    elif what == "probe":
        settings = PROBE.model_copy(update={"fractions": (1.0,), "checks": ()})
        probe(folder / "source", folder, settings)
    else:
        with ranks_from_environment("cpu") as ranks:
            for loss in LOSSES:
                recipe = recipe_of(loss)
                run(folder / loss, pairs_of(VIT), SAMPLES, recipe=recipe, ranks=ranks, checkpoint_seconds=0)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
