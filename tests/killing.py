"""Programs that come to a chosen moment and are killed there with kill -9."""

import os
import signal
import subprocess
import sys
import time


def wait_for_kill() -> None:
    """Say that the moment has come, and wait."""
    print("now", flush=True)  # noqa: T201 - the signal to the test
    time.sleep(600)


def kill_when_ready(module: str, *arguments: str) -> None:
    """Run `python -m module arguments` until it calls `wait_for_kill`, and kill it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        process.kill()
    assert said == "now\n", f"{module} {' '.join(arguments)} ended too early"
    assert process.returncode == -signal.SIGKILL
