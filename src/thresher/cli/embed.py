"""`thresher embed`: a model's embeddings of every pair, stored for batch selection."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from thresher.cli.options import Device, Dtype, Exclude, Executor, Json, RayAddress, Shards, Workers, option
from thresher.cli.progress import bar
from thresher.cli.text import answer, folder_record, folder_text, rate_of


def embed(
    shards: Shards,
    model: Annotated[str, option("NAME", "An open_clip model, or local-dir:FOLDER of a checkpoint folder.")],
    out: Annotated[Path, option("EMBEDDINGS", "Folder for the embeddings.")],
    pretrained: Annotated[
        str | None, option("TAG|FILE", "Weights of a named model: a tag of open_clip, or a checkpoint.")
    ] = None,
    dtype: Dtype = "fp16",
    device: Device = "auto",
    batch_size: Annotated[int, option("PAIRS", "Pairs a forward pass.", min=1)] = 64,
    precision: Annotated[
        str,
        option(
            "auto|fp32|bf16",
            "Precision of the forward pass; auto takes bf16 where the hardware multiplies it.",
        ),
    ] = "auto",
    workers: Workers = 2,
    executor: Executor = "local",
    ray_address: RayAddress = None,
    exclude: Exclude = None,
    as_json: Json = False,
) -> None:
    """Store a model's embeddings of every pair.

    Joint selection needs a reference model's embeddings of every candidate at every step. They depend on the
    pair alone, so they are computed once, here, and `thresher train` looks them up by uid. Images are
    preprocessed as in evaluation, without augmentation.

    Reads the shards and leaves them as they are. Writes two files a shard into EMBEDDINGS/parts, the vectors
    of images and texts and their uids, and EMBEDDINGS/embeddings.json. Called again, it continues with
    the unfinished shards; embeddings by another model, preprocessing, precision or dtype, or of
    changed shards, are refused.

    A pair that cannot be read or decoded goes to a quarantine table beside its shard's part. A shard of
    which nothing can be read, or that changes meanwhile, is named, and the exit code is 1.

    With --executor ray whole shards go to the workers of a cluster, each with --workers processes that
    decode; every node needs Thresher, the model's files and the shards, by the same paths or addresses.

    Examples:
        thresher embed 'shards/{00000..00099}.tar' --model local-dir:work/reference --out work/embeddings
        thresher embed shards --model ViT-B-32 --pretrained laion2b_s34b_b79k --dtype int8 --out b32
    """
    from thresher.data.exclude import read_exclude
    from thresher.data.patterns import expand
    from thresher.scores.embeddings.embed import embed_shards

    excluded, named = read_exclude(exclude), expand(shards)
    with bar("embed") as step:
        summary = embed_shards(
            *(named, model, out),
            pretrained=pretrained,
            dtype=dtype,
            device=device or "auto",
            batch_size=batch_size,
            precision=precision,
            exclude=excluded,
            workers=workers,
            executor=executor,
            ray_address=ray_address,
            progress=lambda at: step(at.shards_done, at.num_shards, rate_of(at)),
        )
    if pretrained is None and not model.startswith(("local-dir:", "hf-hub:")):
        random = f"{model} has random weights, and its embeddings mean nothing; give --pretrained"
        summary = replace(summary, status=(*summary.status, random))
    text = folder_text(out, summary, have="embeddings", did="embedded")
    answer(folder_record(out, summary), text, as_json, warnings=summary.status, undone=summary.incomplete)
