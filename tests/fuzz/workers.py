"""Processes that run cases one after another, and a watch on those that die, hang or take too much memory."""

import contextlib
import faulthandler
import multiprocessing
import os
import random
import resource
import shutil
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

LONGEST_S = 60.0
MOST_MEMORY = 2**30
"""How far a case may grow its process."""

ADDRESS_SPACE = 4 * 2**30
"""How much a process may reserve above its start, so that a case cannot take the whole machine."""

CASES_A_PROCESS = 400


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a case; `fault` is empty where all was as it should be."""

    kind: str
    seed: int
    seconds: float
    memory: int
    fault: str = ""

    @property
    def name(self) -> str:
        return f"{self.kind}:{self.seed}"


def run_case(kind: str, seed: int, root: Path) -> str:
    """Run one case in a new folder `root`; what went wrong, empty where nothing did."""
    from tests.fuzz.case import Case
    from tests.fuzz.kinds import KINDS

    case = Case(root, random.Random(f"{kind}:{seed}"))
    faults = []
    for step in (KINDS[kind], Case.close):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                step(case)
        except Exception as error:  # noqa: BLE001 - none may come through
            frames = traceback.extract_tb(error.__traceback__)
            where = " ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[-4:])
            faults.append(f"{type(error).__name__}: {str(error)[:700]} [{where}]")
    return " AND ".join(faults) and f"{' AND '.join(faults)} ({', '.join(case.notes)})"


def outcomes(cases: Iterator[tuple[str, int]], workers: int) -> Iterator[Outcome]:
    """What comes of each case, in the order in which they end."""
    pool: list[_Worker] = []
    waiting = True
    try:
        while waiting or pool:
            while waiting and len(pool) < workers:
                waiting = _give(cases, _Worker(), pool)
            ready = wait([worker.connection for worker in pool], timeout=1.0)
            for worker in list(pool):
                outcome = worker.answer(worker.connection in ready)
                if outcome is None:
                    continue
                pool.remove(worker)
                yield outcome
                if worker.is_spent:
                    worker.stop()
                else:
                    waiting = _give(cases, worker, pool) and waiting
    finally:
        for worker in pool:
            worker.stop()


def _give(cases: Iterator[tuple[str, int]], worker: "_Worker", pool: list["_Worker"]) -> bool:
    case = next(cases, None)
    if case is None:
        worker.stop()
        return False
    worker.ask(*case)
    pool.append(worker)
    return True


class _Worker:
    """A forked process and the case that it is at."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("forkserver")
        self.connection, theirs = context.Pipe()
        self._folder = Path(tempfile.mkdtemp(prefix="thresher-fuzz-"))
        with pytest.MonkeyPatch.context() as patch:  # for the server, which starts here the first time
            patch.setenv("OMP_NUM_THREADS", "1")
            patch.setenv("HF_HUB_OFFLINE", "1")
            context.set_forkserver_preload(["tests.fuzz.kinds"])
            self._process: BaseProcess = context.Process(
                target=_work, args=(theirs, self._folder), daemon=True
            )
            self._process.start()
        theirs.close()
        self._case = ("", 0)
        self._since = 0.0
        self._done = 0
        self.is_spent = False

    def ask(self, kind: str, seed: int) -> None:
        self._case, self._since = (kind, seed), time.perf_counter()
        self.connection.send((kind, seed))

    def answer(self, is_ready: bool) -> Outcome | None:
        """What came of the case; None while it is under way."""
        seconds = time.perf_counter() - self._since
        if is_ready:
            try:
                took, memory, fault = self.connection.recv()
            except (EOFError, OSError):
                self._process.join(5)
                self.is_spent = True
                return self._lost(seconds, f"the process died with {self._process.exitcode}: {self._said()}")
            self._done += 1
            self.is_spent = self._done >= CASES_A_PROCESS or memory > MOST_MEMORY
            if not fault and memory > MOST_MEMORY:
                fault = f"took {memory / 2**20:,.0f} MiB"
            if not fault and took > LONGEST_S:
                fault = f"took {took:.0f} s"
            return Outcome(*self._case, took, memory, fault)
        if seconds < LONGEST_S + 10:
            return None
        self.is_spent = True
        self._process.kill()
        self._process.join()
        return self._lost(seconds, f"hung for {seconds:.0f} s: {self._said()}")

    def _lost(self, seconds: float, fault: str) -> Outcome:
        return Outcome(*self._case, seconds, 0, fault)

    def _said(self) -> str:
        with contextlib.suppress(OSError):
            return (self._folder / "said").read_text(errors="replace")[-600:]
        return ""

    def stop(self) -> None:
        self.connection.close()
        self._process.join(2)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        shutil.rmtree(self._folder, ignore_errors=True)


def _work(connection: Connection, folder: Path) -> None:
    said = os.open(folder / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(said, descriptor)
    faulthandler.enable(said)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = _status("VmSize") + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    while True:
        try:
            kind, seed = connection.recv()
        except EOFError:
            return
        faulthandler.dump_traceback_later(LONGEST_S, file=said)
        with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:  # noqa: PTH123
            file.write("5")  # the highest memory so far counts from here
        before, started = _status("VmRSS"), time.perf_counter()
        fault = run_case(kind, seed, folder / "case")
        took = time.perf_counter() - started
        memory = max(0, _status("VmHWM") - before)
        faulthandler.cancel_dump_traceback_later()
        shutil.rmtree(folder / "case", ignore_errors=True)
        connection.send((took, memory, fault))


def _status(name: str) -> int:
    """A number of bytes that the system tells of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise AssertionError(f"/proc/self/status has no {name}")


def summary(found: list[Outcome]) -> dict[str, Any]:
    """By kind: cases, faults, the slowest case and the highest memory."""
    by_kind: dict[str, Any] = {}
    for kind in dict.fromkeys(outcome.kind for outcome in found):
        those = [outcome for outcome in found if outcome.kind == kind]
        slowest, highest = max(those, key=lambda one: one.seconds), max(those, key=lambda one: one.memory)
        by_kind[kind] = {
            "cases": len(those),
            "faults": sum(bool(outcome.fault) for outcome in those),
            "slowest": (slowest.name, slowest.seconds),
            "highest": (highest.name, highest.memory),
        }
    return by_kind
