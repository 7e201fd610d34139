"""`thresher subset`: writes the pairs that a plan chose."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from thresher.cli.options import (
    DeviceFlops,
    Exclude,
    Executor,
    FlopsPerSample,
    Index,
    Json,
    Mfu,
    RayAddress,
    argument,
    option,
    price_of,
)
from thresher.cli.progress import bar
from thresher.cli.text import answer


def subset(
    plan: Annotated[Path, argument("PLAN.json", "Plan that `thresher plan` wrote.")],
    budget: Annotated[
        str, option("BUDGET", "One of the plan's budgets: its samples seen, FLOPs or GPU-hours.")
    ],
    pools: Annotated[Path, option("POOLS", "Folder that `thresher cut` wrote.")],
    out: Annotated[str, option("DIR", "Folder for the subset, or its address (s3://bucket/subset).")],
    format: Annotated[
        str,
        option(
            "FORMAT",
            "npy (uids, as DataComp's resharder reads them), parquet (uid, pool, repeats) or shards "
            "(new tar files).",
        ),
    ] = "npy",
    shards: Annotated[
        list[str] | None, option("SHARDS", "Where the pairs are; needed for --format shards.")
    ] = None,
    candidate: Annotated[
        str | None, option("MIX", "Another candidate of that budget, such as '0-10% + 10-20%'.")
    ] = None,
    pairs_per_shard: Annotated[str, option("PAIRS", "Pairs in each tar file that is written.")] = "10000",
    index: Index = None,
    workers: Annotated[
        int | None,
        option(
            "PROCESSES",
            "Processes that index and write shards; 0 does it one after another here.  [default: 2, "
            "on Ray as many as fit]",
            min=0,
        ),
    ] = None,
    flops_per_sample: FlopsPerSample = None,
    device_flops: DeviceFlops = None,
    mfu: Mfu = None,
    executor: Executor = "local",
    ray_address: RayAddress = None,
    exclude: Exclude = None,
    as_json: Json = False,
) -> None:
    """Write the pairs that the plan chose for a budget.

    The subset holds each pair as often as it is to be drawn. The formats npy and parquet are lists, for
    training from the existing shards. The format shards copies the bytes of each pair into new shards (with
    sizes.json and sample_ids.npy). DIR/meta.json describes the subset and how to train on it with open_clip,
    which is printed as well.

    Reads PLAN.json, POOLS and, for --format shards, the shards. A run that was stopped continues; a folder
    with another subset is refused. In an object store every file is uploaded whole, and files that are there
    unchanged are kept. With --executor ray the workers of a cluster write the shards; every node needs the
    shards and DIR by the same paths or addresses.

    Examples:
        thresher subset plan.json --budget 128M --pools pools --out subset
        thresher subset plan.json --budget 128M --pools pools --out new --format shards --shards 'old/*.tar'
        thresher subset plan.json --budget 128M --pools pools --out s3://b/new --format shards --shards s3://b/old
    """
    from thresher.budget import parse_count
    from thresher.curate.pools.record import load_pools
    from thresher.curate.subset.from_plan import subset_from_plan
    from thresher.data.exclude import read_exclude
    from thresher.data.patterns import expand

    with bar("subset") as step:
        written = subset_from_plan(
            plan,
            budget,
            price=price_of(flops_per_sample, device_flops, mfu),
            pools=pools,
            out=out,
            format=format,
            shards=expand(shards) if shards else (),
            candidate=candidate,
            exclude=read_exclude(exclude),
            pairs_per_shard=parse_count(pairs_per_shard),
            index_cache=index,
            progress=lambda done, total: step(done, total, "shards"),
            executor=executor,
            ray_address=ray_address,
            workers=workers,
        )
    lines = [
        f"{written.num_unique:,} pairs, {written.num_rows:,} samples a pass, as {written.format} in "
        f"{written.folder}\n",
        *written.how_to_train,
    ]
    answer(asdict(written), "\n".join(lines), as_json, warnings=load_pools(pools).missing)
