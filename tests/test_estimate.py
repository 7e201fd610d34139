from dataclasses import replace

import pytest
import torch

from thresher import estimate
from thresher.estimate import kept_bytes, speedup
from thresher.train.recipe import Recipe


def test_pixels_take_disk_only_where_they_are_kept() -> None:
    assert kept_bytes(10, 32, 10 * 32 * 32 * 3) == 10 * 32 * 32 * 3
    assert kept_bytes(10, 32, 10 * 32 * 32 * 3 - 1) == 0


def test_jobs_share_the_cores_but_have_a_gpu_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert [speedup(jobs, "cuda") for jobs in (1, 4, 8)] == [1, 4, 4]
    assert [speedup(jobs, "cpu") for jobs in (1, 8)] == [1, 1.5]


@pytest.mark.parametrize("loss", ["siglip", "rho"])
def test_training_that_chooses_its_batches_takes_what_its_steps_take(
    monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    monkeypatch.setattr(estimate, "MEASURE_SECONDS", 0.01)
    recipe = Recipe(model="thresher-tiny-vit-32", batch_size=8, loss=loss)
    joint = replace(recipe, select="joint", filter_ratio=0.8, flexi=8)
    uniform, chosen = (estimate._training("train", one, 800, "cpu") for one in (recipe, joint))
    assert uniform.note.startswith("800 samples at ")
    assert 1.05 < chosen.flops / uniform.flops < 1.3
