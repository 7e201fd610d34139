"""The pairs of the shards that no row of the imported tables is about."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from thresher.data.quarantine import SCHEMA, write_quarantine
from thresher.importers.shard_pairs import ShardPairs
from thresher.scores.parts import Stage, list_quarantines, part_path, quarantine_path

NAME = "pairs-without-a-row"


def write_unscored(
    folder: Path, parts: Sequence[Path], pairs: ShardPairs, stage: Stage, num_files: int
) -> int:
    """Put the pairs of the shards that no row is about, not even a refused one, into a quarantine table.

    Returns:
        How many they are.
    """
    path = quarantine_path(part_path(folder, num_files, NAME))
    for old in path.parent.glob(f"*-{NAME}.quarantine.parquet"):
        if old != path:
            old.unlink()
    found = np.zeros(len(pairs), dtype=np.bool_)
    refused = [table for table in list_quarantines(folder) if table != path]
    for table in (*parts, *refused):
        with pq.ParquetFile(table) as file:
            places = pairs.of_uids(file.read(columns=["uid"]).column("uid").drop_null())
        found[places[places >= 0]] = True
    found |= ~pairs.first_of_its_uid()
    missing = np.flatnonzero(~found)
    if not len(missing):
        path.unlink(missing_ok=True)
        return 0
    rows = pairs.table.take(pa.array(missing))
    columns = {
        "shard": rows.column("shard"),
        "key": rows.column("key"),
        "uid": rows.column("uid"),
        "stage": [stage.name] * len(missing),
        "reason": ["no row of the tables is about this pair"] * len(missing),
        "offset": missing,
    }
    write_quarantine(path, pa.table(columns).cast(SCHEMA))
    return len(missing)
