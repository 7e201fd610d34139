"""`thresher filter-network`: a small model of what good pairs look like."""

from pathlib import Path
from typing import Annotated

from thresher.cli.options import Device, Exclude, Json, argument, flag, from_key, option, override
from thresher.cli.progress import is_first_rank, sentences
from thresher.cli.text import answer
from thresher.train.settings import Filter


def filter_network(
    curated: Annotated[
        list[str], argument("CURATED", "Shards of pairs known to be good; patterns in quotes.")
    ],
    out: Annotated[Path, option("NETWORK", "Folder for the network.")],
    samples_seen: Annotated[str, from_key(Filter, "samples_seen", "SAMPLES")],
    model: Annotated[str | None, from_key(Filter, "model", "NAME")] = None,
    batch_size: Annotated[int | None, from_key(Filter, "batch_size", "PAIRS", min=2)] = None,
    lr: Annotated[float | None, from_key(Filter, "lr", "RATE")] = None,
    flip: Annotated[
        bool | None, flag("--flip", "Mirror half of the images (captions must not name sides).")
    ] = None,
    crop: Annotated[int | None, from_key(Filter, "crop", "PIXELS", min=0)] = None,
    seed: Annotated[int | None, from_key(Filter, "seed", "N", min=0)] = None,
    device: Device = None,
    exclude: Exclude = None,
    as_json: Json = False,
) -> None:
    """Train a data filtering network on curated pairs.

    A small model trained on few pairs that are known to be good separates good from bad pairs better than a
    larger one trained on everything. The network is an ordinary open_clip checkpoint; the scorer `dfn` ranks
    a pool by it (`thresher score SHARDS --scorer dfn:network=NETWORK`). The section [filter] of a config does
    the same as a stage of `thresher run`.

    Reads the shards. Writes NETWORK, with decoded images in NETWORK/cache. A run that was stopped
    continues from its last checkpoint; a network trained with other settings is refused.

    Examples:
        thresher filter-network 'curated/*.tar' --samples-seen 12.8M --out dfn
        thresher filter-network hq.parquet --samples-seen 4M --model local-dir:dfn --out tuned
    """
    from thresher.budget import parse_count
    from thresher.data.exclude import read_exclude

    section = override(
        Filter,
        None,
        shards=tuple(curated),
        samples_seen=parse_count(samples_seen),
        model=model,
        batch_size=batch_size,
        lr=lr,
        flip=flip,
        crop=crop,
        seed=seed,
    )
    excluded = read_exclude(exclude)

    from thresher.models.towers import resolve_device
    from thresher.train.stage import train_network

    with sentences("filter-network") as progress:
        folder = train_network(
            section,
            out,
            device=resolve_device(device or "auto"),
            cache=out / "cache",
            exclude=excluded,
            progress=progress,
        )
    if is_first_rank():
        text = f"network: {folder}\nto rank pairs by it: thresher score SHARDS --scorer dfn:network={folder}"
        answer({"network": str(folder)}, text, as_json)
