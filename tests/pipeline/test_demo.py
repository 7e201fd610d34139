from pathlib import Path

import pytest

from thresher.errors import InputError
from thresher.pipeline import demo
from thresher.pipeline.config import load_config
from thresher.pipeline.demo import make_demo


@pytest.fixture(autouse=True)
def small_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POOL", "CURATED", "TEST"):
        monkeypatch.setattr(demo, name, 3)


def test_the_demo_writes_a_config_that_loads(tmp_path: Path) -> None:
    assert load_config(make_demo(tmp_path, progress=lambda _: None)).probe.verify


def test_a_pool_of_another_seed_is_refused(tmp_path: Path) -> None:
    make_demo(tmp_path, seed=1, progress=lambda _: None)
    before = (tmp_path / "pool" / "00000.tar").read_bytes()
    with pytest.raises(InputError, match="holds a pool of seed 1; name another folder for seed 0"):
        make_demo(tmp_path, progress=lambda _: None)
    make_demo(tmp_path, seed=1, progress=lambda _: None)
    assert (tmp_path / "pool" / "00000.tar").read_bytes() == before


def test_an_edited_config_is_kept_and_said_to_be(tmp_path: Path) -> None:
    said: list[str] = []
    config = make_demo(tmp_path, progress=said.append)
    make_demo(tmp_path, progress=said.append)
    assert len(said) == 1
    config.write_text(config.read_text() + "gallery = 3\n")
    make_demo(tmp_path, progress=said.append)
    assert config.read_text().endswith("gallery = 3\n")
    assert "is walked as it is" in said[1]
