"""Programs that come to a chosen moment and are killed there with kill -9."""

import multiprocessing
import signal
import time

import psutil

from tests.forking import start


def wait_for_kill() -> None:
    """Say that the moment has come, and wait."""
    print("now", flush=True)  # noqa: T201 - the signal to the test
    time.sleep(3600)


def kill_when_ready(module: str, *arguments: object) -> None:
    """Run `python -m module arguments` until it calls `wait_for_kill`, and kill it."""
    said, stdout = multiprocessing.Pipe(duplex=False)
    process = start(module, *arguments, stdout=stdout)
    stdout.close()
    with open(said.fileno(), closefd=False) as lines:
        first = lines.readline()
    said.close()
    process.kill()
    process.join()
    code = process.exitcode
    process.close()
    assert first == "now\n", f"{module} {' '.join(map(str, arguments))} ended too early"
    assert code == -signal.SIGKILL


def wait_until_gone(*pids: int, timeout_s: float = 600) -> None:
    """Return once all of these processes have ended; one that was not waited for counts as ended.

    The time is only for those that never end: however busy the machine is, it is not used up otherwise.
    """
    deadline = time.monotonic() + timeout_s
    while left := [pid for pid in pids if _is_alive(pid)]:
        assert time.monotonic() < deadline, f"processes {left} go on"
        time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
