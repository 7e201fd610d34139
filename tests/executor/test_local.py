import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from tests.killing import wait_until_gone
from thresher.executor.local import TaskFailed, WorkerPool
from thresher.executor.process import Worker, WorkerTimedOut

HERE = "tests.executor.functions"
HANGS = 3600.0  # seconds, longer than any test


def run(function: str, tasks: list, workers: int = 2, ahead: int = 4) -> list:
    with WorkerPool(f"{HERE}:{function}", workers=workers) as pool:
        return [result for _, result in pool.map(tasks, ahead=ahead)]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_come_in_the_order_of_their_tasks(workers: int) -> None:
    assert run("double", list(range(50)), workers) == [2 * task for task in range(50)]


def test_large_arrays_travel_whole() -> None:
    found = run("fill", [0, 5, 3_000_000])
    assert [len(array) for array in found] == [0, 5, 3_000_000]
    assert all((array == 7).all() for array in found)


def test_no_more_tasks_are_taken_than_are_to_be_held() -> None:
    taken = []

    def tasks():
        for number in range(20):
            taken.append(number)
            yield number

    with WorkerPool(f"{HERE}:double", workers=2) as pool:
        for used, _ in enumerate(pool.map(tasks(), ahead=5)):
            assert len(taken) <= used + 5


def test_a_worker_that_dies_is_named_and_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with WorkerPool(f"{HERE}:die", workers=1) as pool:
        found = [result for _, result in pool.map(["a", f"once:{tmp_path / 'mark'}", "b"], ahead=2)]
    assert found == ["a", f"once:{tmp_path / 'mark'}", "b"]
    assert len(pool.deaths) == 1
    assert "exit code 3" in pool.deaths[0]
    assert "worker process" in caplog.text
    assert "replaced" in caplog.text


def test_a_task_that_kills_every_worker_becomes_a_death_and_the_others_go_on() -> None:
    found = run("die", ["a", "always", "b", "c"])
    assert found[0] == "a"
    assert found[2:] == ["b", "c"]
    assert isinstance(found[1], TaskFailed)
    assert "SIGKILL" in found[1].reason


def test_a_worker_that_hangs_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = Worker.ask

    def ask_in_haste(self: Worker, task: float, timeout_s: float) -> tuple[str, Any]:
        return ask(self, task, 0.2 if task == HANGS else timeout_s)

    monkeypatch.setattr(Worker, "ask", ask_in_haste)  # only of the task that gets no answer however long
    found = run("sleep", [0.0, HANGS, 0.0])
    assert isinstance(found[1], TaskFailed)
    assert "no answer in time" in found[1].reason
    assert found[::2] == [0.0, 0.0]


def test_workers_that_are_started_ahead_do_the_tasks() -> None:
    with WorkerPool(f"{HERE}:double", workers=2) as pool:
        pool.start()
        until = time.monotonic() + 600
        while len(pool.pids()) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        started = pool.pids()
        assert len(started) == 2
        assert [result for _, result in pool.map(range(6), ahead=4)] == [0, 2, 4, 6, 8, 10]
        assert pool.pids() == started


def test_a_start_ahead_that_fails_is_told_by_the_first_task() -> None:
    with WorkerPool(f"{HERE}:absent", workers=1) as pool:
        pool.start()
        with pytest.raises(RuntimeError, match="did not start"):
            list(pool.map([1], ahead=1))


def test_workers_that_die_whatever_the_task_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thresher.executor.local.MOST_DEATHS", 6)
    with pytest.raises(RuntimeError, match="one after another"):
        run("die", ["always"] * 20)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_the_function_is_raised_with_its_traceback(workers: int) -> None:
    with pytest.raises(RuntimeError, match="LookupError: no task here"):
        run("fail", ["task"], workers)


def test_a_function_that_cannot_be_imported_ends_the_run(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="did not start"):
        run("absent", [1])
    assert "absent" in capfd.readouterr().err


def test_what_a_worker_prints_is_not_taken_for_an_answer(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("shout", ["a", "b"], workers=1) == ["a", "b"]
    assert "what a library prints" in capfd.readouterr().err


def test_decode_workers_load_neither_torch_nor_pyarrow() -> None:
    asked = ["numpy", "PIL", "torch", "pyarrow", "open_clip"]
    assert run("modules", [asked], workers=1) == [["numpy", "PIL"]]


def test_leaving_early_stops_workers_and_threads() -> None:
    threads = threading.active_count()
    with WorkerPool(f"{HERE}:sleep", workers=2) as pool:
        results = pool.map([0.0, HANGS, HANGS, HANGS, HANGS], ahead=3)
        next(results)
        pids = pool.pids()
        assert pids
        pool.close()
        results.close()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert threading.active_count() <= threads  # one of another test may have ended meanwhile


def test_workers_end_when_their_caller_is_killed(tmp_path: Path) -> None:
    import signal
    import subprocess
    import sys

    script = (
        "import sys, time\n"
        "from thresher.executor.local import WorkerPool\n"
        f"pool = WorkerPool('{HERE}:double', workers=1)\n"
        "next(pool.map(iter([1, 2]), ahead=1))\n"
        "print(*pool.pids(), flush=True)\n"
        "time.sleep(3600)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    caller = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert caller.stdout is not None
    with caller.stdout:
        worker = int(caller.stdout.readline())
    assert psutil.pid_exists(worker)
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    wait_until_gone(worker)


def test_arrays_come_back_writable() -> None:
    (array,) = run("fill", [4], workers=1)
    array += np.uint8(1)
    assert array.tolist() == [8, 8, 8, 8]


def test_a_worker_that_is_late_at_its_start_is_started_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ready = Worker.wait_ready
    late = [True]

    def wait_ready(self: Worker) -> None:
        if late:
            late.pop()
            self.stop()
            raise WorkerTimedOut(f"worker process {self.pid} gave no answer in time and was stopped")
        ready(self)

    monkeypatch.setattr(Worker, "wait_ready", wait_ready)
    assert run("double", [1, 2], workers=1) == [2, 4]
    assert "gave no answer in time and was stopped while it started" in caplog.text
