"""Cutting a score table into pools.

Equal scores keep their input order (shards in order, rows in order), so the same table gives the same pools
everywhere. The table is read twice, part by part; between the readings some 40 bytes a pair are held.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from thresher.data.index import uid_bytes
from thresher.data.pairs import Reject
from thresher.data.quarantine import write_quarantine
from thresher.data.writer import ROW_GROUP_ROWS, atomic_path, write_json
from thresher.errors import InputError
from thresher.executor.lock import folder_lock
from thresher.pools.edges import check_edges, check_thresholds, ends_of_edges, ends_of_thresholds, names_of
from thresher.pools.record import (
    POOLS_FILE,
    QUARANTINE_FILE,
    TABLE_FILE,
    TABLE_SCHEMA,
    Pool,
    Pools,
    load_pools,
)
from thresher.pools.source import ScoreTable, open_scores, usable
from thresher.scores.parts import digest_of

EXCLUDED = "the uid is in the list of excluded pairs"
DUPLICATE = "duplicate uid"
NO_SCORE = "no score, and already in the quarantine"

_IN, _EXCLUDED, _DUPLICATE, _NO_SCORE = range(4)


@dataclass(frozen=True, slots=True)
class _Rows:
    """All rows of a score table in input order: uid, score, fate (`_IN` or why not), where parts begin."""

    uids: npt.NDArray[np.bytes_]
    scores: npt.NDArray[np.float32]
    fates: npt.NDArray[np.int8]
    starts: npt.NDArray[np.int64]


def cut(
    scores: str | Path,
    *,
    by: str,
    out: str | Path,
    edges: Sequence[float] = (),
    thresholds: Sequence[float] = (),
    exclude: frozenset[str] = frozenset(),
) -> Pools:
    """Cut a score table into pools and write `pools.parquet`, `pools.json` and `quarantine.parquet`.

    Args:
        scores: Folder that `score_shards` filled.
        by: Column to rank by, higher is better; or the name of a scorer that filled one column.
        out: Folder of the pools; pools that were cut otherwise are replaced.
        edges: Shares of the pairs, rising: (0.1, 0.2) gives the pools 0-10% and 10-20%. What lies below the
            last edge is in no pool.
        thresholds: Lowest scores of the pools, falling, in place of `edges`.
        exclude: uids that get into no pool.

    Returns:
        The pools; every row of the table is in exactly one, or counted in `dropped`. Of equal uids the first
        row counts; the others go to the quarantine.

    Raises:
        InputError: no finished scores, no such column, edges that do not rise, a score that is NaN (pair,
            shard and row are named), or a pool without a pair.
    """
    if bool(edges) == bool(thresholds):
        raise InputError("give either edges or thresholds, for example edges 0.1,0.2,0.3,0.4")
    rising = check_edges(edges) if edges else ()
    falling = check_thresholds(thresholds) if thresholds else ()
    names = names_of(rising, falling)
    source = open_scores(Path(scores), by)
    folder = Path(out)
    made_of = hashlib.blake2b(
        json.dumps([source.digest, rising, falling, digest_of(exclude)]).encode(), digest_size=16
    ).hexdigest()
    with folder_lock(folder):
        if not _finished(folder, made_of):
            rows = _read(source, exclude)
            ranks, pools = _assign(rows, names, rising, falling)
            dropped = _dropped(rows, ranks, rising, falling)
            (folder / POOLS_FILE).unlink(missing_ok=True)  # it says that all is done
            _write_table(folder / TABLE_FILE, source, ranks)
            write_quarantine(folder / QUARANTINE_FILE, _rejects(source, rows))
            content = {
                "schema": "thresher.pools",
                "version": 1,
                "by": source.column,
                "edges": rising,
                "thresholds": falling,
                "pools": [asdict(pool) for pool in pools],
                "dropped": [{"reason": reason, "count": count} for reason, count in dropped.items()],
                "made_of": made_of,
            }
            write_json(folder / POOLS_FILE, content)
    return load_pools(folder)


def _finished(folder: Path, made_of: str) -> bool:
    try:
        content = json.loads((folder / POOLS_FILE).read_bytes())
    except (FileNotFoundError, ValueError):
        return False
    whole = (folder / TABLE_FILE).exists() and (folder / QUARANTINE_FILE).exists()
    return whole and isinstance(content, dict) and content.get("made_of") == made_of


def _read(source: ScoreTable, exclude: frozenset[str]) -> _Rows:
    excluded = pa.array(sorted(exclude), pa.string())
    uids, scores, fates, lengths = [], [], [], []
    for part, table in source.rows("uid"):
        fate = np.where(usable(part, table), _IN, _NO_SCORE).astype(np.int8)
        listed = pc.is_in(table.column("uid"), value_set=excluded).to_numpy(zero_copy_only=False)
        fate[listed] = _EXCLUDED
        uids.append(uid_bytes(table.column("uid")))
        scores.append(table.column("score").to_numpy(zero_copy_only=False).astype(np.float32))
        fates.append(fate)
        lengths.append(table.num_rows)
    rows = _Rows(
        np.concatenate([np.empty(0, "S16"), *uids]),
        np.concatenate([np.empty(0, np.float32), *scores]),
        np.concatenate([np.empty(0, np.int8), *fates]),
        np.cumsum([0, *lengths]),
    )
    inside = np.flatnonzero(rows.fates == _IN)
    repeated, _ = _repeats(rows.uids[inside])
    rows.fates[inside[repeated]] = _DUPLICATE
    return rows


def _repeats(uids: npt.NDArray[np.bytes_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Places of uids that stood before, and for each the place where it stood first."""
    words = uids.view(">u8").reshape(-1, 2)
    order = np.lexsort((words[:, 1], words[:, 0]))  # stable, so the first of equals stays first
    same = np.zeros(len(order), dtype=bool)
    same[1:] = (words[order[1:]] == words[order[:-1]]).all(axis=1)
    first = np.maximum.accumulate(np.where(same, 0, np.arange(len(order))))
    places = order[same]
    by_place = np.argsort(places)
    return places[by_place], order[first[same]][by_place]


def _assign(
    rows: _Rows, names: Sequence[str], edges: Sequence[float], thresholds: Sequence[float]
) -> tuple[npt.NDArray[np.int16], list[Pool]]:
    """Rank of the pool of each row (-1: none), and the pools."""
    inside = np.flatnonzero(rows.fates == _IN)
    order = inside[np.argsort(-rows.scores[inside], kind="stable")]
    falling = rows.scores[order]
    ends = ends_of_edges(edges, len(order)) if edges else ends_of_thresholds(thresholds, falling)
    ranks = np.full(len(rows.scores), -1, dtype=np.int16)
    pools = []
    for rank, (name, start, end) in enumerate(zip(names, [0, *ends[:-1]], ends, strict=True)):
        if start == end:
            best = f", whose scores go from {falling[-1]:g} to {falling[0]:g}" if len(falling) else ""
            raise InputError(f"pool {name} would be empty: {len(order)} pairs are cut{best}; cut fewer pools")
        ranks[order[start:end]] = rank
        pools.append(Pool(name, rank, end - start, float(falling[end - 1]), float(falling[start])))
    return ranks, pools


def _dropped(
    rows: _Rows, ranks: npt.NDArray[np.int16], edges: Sequence[float], thresholds: Sequence[float]
) -> dict[str, int]:
    """How many rows are in no pool, by reason."""
    below = f"below the last {'edge' if edges else 'threshold'} ({[*edges, *thresholds][-1]:g})"
    counts = Counter(
        {
            below: int(np.count_nonzero((rows.fates == _IN) & (ranks < 0))),
            EXCLUDED: int(np.count_nonzero(rows.fates == _EXCLUDED)),
            DUPLICATE: int(np.count_nonzero(rows.fates == _DUPLICATE)),
            NO_SCORE: int(np.count_nonzero(rows.fates == _NO_SCORE)),
        }
    )
    return {reason: count for reason, count in counts.items() if count}


def _write_table(path: Path, source: ScoreTable, ranks: npt.NDArray[np.int16]) -> None:
    """The rows that are in a pool, in input order; as many a row group as in every table that we write."""
    start = 0
    held: list[pa.Table] = []
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(temporary, TABLE_SCHEMA, compression="zstd") as writer,
    ):
        for _, table in source.rows("uid", "key", "shard", "caption"):
            pool = ranks[start : start + table.num_rows]
            start += table.num_rows
            held.append(table.append_column("pool", pa.array(pool)).filter(pa.array(pool >= 0)))
            if sum(part.num_rows for part in held) >= ROW_GROUP_ROWS:
                held = [_write_groups(writer, held, ROW_GROUP_ROWS)]
        _write_groups(writer, held, 1)


def _write_groups(writer: pq.ParquetWriter, held: list[pa.Table], least: int) -> pa.Table:
    """Write full row groups while at least `least` rows are held; what is left."""
    table = pa.concat_tables(
        [TABLE_SCHEMA.empty_table(), *(part.select(TABLE_SCHEMA.names) for part in held)]
    )
    while table.num_rows >= least:
        writer.write_table(table.slice(0, ROW_GROUP_ROWS).combine_chunks(), row_group_size=ROW_GROUP_ROWS)
        table = table.slice(ROW_GROUP_ROWS)
    return table


def _rejects(source: ScoreTable, rows: _Rows) -> list[Reject]:
    """A quarantine row for each excluded and each repeated pair; `offset` is its row in the part."""
    inside = np.flatnonzero((rows.fates == _IN) | (rows.fates == _DUPLICATE))
    places, first = _repeats(rows.uids[inside])
    part_of_first = np.searchsorted(rows.starts, inside[first], side="right") - 1
    first_part = dict(zip(inside[places].tolist(), part_of_first.tolist(), strict=True))
    found: list[Reject] = []
    for number, (_, table) in enumerate(source.rows("uid", "key", "shard")):
        start = int(rows.starts[number])
        fates = rows.fates[start : start + table.num_rows]
        for row in np.flatnonzero((fates == _EXCLUDED) | (fates == _DUPLICATE)).tolist():
            uid, key, shard = (table.column(name)[row].as_py() for name in ("uid", "key", "shard"))
            if fates[row] == _EXCLUDED:
                found.append(Reject(shard, key, uid, "exclude", EXCLUDED, row))
                continue
            where = source.parts[first_part[start + row]].name
            reason = f"{DUPLICATE}: an earlier pair has it (in part {where})"
            found.append(Reject(shard, key, uid, "cut", reason, row))
    return found
