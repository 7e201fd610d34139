"""`python -m tests.executor.orphans FILE` gives a worker a task without an end, and waits to be killed."""

import os
import sys
import time
from pathlib import Path

from tests.killing import wait_for_kill
from thresher.executor.local import WorkerPool


def work(path: Path) -> None:
    (path.parent / "new").write_text(str(os.getpid()))
    (path.parent / "new").rename(path)
    time.sleep(3600)


if __name__ == "__main__":
    file = Path(sys.argv[1])
    with WorkerPool("tests.executor.orphans:work", workers=1) as pool:
        pool.submit(file)
        while not file.exists():
            time.sleep(0.05)
        wait_for_kill()
