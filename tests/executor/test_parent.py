from pathlib import Path

from tests.killing import kill_when_ready, wait_until_gone


def test_a_worker_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    kill_when_ready("tests.executor.orphans", str(tmp_path / "pid"))
    wait_until_gone(int((tmp_path / "pid").read_text()))
