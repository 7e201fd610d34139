import itertools
import time
from pathlib import Path

import pytest
import torch

from tests.models.small import RESNET
from tests.small_pool import write_shards
from thresher.curate.settings import Cut
from thresher.models.evaluation.settings import Evaluate
from thresher.models.towers import load_towers
from thresher.pipeline.config import Config
from thresher.pipeline.estimate import StageCost, estimate, kept_bytes, speedup
from thresher.planning.settings import Plan
from thresher.scores.settings import Score, Shards
from thresher.train.settings import Filter, Probe, Train

PAIRS, SECONDS_A_LOOK = 40, 0.25
STEPS_A_SECOND = 3
"""Where every look at the clock finds a quarter of a second gone."""


def test_pixels_take_disk_only_where_they_are_kept() -> None:
    assert kept_bytes(10, 32, 10 * 32 * 32 * 3) == 10 * 32 * 32 * 3
    assert kept_bytes(10, 32, 10 * 32 * 32 * 3 - 1) == 0


def test_jobs_share_the_cores_but_have_a_gpu_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert [speedup(jobs, "cuda") for jobs in (1, 4, 8)] == [1, 4, 4]
    assert [speedup(jobs, "cpu") for jobs in (1, 8)] == [1, 1.5]


def stages(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    train: Train | None = None,
    network: Filter | None = None,
    **probe: object,
) -> dict[str, StageCost]:
    """The dry run of a small config, on a machine on which every model makes three steps a second."""
    looks = itertools.count()
    monkeypatch.setattr(time, "monotonic", lambda: SECONDS_A_LOOK * next(looks))
    scorers = (f"clip:model={RESNET},pretrained=weights.pt", "caption")
    config = Config(
        workdir=folder / "work",
        device="cpu",
        shards=Shards(paths=tuple(write_shards(folder / "pool", (PAIRS,)))),
        filter=network,
        score=Score(scorers=scorers),
        cut=Cut(edges=(0.5, 1.0)),
        probe=Probe(model=RESNET, samples=(40, 80, 120), fractions=(0.5, 1.0), batch_size=8, jobs=1, **probe),
        evaluate=Evaluate(zeroshot=("test.tar",)),
        plan=Plan(budgets=(200, 400)),
        train=train,
    )
    return {cost.stage: cost for cost in estimate(config)}


def test_scoring_takes_the_time_of_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cost = stages(tmp_path, monkeypatch)["score"]
    rate = 32 * STEPS_A_SECOND
    assert cost.seconds == pytest.approx(PAIRS / rate, rel=0.01)
    assert cost.note == f"{PAIRS} pairs; {RESNET} at {rate} pairs/s"
    assert cost.flops > 0


def test_a_filter_network_is_a_stage_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    curated = tuple(write_shards(tmp_path / "curated", (20,)))
    network = Filter(shards=curated, model=RESNET, samples_seen=160, batch_size=16)
    costs = stages(tmp_path / "run", monkeypatch, network=network)
    assert next(iter(costs)) == "filter"
    assert costs["filter"].seconds == pytest.approx(160 / (16 * STEPS_A_SECOND))


def test_verification_is_a_stage_of_its_own_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = stages(tmp_path / "a", monkeypatch)
    assert list(without) == ["score", "cut", "probe", "fit, plan", "subset"]
    asked = stages(tmp_path / "b", monkeypatch, verify=True, seeds=(0, 1))
    assert list(asked) == ["score", "cut", "probe", "fit, plan", "verify", "subset"]
    probed = without["probe"].seconds * 8 * STEPS_A_SECOND
    samples = 2 * 2 * 400  # two winners, two seeds, up to the largest budget
    assert asked["verify"].seconds == pytest.approx(samples / (8 * STEPS_A_SECOND))
    assert asked["verify"].flops / samples == pytest.approx(without["probe"].flops / probed)
    assert asked["probe"].flops == pytest.approx(2 * without["probe"].flops)


@pytest.mark.parametrize("loss", ["siglip", "rho"])
def test_training_that_chooses_its_batches_takes_what_its_steps_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    settings = {"model": "thresher-tiny-vit-32", "batch_size": 8, "samples_seen": 800}
    settings |= {"loss": loss, "reference": "reference"}
    uniform, chosen = (
        stages(tmp_path / select, monkeypatch, Train(**settings, select=select, flexi=flexi))["train"]
        for select, flexi in (("uniform", 0), ("joint", 8))
    )
    assert uniform.seconds == pytest.approx(800 / (8 * STEPS_A_SECOND))
    assert uniform.note.startswith("800 samples at ")
    towers = load_towers("thresher-tiny-vit-32", device="cpu")
    weights = sum(parameter.numel() for parameter in towers.model.parameters())
    assert uniform.disk_bytes >= 16 * weights + kept_bytes(PAIRS, towers.spec.size, 1 << 30) > 16 * weights
    assert 1.05 < chosen.flops / uniform.flops < 1.3
    assert chosen.seconds / uniform.seconds == pytest.approx(chosen.flops / uniform.flops)
