"""`thresher score`: one row a pair, one column a scorer."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from thresher.cli.options import Device, Exclude, Executor, Json, RayAddress, Shards, Workers, option
from thresher.cli.progress import bar
from thresher.cli.text import answer, folder_record, folder_text, rate_of


def score(
    shards: Shards,
    out: Annotated[Path, option("SCORES", "Folder for the scores.")],
    scorer: Annotated[
        list[str],
        option(
            "NAME[:key=value,...]",
            "A scorer with its options: caption; clip with model, pretrained, device, batch_size and "
            "precision; dfn with network; image with feature; basic with language; laion with those of clip "
            "and language; tmars with those of clip, boxes and side; text_free with boxes and side. "
            "as=COLUMN renames its column. Repeat it for more columns.",
        ),
    ],
    device: Device = None,
    batch_size: Annotated[
        int | None, option("PAIRS", "Pairs a forward pass.  [default: the scorer's own]", min=1)
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

    Reads the shards and does not change them. Writes one Parquet table a shard into SCORES/parts, and
    SCORES/scores.json. Called again, it continues with the unfinished shards; scores that were made by
    another model or from changed shards are refused.

    A pair that cannot be read or decoded goes to a quarantine table beside its shard's scores, with key,
    stage and reason; the others are scored. A shard that cannot be read at all, or that changes meanwhile, is
    named, and the exit code is 1.

    With --executor ray whole shards go to the workers of a cluster, each with --workers processes that
    decode; every node needs Thresher and the shards, by the same paths or addresses.

    Examples:
        thresher score 'shards/{00000..00099}.tar' --out scores --scorer caption
        thresher score pool.csv --out scores --scorer clip:model=ViT-B-32,pretrained=laion2b_s34b_b79k
        thresher score shards --out scores --scorer clip:model=ViT-S-32,pretrained=dfn.pt,as=dfn
        thresher score s3://pool --out scores --scorer caption --executor ray --ray-address head:6379
    """
    from thresher.data.exclude import read_exclude
    from thresher.data.patterns import expand
    from thresher.scores.registry import parse_scorer
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
    text = folder_text(out, summary, have="scores", did="scored")
    answer(folder_record(out, summary), text, as_json, warnings=summary.status, undone=summary.incomplete)
