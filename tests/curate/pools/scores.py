"""Scores folders written by hand, for tests of the stages that read them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tests.small_pool import caption, uid
from thresher.data.files.atomic import write_json
from thresher.scores.spec import SCORE, score_table
from thresher.sharded.parts import Stamp, part_path, write_stamped


def write_scores(
    folder: Path,
    shards: Sequence[Sequence[float]],
    *,
    column: str = "clip",
    uids: Sequence[str] | None = None,
    more: Mapping[str, float] | None = None,
) -> Path:
    """A finished scores folder: one part for each list of scores; pair n of all has uid(n)."""
    number = 0
    for place, scores in enumerate(shards):
        shard = f"in/{place:05d}.tar"
        rows = range(number, number + len(scores))
        columns = {
            "uid": [uid(n) if uids is None else uids[n] for n in rows],
            "key": [f"{n:09d}" for n in rows],
            "shard": [shard for _ in rows],
            "caption": [caption(n) for n in rows],
        }
        values = {column: np.asarray(scores, dtype=np.float32)}
        values |= {
            name: np.full(len(scores), value, dtype=np.float32) for name, value in (more or {}).items()
        }
        stamp = Stamp(shard, "1-1", dict.fromkeys(values, "by hand"), "")
        write_stamped(part_path(folder, place, shard), score_table(columns, values), stamp, SCORE)
        number += len(scores)
    scorers = [{"column": name, "name": name.removesuffix("_score")} for name in (column, *(more or {}))]
    summary = {"schema": "thresher.scores", "version": 1, "scorers": scorers, "counts": {"pairs": number}}
    write_json(folder / "scores.json", summary)
    return folder
