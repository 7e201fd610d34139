import json
import subprocess
import sys
from pathlib import Path

from tests.killing import kill_when_ready, wait_until_gone
from tests.small_pool import plant_modules, write_shards


def test_a_worker_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    kill_when_ready("tests.executor.orphans", str(tmp_path / "pid"))
    wait_until_gone(int((tmp_path / "pid").read_text()))


def test_workers_do_not_import_from_the_current_folder(tmp_path: Path) -> None:
    """It holds data of others, a `numpy.py` perhaps."""
    write_shards(tmp_path / "shards", (3, 4))
    plant_modules(tmp_path)
    command = [str(Path(sys.executable).with_name("thresher")), "score", "shards", "--scorer", "caption"]
    words = ["--out", "scores", "--workers", "2", "--json"]
    done = subprocess.run([*command, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pairs"] == 7
    assert not (tmp_path / "executed").exists()
