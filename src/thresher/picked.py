"""The pairs that a run trained on, as a weighted subset: online choices become an offline one."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from thresher.errors import InputError
from thresher.subset.write import SubsetSummary, write_subset
from thresher.train import picks

POOL = "picked"


def picked_pairs(run: str | Path) -> pa.Table:
    """How often a finished run trained on each pair: columns `uid`, `pool`, `repeats`, most often first.

    Of several measuring points, those that the last one's model was trained on.

    Raises:
        InputError: the folder holds no picks.
    """
    uids = picks.read_uids(Path(run))
    times = picks.counts(Path(run), len(uids))
    if not times.any():
        raise InputError(f"{run} has picked no pairs yet; train on")
    order = np.argsort(-times, kind="stable")[: int((times > 0).sum())]
    repeats = pa.array(times[order], pa.int32())
    return pa.table({"uid": uids.take(order), "pool": [POOL] * len(order), "repeats": repeats})


def export_picks(run: str | Path, out: str | Path, *, format: str = "npy") -> SubsetSummary:
    """Write the pairs of a run as `thresher subset` does, each as often as it was trained on.

    Raises:
        InputError: the folder holds no picks, the format is none of those that need no shards, or `out` holds
            something else.
    """
    if format == "shards":
        raise InputError("picks are written as npy or parquet; reshard these with another tool")
    table = picked_pairs(run)
    seen = int(table.column("repeats").to_numpy().sum())
    return write_subset(table, out, format=format, samples_seen=seen)
