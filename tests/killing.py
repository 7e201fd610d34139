"""Programs that come to a chosen moment and are killed there with kill -9."""

import multiprocessing
import signal
import time

from tests.forking import start


def wait_for_kill() -> None:
    """Say that the moment has come, and wait."""
    print("now", flush=True)  # noqa: T201 - the signal to the test
    time.sleep(600)


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
