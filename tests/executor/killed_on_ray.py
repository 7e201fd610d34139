"""`python -m tests.executor.killed_on_ray ADDRESS IN OUT` scores on Ray, and waits half-way to be killed."""

import sys
from pathlib import Path

from tests.killing import wait_for_kill
from thresher.scores.registry import parse_scorer
from thresher.scores.score import score_shards
from thresher.sharded.stage import Progress


def wait_after_the_second(at: Progress) -> None:
    if at.shards_done == 2:
        wait_for_kill()


if __name__ == "__main__":
    address, source, out = sys.argv[1:]
    shards = sorted(map(str, Path(source).glob("*.tar")))
    score_shards(
        *(shards, out, [parse_scorer("caption")]),
        workers=1,
        executor="ray",
        ray_address=address,
        progress=wait_after_the_second,
    )
