"""`python -m tests.stopped STAGE MOMENT NUMBER IN OUT` comes to a moment and waits to be killed.

The moment is `step` (after the NUMBERth call of progress) or `file` (in the NUMBERth file, written but not
yet renamed).
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from tests.killing import wait_for_kill
from tests.watching import before_renaming


def score(source: Path, out: Path, step: Callable[..., None] | None = None) -> None:
    from thresher.scores.registry import parse_scorer
    from thresher.scores.score import score_shards

    specs = [parse_scorer("clip:model=thresher-tiny-32,device=cpu,batch_size=8"), parse_scorer("caption")]
    score_shards(sorted(map(str, source.glob("*.tar"))), out, specs, workers=2, progress=step)


def embed(source: Path, out: Path, step: Callable[..., None] | None = None) -> None:
    from thresher.scores.embeddings.embed import embed_shards

    shards = sorted(map(str, source.glob("*.tar")))
    embed_shards(shards, "thresher-tiny-32", out, device="cpu", batch_size=8, dtype="int8", progress=step)


def subset(source: Path, out: Path, step: Callable[..., None] | None = None) -> None:
    import pyarrow as pa

    from thresher.curate.subset.write import write_subset

    fields = json.loads((source / "manifest.json").read_text())
    table = pa.table({**fields, "repeats": pa.array(fields["repeats"], pa.int32())})
    shards = sorted(map(str, source.glob("*.tar")))
    write_subset(table, out, format="shards", shards=shards, pairs_per_shard=20, progress=step)


def main(stage: str, moment: str, number: int, source: Path, out: Path) -> None:
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            wait_for_kill()

    if moment == "file":
        before_renaming(count)
    stages = {"score": score, "embed": embed, "subset": subset}
    stages[stage](source, out, count if moment == "step" else None)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]), Path(sys.argv[5]))
