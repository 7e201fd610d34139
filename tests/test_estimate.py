import pytest
import torch

from thresher.estimate import kept_bytes, speedup


def test_pixels_take_disk_only_where_they_are_kept() -> None:
    assert kept_bytes(10, 32, 10 * 32 * 32 * 3) == 10 * 32 * 32 * 3
    assert kept_bytes(10, 32, 10 * 32 * 32 * 3 - 1) == 0


def test_jobs_share_the_cores_but_have_a_gpu_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert [speedup(jobs, "cuda") for jobs in (1, 4, 8)] == [1, 4, 4]
    assert [speedup(jobs, "cpu") for jobs in (1, 8)] == [1, 1.5]
