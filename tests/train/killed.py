"""`python -m tests.train.killed FOLDER NUMBER` trains up to batch NUMBER and waits to be killed."""

import sys
from pathlib import Path

from tests.killing import wait_for_kill
from tests.train.small import BATCH, flat_pairs, run, stopping

if __name__ == "__main__":
    pairs = stopping(flat_pairs(), int(sys.argv[2]), wait_for_kill)
    run(Path(sys.argv[1]), pairs, 20 * BATCH, 40 * BATCH, checkpoint_seconds=0)
