"""`python -m tests.scores.covering NUMBER IN OUT` scores covered pictures and waits to be killed.

It waits after the NUMBERth call of progress.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from tests.killing import wait_for_kill
from thresher.scores.registry import parse_scorer
from thresher.scores.score import score_shards


def score(source: Path, out: Path, step: Callable[..., None] | None = None) -> None:
    model = "model=thresher-tiny-32,device=cpu,batch_size=8"
    specs = [parse_scorer(text) for text in (f"clip:{model}", f"tmars:{model}", "text_free")]
    score_shards(sorted(map(str, source.glob("*.tar"))), out, specs, workers=1, progress=step)


def main(number: int, source: Path, out: Path) -> None:
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            wait_for_kill()

    score(source, out, count)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
