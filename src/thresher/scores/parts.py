"""The parts of a scores folder, one a shard, and what two runs must have in common to share them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thresher.sharded.parts import ROW_COLUMNS, Stage
from thresher.sharded.summary import FolderSummary


def _other_scorers(found: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    if set(found) != set(now):
        return (
            f"has the scores {', '.join(sorted(found))}, this run makes {', '.join(sorted(now))}; "
            "name another folder, or delete this one to score again"
        )
    for column, fingerprint in now.items():
        if found[column] != fingerprint:
            return (
                f"was scored by another {column}: its fingerprint is {found[column][:12]}, this run's is "
                f"{fingerprint[:12]} (weights, preprocessing or precision differ); give the same options, "
                "name another folder, or delete this one to score again"
            )
    return None


SCORE = Stage(
    name="score",
    done="scored",
    noun="scores",
    differs=_other_scorers,
    exclude_remedy="give the same list here and the new one to `cut`, or name another folder",
)


def score_table(
    columns: Mapping[str, Sequence[str]], scores: Mapping[str, npt.NDArray[np.float32]]
) -> pa.Table:
    """The table of a scored shard: the columns of its rows, then one column a scorer."""
    arrays = [pa.array(columns[name], pa.string()) for name in ROW_COLUMNS]
    arrays += [pa.array(np.asarray(values, dtype=np.float32)) for values in scores.values()]
    return pa.table(arrays, names=[*ROW_COLUMNS, *scores])


def scores_json(summary: FolderSummary, scorers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The content of `scores.json`, given what it says of each scorer."""
    return {
        "schema": "thresher.scores",
        "version": 1,
        "scorers": list(scorers),
        **summary.content(),
    }
