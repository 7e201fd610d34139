"""Cutting a score table into pools.

Equal scores keep their input order (shards in order, rows in order), so the same table gives the same pools
everywhere. The table is read twice, a batch at a time; between the readings the rows lie on disk
(`RowStore`), so that a billion rows need no more memory than a million.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from thresher.curate.pools.edges import (
    Condition,
    check_edges,
    check_thresholds,
    ends_of_edges,
    ends_of_thresholds,
    names_of,
    parse_conditions,
)
from thresher.curate.pools.keys import Ranks, keys_at, keys_of, scores_of
from thresher.curate.pools.record import (
    POOLS_FILE,
    QUARANTINE_FILE,
    TABLE_FILE,
    TABLE_SCHEMA,
    Pool,
    Pools,
    load_pools,
)
from thresher.curate.pools.rows import (
    ABSENT,
    CONDITION,
    DUPLICATE,
    EXCLUDED,
    IN,
    NO_SCORE,
    RowStore,
    state_of,
    uids_in,
)
from thresher.data.digests import digest
from thresher.data.files.atomic import table_writer, write_json
from thresher.data.files.lock import folder_lock
from thresher.data.files.provenance import claim
from thresher.data.files.quarantine import SCHEMA as QUARANTINE_SCHEMA
from thresher.data.uids import uid_words
from thresher.errors import InputError
from thresher.scores.read import ScoreTable, open_scores, usable
from thresher.sharded.parts import digest_of
from thresher.tables import decimal

REASONS = {
    EXCLUDED: "the uid is in the list of excluded pairs",
    DUPLICATE: "duplicate uid",
    NO_SCORE: "no score, and already in the quarantine",
    ABSENT: "the pair is in no shard",
}
"""Fate -> why a row is in no pool; of those with a fate in `_LISTED`, each row is listed."""

_LISTED = (EXCLUDED, DUPLICATE, ABSENT)
_REMEDIES = {
    EXCLUDED: "check the exclude list",
    NO_SCORE: "see the quarantine of the scores, and score again",
    ABSENT: "name the shards that the scores are of",
    CONDITION: "loosen the conditions of --keep",
}
"""Fate -> what to do where it leaves no row."""


@dataclass(frozen=True, slots=True)
class _Cuts:
    """Where the ranking is cut: pools, their cuts as `Ranks` takes them, what to call the rows below."""

    pools: tuple[Pool, ...]
    cuts: tuple[tuple[int, int], ...]
    below: str


@dataclass(frozen=True, slots=True)
class _Refused:
    """A part with rows to list in the quarantine: its shard, its number, and its first row among all."""

    shard: str
    number: int
    first_row: int


def cut(
    scores: str | Path,
    *,
    by: str,
    out: str | Path,
    edges: Sequence[float] = (),
    thresholds: Sequence[float] = (),
    keep: Sequence[str] = (),
    exclude: frozenset[str] = frozenset(),
    shards: Sequence[str] = (),
    index_cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    workers: int = 0,
) -> Pools:
    """Cut a score table into pools and write `pools.parquet`, `pools.json` and `quarantine.parquet`.

    Args:
        scores: Folder that `score_shards` filled.
        by: Column to rank by, higher is better; or the name of a scorer that filled one column.
        out: Folder of the pools; pools that were cut otherwise are replaced.
        edges: Shares of the pairs, rising: (0.1, 0.2) gives the pools 0-10% and 10-20%. What lies below the
            last edge is in no pool.
        thresholds: Lowest scores of the pools, falling, in place of `edges`.
        keep: Conditions such as "basic>=1" on this or other columns. Rows that fail one are in no pool, and
            `edges` are shares of the rows that meet all.
        exclude: uids that get into no pool.
        shards: Names from `expand`. With them, rows whose pair is in none of the shards (a table made from
            metadata names such) are in no pool, and the pools say how many such rows each would have had.
        index_cache: Folder in which the index of the shards is kept.
        progress: Called with (shards looked through, shards) after each.
        workers: Processes that look through shards; 0 is this one.

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
    conditions = parse_conditions(keep)
    source = open_scores(Path(scores), by, [condition.name for condition in conditions])
    folder = Path(out)
    made_of = _digest(source, [rising, falling, digest_of(exclude)], conditions, shards)
    with folder_lock(folder):
        done = claim(folder, {"made_of": made_of}, "replace", record=POOLS_FILE)
        if done is None or not all((folder / name).exists() for name in (TABLE_FILE, QUARANTINE_FILE)):
            (folder / POOLS_FILE).unlink(missing_ok=True)  # it says that all is done
            with RowStore(folder, source.num_rows) as rows:
                _read(source, conditions, exclude, rows)
                found = uids_in(shards, index_cache, progress, workers=workers) if shards else None
                counts = rows.settle(found)
                if not counts[IN]:
                    raise InputError(_nothing_left(counts, conditions))
                cuts = _cuts(rows, counts, names, rising, falling)
                absent, refused = _write_table(folder / TABLE_FILE, source, rows, cuts)
                _write_rejects(folder / QUARANTINE_FILE, source, rows, refused)
            content = {
                "schema": "thresher.pools",
                "version": 1,
                "by": source.column,
                "edges": rising,
                "thresholds": falling,
                **({"keep": [str(condition) for condition in conditions]} if keep else {}),
                "pools": [_record(pool, absent[pool.rank] if shards else None) for pool in cuts.pools],
                "dropped": _dropped(counts, cuts, conditions),
                "made_of": made_of,
            }
            write_json(folder / POOLS_FILE, content)
    return load_pools(folder)


def _digest(
    source: ScoreTable, settings: list[Any], conditions: Sequence[Condition], shards: Sequence[str]
) -> str:
    """Stands for everything that the pools follow from."""
    made_of = [source.digest, *settings]
    if conditions:
        made_of.append([list(map(str, conditions)), source.others])
    if shards:
        made_of.append(state_of(shards))
    return digest(*made_of)


def _read(
    source: ScoreTable, conditions: Sequence[Condition], exclude: frozenset[str], rows: RowStore
) -> None:
    """Put every row of the table into the store, with what can be said of it alone."""
    listed = pa.array(sorted(exclude), pa.string())
    for number, start, table in source.batches("uid", *source.others):
        excluded = pc.is_in(table.column("uid"), value_set=listed).to_numpy(zero_copy_only=False)
        scored = usable(source.folder / source.parts[number], table, start, without=excluded)
        fates = np.where(scored, IN, NO_SCORE).astype(np.uint8)
        for place in reversed(range(len(conditions))):
            holds = conditions[place].holds(table.column(source.others[place]))
            fates[scored & ~holds] = CONDITION + place
        fates[excluded] = EXCLUDED
        scores = table.column("score").to_numpy(zero_copy_only=False).astype(np.float32)
        rows.add(uid_words(table.column("uid")), keys_of(scores), fates)


def _cuts(
    rows: RowStore,
    counts: npt.NDArray[np.int64],
    names: Sequence[str],
    edges: Sequence[float],
    thresholds: Sequence[float],
) -> _Cuts:
    num_in = int(counts[IN])
    ends = ends_of_edges(edges, num_in) if edges else ends_of_thresholds(thresholds, rows.keys())
    starts = [0, *ends[:-1]]
    lasts = [end - 1 for end in ends]
    places = [place for place in sorted({*starts, *lasts, 0, num_in - 1}) if 0 <= place < num_in]
    at = dict(zip(places, keys_at(rows.keys, places), strict=True))
    score = {place: float(scores_of(np.array([key], np.uint32))[0]) for place, (key, _) in at.items()}
    for name, start, end in zip(names, starts, ends, strict=True):
        if start == end:
            gone = f", and {counts[ABSENT]} rows are of pairs in no shard" if counts[ABSENT] else ""
            raise InputError(
                f"pool {name} would be empty: {num_in} pairs are cut, whose scores go from "
                f"{decimal(score[num_in - 1], 3)} to {decimal(score[0], 3)}{gone}; "
                f"{'cut fewer pools' if edges else 'move the thresholds'}"
                f"{', or name the shards that the scores are of' if gone else ''}"
            )
    pools = [
        Pool(name, rank, last + 1 - start, score[last], score[start])
        for rank, (name, start, last) in enumerate(zip(names, starts, lasts, strict=True))
    ]
    cuts = [(at[last][0], last + 1 - at[last][1]) for last in lasts]
    below = f"below the last {'edge' if edges else 'threshold'} ({decimal([*edges, *thresholds][-1])})"
    return _Cuts(tuple(pools), tuple(cuts), below)


def _record(pool: Pool, absent: int | None) -> dict[str, Any]:
    """What `pools.json` says of a pool."""
    record = asdict(pool)
    del record["absent"]
    return record if absent is None else {**record, "absent": absent}


def _dropped(
    counts: npt.NDArray[np.int64], cuts: _Cuts, conditions: Sequence[Condition]
) -> list[dict[str, Any]]:
    """How many rows are in no pool, by reason."""
    below = int(counts[IN]) - sum(pool.num_samples for pool in cuts.pools)
    reasons = {**({cuts.below: below} if below else {}), **_refused(counts, conditions)}
    return [{"reason": reason, "count": count} for reason, count in reasons.items()]


def _refused(counts: npt.NDArray[np.int64], conditions: Sequence[Condition]) -> dict[str, int]:
    """Why rows may be in no pool -> how many."""
    reasons = REASONS | {CONDITION + place: f"not {condition}" for place, condition in enumerate(conditions)}
    return {reason: int(counts[fate]) for fate, reason in reasons.items() if counts[fate]}


def _nothing_left(counts: npt.NDArray[np.int64], conditions: Sequence[Condition]) -> str:
    """Why no row may be in a pool, and what to do about what takes most."""
    told = ", ".join(f"{count:,}: {reason}" for reason, count in _refused(counts, conditions).items())
    most = min(int(counts.argmax()), CONDITION)
    remedy = _REMEDIES.get(most, "score again") if told else "score shards that hold pairs"
    return f"no pair is left to cut ({told or 'the scores hold no row'}); {remedy}"


def _write_table(
    path: Path, source: ScoreTable, rows: RowStore, cuts: _Cuts
) -> tuple[npt.NDArray[np.int64], list[_Refused]]:
    """Write the rows that are in a pool, in input order.

    What comes back: for each pool how many absent rows it would have, and the parts with rows to list.
    """
    ranks = Ranks(cuts.cuts)
    absent = np.zeros(len(cuts.pools) + 1, dtype=np.int64)
    refused: list[_Refused] = []
    done = 0
    with table_writer(path, TABLE_SCHEMA) as add:
        for number, start, table in source.batches("uid", "key", "shard", "caption"):
            found = rows.rows(done, table.num_rows)
            inside = found["fate"] == IN
            pool = np.full(table.num_rows, -1, dtype=np.int16)
            pool[inside] = ranks.of(found["key"][inside])
            absent += np.bincount(ranks.by_key(found["key"][found["fate"] == ABSENT]), minlength=len(absent))
            if (pool >= 0).any():
                add(table.append_column("pool", pa.array(pool)).filter(pa.array(pool >= 0)))
            if np.isin(found["fate"], _LISTED).any() and (not refused or refused[-1].number != number):
                refused.append(_Refused(table.column("shard")[0].as_py(), number, done - start))
            done += table.num_rows
    return absent, refused


def _write_rejects(path: Path, source: ScoreTable, rows: RowStore, refused: Sequence[_Refused]) -> None:
    """A quarantine row for each excluded, repeated and absent pair; `offset` is its row in the part.

    They stand by shard, then by row; where a part holds several shards, part by part.
    """
    with table_writer(path, QUARANTINE_SCHEMA) as add:
        for part in sorted(refused, key=lambda part: (part.shard, part.number)):
            pieces = []
            for start, table in source.part_batches(part.number, "uid", "key", "shard"):
                first = part.first_row + start
                fates = rows.rows(first, table.num_rows)["fate"]
                places = np.flatnonzero(np.isin(fates, _LISTED))
                reasons = [REASONS[fate] for fate in fates[places].tolist()]
                for number in np.flatnonzero(fates[places] == DUPLICATE).tolist():
                    earlier = source.part_of(rows.first_of(first + int(places[number])))
                    reasons[number] += f": an earlier pair has it (in part {earlier.name})"
                stages = ["exclude" if fate == EXCLUDED else "cut" for fate in fates[places].tolist()]
                columns = {
                    name: table.column(name).take(pa.array(places)) for name in ("shard", "key", "uid")
                }
                columns |= {"stage": stages, "reason": reasons, "offset": start + places}
                pieces.append(pa.table(columns, QUARANTINE_SCHEMA))
            listed = pa.concat_tables(pieces)
            add(listed.sort_by([("shard", "ascending"), ("offset", "ascending")]))
