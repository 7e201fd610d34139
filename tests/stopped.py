"""A stage in a process of its own that stops at a chosen moment and waits to be killed.

`python -m tests.stopped STAGE MOMENT NUMBER IN OUT`: the moment is `step` (after the NUMBERth call of
progress) or `file` (in the NUMBERth file, written but not yet renamed).
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from thresher.data import writer


def run_and_kill(stage: str, moment: str, number: int, source: Path, out: Path) -> None:
    """Start the stage, and kill -9 it when it has come to the moment."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "tests.stopped", stage, moment, str(number), str(source), str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "now\n", f"{stage} ended before {moment} {number}"
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def score(source: Path, out: Path, step: Callable[..., None] | None = None) -> None:
    from thresher.scores import parse_scorer
    from thresher.scores.score import score_shards

    specs = [parse_scorer("clip:model=thresher-tiny-32,device=cpu,batch_size=8"), parse_scorer("caption")]
    score_shards(sorted(map(str, source.glob("*.tar"))), out, specs, workers=2, progress=step)


def embed(source: Path, out: Path, step: Callable[..., None] | None = None) -> None:
    from thresher.embeddings import embed_shards

    shards = sorted(map(str, source.glob("*.tar")))
    embed_shards(shards, "thresher-tiny-32", out, device="cpu", batch_size=8, dtype="int8", progress=step)


def subset(source: Path, out: Path, step: Callable[..., None] | None = None) -> None:
    import pyarrow as pa

    from thresher.subset import write_subset

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
            print("now", flush=True)  # noqa: T201 - the signal to the test
            time.sleep(600)

    if moment == "file":
        flush = writer._flush_to_disk

        def flush_and_count(path: Path) -> None:
            flush(path)
            if path.suffix == ".tmp":
                count()

        writer._flush_to_disk = flush_and_count
    stages = {"score": score, "embed": embed, "subset": subset}
    stages[stage](source, out, count if moment == "step" else None)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]), Path(sys.argv[5]))
