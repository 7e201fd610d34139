"""`python -m tests.executor.orphans FILE` starts a worker without an end, and waits to be killed."""

import multiprocessing
import os
import sys
import time
from pathlib import Path

from tests.killing import wait_for_kill
from thresher.executor.process import end_with_parent


def work(path: Path) -> None:
    end_with_parent()
    (path.parent / "new").write_text(str(os.getpid()))
    (path.parent / "new").rename(path)
    time.sleep(600)


if __name__ == "__main__":
    file = Path(sys.argv[1])
    multiprocessing.get_context("spawn").Process(target=work, args=(file,)).start()
    while not file.exists():
        time.sleep(0.05)
    wait_for_kill()
