"""`thresher import-embeddings`: vectors that others computed; it never loads torch."""

from pathlib import Path
from typing import Annotated

from thresher.cli.import_scores import Key, PairShards, Uid, answer_import
from thresher.cli.options import Dtype, Json, argument, option
from thresher.cli.progress import bar


def import_embeddings(
    sources: Annotated[
        list[str],
        argument(
            "SOURCES", "DataComp's metadata (.parquet with .npz beside), or output folders of clip-retrieval."
        ),
    ],
    out: Annotated[Path, option("EMBEDDINGS", "Folder for the embeddings.")],
    vectors: Annotated[
        str, option("l14|b32|NAME", "Which of DataComp's vectors; NAME stands for NAME_img and NAME_txt.")
    ] = "l14",
    model: Annotated[
        str | None, option("NAME", "Model that made the vectors.  [default: known for l14 and b32]")
    ] = None,
    pretrained: Annotated[str | None, option("TAG", "Weights of the model.")] = None,
    dtype: Dtype = "fp16",
    scale: Annotated[
        float, option("FACTOR", "Factor of the cosines in the model's loss; 100 for OpenAI's and LAION's.")
    ] = 100.0,
    bias: Annotated[float, option("NUMBER", "What the loss adds to them; 0 but for sigmoid losses.")] = 0.0,
    uid: Uid = None,
    key: Key = None,
    shards: PairShards = None,
    as_json: Json = False,
) -> None:
    """Import embeddings that others computed.

    Reads the vectors of DataComp, and those of clip-retrieval. DataComp's metadata has an .npz beside each
    .parquet, and row n of one is row n of the other; files with different numbers of rows are named and
    skipped. clip-retrieval names its pairs by image_path, which only the shards resolve to uids: give
    --shards, and --model, since its files do not say which one it was.

    Writes a folder of embeddings as `thresher embed` does, for selection during training, deduplication and
    balancing. Pickles are not read. Called again, it continues with what is unfinished.

    A row without a uid, about a pair that the shards do not hold, with a uid that an earlier row has, or with
    a vector of zeros or NaN goes to the quarantine with its reason. A file that cannot be read is named, and
    the exit code is 1.

    Examples:
        thresher import-embeddings metadata --out l14
        thresher import-embeddings metadata --vectors b32 --dtype int8 --out b32
        thresher import-embeddings embeddings --model ViT-B-32 --shards 'shards/{00000..00099}.tar' --out b32
    """
    from thresher.data.patterns import expand
    from thresher.scores.imported.embeddings import import_embeddings as run

    with bar("import") as step:
        made = run(
            sources,
            out,
            vectors=vectors,
            model=model,
            pretrained=pretrained,
            dtype=dtype,
            scale=scale,
            bias=bias,
            uid=uid,
            key=key,
            shards=expand(shards) if shards else (),
            progress=lambda done, total, pairs: step(done, total, f"{pairs:,} pairs"),
        )
    facts = {"model": made.model, "fingerprint": made.fingerprint, "dim": made.dim}
    what = f"embeddings of {made.dim} dimensions by {made.model}"
    answer_import(out, made.filled, what, facts, made.status, as_json)
