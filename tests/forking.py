"""Programs in processes of their own that need not import torch again.

One server for each pytest process imports what takes seconds; each program is a fork of it, knows nothing of
the tests, and can be killed as any process.
"""

import multiprocessing
import os
import runpy
import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import pytest
from torch.distributed import TCPStore

HEAVY = [
    "thresher.pipeline.run",
    "thresher.scores.embeddings.embed",
    "thresher.selection.across_ranks",
    "torch.distributed",
]


def start(
    module: str,
    *arguments: object,
    stdout: Connection | None = None,
    environment: Mapping[str, str] | None = None,
) -> BaseProcess:
    """Run `python -m module arguments`, which may say something into a pipe.

    It gets the variables of this process as they are now; the server has those of its start.
    """
    with pytest.MonkeyPatch.context() as patch:  # for the server, which starts here the first time
        patch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(HEAVY)
        words = [module, *map(str, arguments)]
        process = context.Process(target=_run, args=(words, stdout, {**os.environ, **(environment or {})}))
        process.start()
    return process


def run_to_end(module: str, *arguments: object) -> None:
    """The program in one process, which has to end well."""
    process = start(module, *arguments)
    process.join()
    assert process.exitcode == 0, f"{module} {' '.join(map(str, arguments))} ended with {process.exitcode}"


def run_ranks(world: int, module: str, *arguments: object, timeout: float = 1800) -> None:
    """The program on so many processes, each of which is told what torchrun would tell it."""
    meeting = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # the system picks the port
    told = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(meeting.port)}
    told |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
    processes = [
        start(module, *arguments, environment=told | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(world)
    ]
    alive = list(processes)
    while alive and wait([process.sentinel for process in alive], timeout):
        alive = [process for process in alive if process.exitcode is None]
        if any(process.exitcode for process in processes):
            break  # the others would wait for it
    for process in alive:
        process.kill()
    for process in processes:
        process.join()
    codes = [process.exitcode for process in processes]
    assert codes == [0] * world, f"{module} {' '.join(map(str, arguments))} ended with {codes}"


def _run(words: list[str], stdout: Connection | None, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    if stdout is not None:
        os.dup2(stdout.fileno(), 1)
        stdout.close()
    sys.argv = words
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)
