import time
from pathlib import Path

import psutil

from tests.killing import kill_when_ready


def _is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_worker_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    kill_when_ready("tests.executor.orphans", str(tmp_path / "pid"))
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 20
    while _is_alive(pid):
        assert time.monotonic() < deadline, "the worker goes on without its parent"
        time.sleep(0.05)
