"""`thresher score` and `thresher cut`: pairs to scores to pools."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from thresher.cli.executors import Executor, RayAddress
from thresher.cli.filled import rate_of, record_of, text_of
from thresher.cli.guard import UNDONE
from thresher.cli.options import Device, Exclude, Json, Shards, Workers, given, numbers
from thresher.cli.output import show, show_json, warn
from thresher.cli.progress import bar
from thresher.display.blocks import columns, number


def score(
    shards: Shards,
    out: Annotated[Path, typer.Option(metavar="SCORES", help="Folder for the scores.")],
    scorer: Annotated[
        list[str],
        typer.Option(
            metavar="NAME[:key=value,...]",
            help="A scorer with its options: caption; clip with model, pretrained, device, batch_size and "
            "precision; dfn with network; image with feature; basic with language; laion with those of clip "
            "and language; tmars with those of clip, boxes and side; text_free with boxes and side. "
            "as=COLUMN renames its column. Repeat it for more columns.",
        ),
    ],
    device: Device = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, metavar="PAIRS", help="Pairs a forward pass.  [default: the scorer's own]"),
    ] = None,
    workers: Workers = 2,
    executor: Executor = "local",
    ray_address: RayAddress = None,
    exclude: Exclude = None,
    as_json: Json = False,
) -> None:
    """Score every pair of the shards.

    The result has one row a pair and one column a scorer. `clip` is the cosine of image and caption under an
    open_clip model (a registry name with a pretrained tag, or a checkpoint file), `caption` a statistic of
    the caption's text, `image` one of the image (size, aspect, sharpness, entropy, share that varies),
    `basic` 1 where DataComp's basic filter keeps the pair, and `laion` the cosine of English pairs, to be cut
    at 0.28; in all, higher is better. Images are decoded once for all scorers, in worker processes while the
    model computes. A clip or laion scorer without `pretrained` has random weights, good for
    measuring speed and nothing else; a warning says so.

    Reads the shards and leaves them as they are. Writes one Parquet table a shard into SCORES/parts and
    SCORES/scores.json. Called again, it goes on with the shards that are not finished; scores that were made
    by another model or of changed shards are refused.

    A pair that cannot be read or decoded goes to a quarantine table beside its shard's scores, with key,
    stage and reason, and the others go on. A shard of which nothing can be read, or that changes meanwhile,
    is named, and the exit code is 1.

    With --executor ray whole shards go to the workers of a cluster, each with --workers processes that
    decode; every node needs Thresher and the shards, by the same paths or addresses.

    Examples:
        thresher score 'shards/{00000..00099}.tar' --out scores --scorer caption
        thresher score pool.csv --out scores --scorer clip:model=ViT-B-32,pretrained=laion2b_s34b_b79k
        thresher score shards --out scores --scorer clip:model=ViT-S-32,pretrained=dfn.pt,as=dfn
        thresher score s3://pool --out scores --scorer caption --executor ray --ray-address head:6379
    """
    from thresher.data.exclude import read_exclude
    from thresher.data.shards import expand
    from thresher.scores import parse_scorer
    from thresher.scores.score import score_shards
    from thresher.scores.spec import is_random

    options = {"device": device, "batch_size": batch_size}
    defaults = {key: str(value) for key, value in options.items() if value is not None}
    specs = [parse_scorer(text, defaults) for text in scorer]
    excluded, named = read_exclude(exclude), expand(shards)
    with bar("score") as step:
        summary = score_shards(
            named,
            out,
            specs,
            exclude=excluded,
            workers=workers,
            executor=executor,
            ray_address=ray_address,
            progress=lambda at: step(at.shards_done, at.num_shards, rate_of(at)),
        )
    random = [
        f"the column {spec.column} comes from random weights and means nothing; give the scorer "
        f"{spec.name} pretrained=TAG or pretrained=FILE"
        for spec in specs
        if is_random(spec)
    ]
    summary = replace(summary, status=(*summary.status, *random))
    warn(summary.status)
    if as_json:
        show_json(record_of(out, summary))
    else:
        show(text_of(out, summary, have="scores", did="scored"))
    if summary.incomplete:
        raise typer.Exit(UNDONE)


def cut(
    scores: Annotated[
        Path, typer.Argument(metavar="SCORES", help="Folder that `thresher score` has filled.")
    ],
    by: Annotated[
        str,
        typer.Option(metavar="COLUMN", help="Column to rank by, higher is better; or the name of a scorer."),
    ],
    out: Annotated[Path, typer.Option(metavar="POOLS", help="Folder for the pools.")],
    edges: Annotated[
        str | None,
        typer.Option(
            metavar="SHARES",
            help="Where to cut, as rising shares of the pairs: 0.1,0.2 makes the pools 0-10% and 10-20%.",
        ),
    ] = None,
    thresholds: Annotated[
        str | None,
        typer.Option(
            metavar="SCORES", help="Lowest score of each pool, falling, in place of --edges: 0.30,0.28."
        ),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN>=NUMBER",
            help="Cut only the pairs that meet this, such as 'basic>=1' (also <=, > and <; in quotes); "
            "repeat it for several columns.",
        ),
    ] = None,
    shards: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SHARDS",
            help="Cut only the pairs that are in these shards, where the scores come from metadata that "
            "names more; says how many are not there.",
        ),
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder that keeps the index of the shards for the next time."),
    ] = None,
    exclude: Exclude = None,
    as_json: Json = False,
) -> None:
    """Cut the scored pairs into quality pools, best first.

    Every pair lands in exactly one pool or in none (below the last edge, excluded, or a uid that stood
    before); ties keep the order of the input. A score that is NaN is refused, with its row.

    One column ranks (--by), others can choose (--keep): with --keep 'basic>=1' the pairs that fail it are in
    no pool, and --edges are shares of those that meet it. With --shards, pools are sized by the pairs that
    are there, and a warning for each pool says how many the scores name besides.

    Reads the score table, and the shards where they are named. Writes POOLS/pools.parquet (a row a pair: uid,
    score, pool, key, shard, caption), POOLS/pools.json (names, sizes and score ranges of the pools) and
    POOLS/quarantine.parquet. Pools that were cut otherwise before are replaced.

    Examples:
        thresher cut scores --by clip --edges 0.1,0.2,0.3,0.4 --out pools
        thresher cut scores --by clip --thresholds 0.30,0.28,0.25 --exclude optouts.txt --out pools
        thresher cut scores --by clip --keep 'basic>=1' --edges 0.3 --shards 'shards/*.tar' --out pools
    """
    from thresher import pools
    from thresher.data.exclude import read_exclude
    from thresher.data.shards import expand
    from thresher.pools.record import POOLS_FILE

    with bar("cut") as step:
        made = pools.cut(
            scores,
            by=by,
            out=out,
            edges=numbers(edges, "--edges") if edges is not None else (),
            thresholds=numbers(thresholds, "--thresholds") if thresholds is not None else (),
            keep=given(keep),
            exclude=read_exclude(exclude),
            shards=expand(shards) if shards else (),
            index_cache=index,
            workers=2,
            progress=lambda done, total: step(done, total, "shards looked through"),
        )
    warn(made.missing)
    if as_json:
        show_json(json.loads((made.folder / POOLS_FILE).read_bytes()))
        return
    rows = [
        (pool.name, f"{pool.num_samples:,}", number(pool.score_min), number(pool.score_max))
        for pool in made.pools
    ]
    show(columns(("pool", "pairs", f"lowest {made.by}", "highest"), rows))
    for reason, count in made.dropped:
        show(f"{count:,} pairs in no pool: {reason}")
