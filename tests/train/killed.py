"""`python -m tests.train.killed FOLDER NUMBER [joint]` trains up to batch NUMBER and waits to be killed."""

import sys
from pathlib import Path

from tests.killing import wait_for_kill
from tests.train.small import BATCH, JOINT, flat_pairs, random_reference, run, stopping

if __name__ == "__main__":
    folder, number, *joint = sys.argv[1:]
    if joint:
        pairs = flat_pairs(model=JOINT.model)
        stopped = stopping(pairs, int(number), wait_for_kill)
        given = {"recipe": JOINT, "reference": random_reference(pairs), "checkpoint_seconds": 0}
        run(Path(folder), stopped, 12 * BATCH, 24 * BATCH, **given)
    else:
        stopped = stopping(flat_pairs(), int(number), wait_for_kill)
        run(Path(folder), stopped, 10 * BATCH, 20 * BATCH, checkpoint_seconds=0)
