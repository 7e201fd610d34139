"""`thresher cut`: cuts scores into quality pools."""

import json
from pathlib import Path
from typing import Annotated

from thresher.cli.options import Exclude, Index, Json, argument, as_tuple, numbers, option
from thresher.cli.progress import bar
from thresher.cli.text import answer
from thresher.tables import columns, number


def cut(
    scores: Annotated[Path, argument("SCORES", "Folder that `thresher score` has filled.")],
    by: Annotated[str, option("COLUMN", "Column to rank by, higher is better; or the name of a scorer.")],
    out: Annotated[Path, option("POOLS", "Folder for the pools.")],
    edges: Annotated[
        str | None,
        option(
            "SHARES", "Where to cut, as rising shares of the pairs: 0.1,0.2 makes the pools 0-10% and 10-20%."
        ),
    ] = None,
    thresholds: Annotated[
        str | None, option("SCORES", "Lowest score of each pool, falling, in place of --edges: 0.30,0.28.")
    ] = None,
    keep: Annotated[
        list[str] | None,
        option(
            "COLUMN>=NUMBER",
            "Cut only the pairs that meet this, such as 'basic>=1' (also <=, > and <; in quotes); "
            "repeat it for several columns.",
        ),
    ] = None,
    shards: Annotated[
        list[str] | None,
        option(
            "SHARDS",
            "Cut only the pairs that are in these shards, where the scores come from metadata that "
            "names more; says how many are not there.",
        ),
    ] = None,
    index: Index = None,
    exclude: Exclude = None,
    as_json: Json = False,
) -> None:
    """Cut the scored pairs into quality pools, best first.

    Every pair lands in exactly one pool or in none (below the last edge, excluded, or with a uid that an
    earlier pair has); ties keep the order of the input. A score that is NaN is refused, with its row.

    One column ranks (--by), others can filter (--keep): with --keep 'basic>=1' the pairs that fail it are in
    no pool, and --edges are shares of the pairs that pass. With --shards, pools hold only pairs that are in
    the shards, and a warning for each pool counts the pairs that are not.

    Reads the score table, and the shards where they are named. Writes POOLS/pools.parquet (a row a pair: uid,
    score, pool, key, shard, caption), POOLS/pools.json (names, sizes and score ranges of the pools) and
    POOLS/quarantine.parquet. Earlier pools in POOLS are replaced.

    Examples:
        thresher cut scores --by clip --edges 0.1,0.2,0.3,0.4 --out pools
        thresher cut scores --by clip --thresholds 0.30,0.28,0.25 --exclude optouts.txt --out pools
        thresher cut scores --by clip --keep 'basic>=1' --edges 0.3 --shards 'shards/*.tar' --out pools
    """
    from thresher.curate.pools.cut import cut as cut_pools
    from thresher.curate.pools.record import POOLS_FILE
    from thresher.data.exclude import read_exclude
    from thresher.data.patterns import expand

    with bar("cut") as step:
        made = cut_pools(
            scores,
            by=by,
            out=out,
            edges=numbers(edges, "--edges") if edges is not None else (),
            thresholds=numbers(thresholds, "--thresholds") if thresholds is not None else (),
            keep=as_tuple(keep),
            exclude=read_exclude(exclude),
            shards=expand(shards) if shards else (),
            index_cache=index,
            workers=2,
            progress=lambda done, total: step(done, total, "shards looked through"),
        )
    rows = [
        (pool.name, f"{pool.num_samples:,}", number(pool.score_min), number(pool.score_max))
        for pool in made.pools
    ]
    lines = [columns(("pool", "pairs", f"lowest {made.by}", "highest"), rows)]
    lines += [f"{drop.count:,} pairs in no pool: {drop.reason}" for drop in made.dropped]
    record = json.loads((made.folder / POOLS_FILE).read_bytes())
    answer(record, "\n".join(lines), as_json, warnings=made.missing)
