"""`thresher import-scores` and `thresher import-embeddings`: what others computed; they never load torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thresher.cli.filled import quarantine_lines
from thresher.cli.guard import UNDONE
from thresher.cli.options import Json, given
from thresher.cli.output import show, show_json, warn
from thresher.cli.progress import bar

if TYPE_CHECKING:
    from thresher.importers.pieces import Filled


Uid = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Column of the uids (32 hexadecimal digits).  [default: uid]"),
]
Key = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="Column of keys or image paths, in place of uids; needs --shards.  [default: key or image_path, "
        "where there is no uid]",
    ),
]
PairShards = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SHARDS",
        help="Shards of the pairs: rows about other pairs are left out, and pairs without a row are counted.",
    ),
]


def import_scores(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCES", help="Parquet files, or folders of them; patterns in quotes."),
    ],
    out: Annotated[Path, typer.Option(metavar="SCORES", help="Folder for the scores.")],
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]COLUMN",
            help="A column of scores, and what to call it. Repeat it.  [default: DataComp's CLIP scores "
            "where they are there, else every column of floating-point numbers]",
        ),
    ] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            metavar="basic|laion",
            help="A published filter applied to the columns that are there: a column of 1 (kept) and 0.",
        ),
    ] = None,
    carry: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Another column to keep as it is, such as sha256."),
    ] = None,
    uid: Uid = None,
    key: Key = None,
    shards: PairShards = None,
    first: Annotated[
        bool,
        typer.Option(
            "--first",
            help="Of rows of one uid with other scores take the first; else they are refused.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Import scores that others computed, from Parquet files.

    Nobody should compute a published score again. Reads DataComp's metadata (uid, text,
    clip_l14_similarity_score, ...), the tables that img2dataset leaves beside its shards, and any Parquet
    file with a column of uids. Rows find their pair by uid, or by a key that the shards resolve; their order
    means nothing.

    Writes a folder of scores as `thresher score` does: one or several Parquet tables a file into
    SCORES/parts, and SCORES/scores.json. Called again, it goes on with what is not finished; files that
    changed and other columns are refused.

    A row without a uid or a score, about a pair that the shards do not hold, or whose uid stood in the file
    before goes to the quarantine with its reason. A file that cannot be read is named, and the exit code
    is 1.

    Examples:
        thresher import-scores metadata --out scores
        thresher import-scores metadata --column clip=clip_l14_similarity_score --shards shards --out scores
        thresher import-scores 'metadata/*.parquet' --rule basic --carry sha256 --out scores
    """
    from thresher.data.shards import expand
    from thresher.importers.score_tables import import_scores as run

    with bar("import") as step:
        made = run(
            sources,
            out,
            columns=given(column),
            rules=given(rule),
            carry=given(carry),
            uid=uid,
            key=key,
            shards=expand(shards) if shards else (),
            first=first,
            progress=lambda done, total, pairs: step(done, total, f"{pairs:,} pairs"),
        )
    warn(made.status)
    if as_json:
        record = _record(out, made.filled, made.status)
        show_json(record | {"columns": list(made.columns), "pairs_without_a_row": made.filled.missing})
    else:
        show(_text(out, made.filled, f"scores ({', '.join(made.columns)})"))
    if made.filled.incomplete:
        raise typer.Exit(UNDONE)


import_scores.__name__ = "import-scores"  # the name of the command


def import_embeddings(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCES",
            help="DataComp's metadata (.parquet with .npz beside), or output folders of clip-retrieval.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="EMBEDDINGS", help="Folder for the embeddings.")],
    vectors: Annotated[
        str,
        typer.Option(
            metavar="l14|b32|NAME", help="Which of DataComp's vectors; NAME stands for NAME_img and NAME_txt."
        ),
    ] = "l14",
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Model that made the vectors.  [default: known for l14 and b32]"),
    ] = None,
    pretrained: Annotated[str | None, typer.Option(metavar="TAG", help="Weights of the model.")] = None,
    dtype: Annotated[
        str,
        typer.Option(metavar="fp16|int8", help="Form of the stored vectors; int8 takes half the space."),
    ] = "fp16",
    scale: Annotated[
        float,
        typer.Option(
            metavar="FACTOR",
            help="Factor of the cosines in the model's loss; 100 for OpenAI's and LAION's.",
        ),
    ] = 100.0,
    bias: Annotated[
        float, typer.Option(metavar="NUMBER", help="What the loss adds to them; 0 but for sigmoid losses.")
    ] = 0.0,
    uid: Uid = None,
    key: Key = None,
    shards: PairShards = None,
    as_json: Json = False,
) -> None:
    """Import embeddings that others computed.

    Reads the vectors of DataComp, and those of clip-retrieval. DataComp's metadata has an .npz beside each
    .parquet, and row n of one is row n of the other: files whose numbers of rows differ are named and not
    taken. clip-retrieval names its pairs by image_path, which only the shards resolve to uids: give --shards,
    and --model, since its files do not say which one it was.

    Writes a folder of embeddings as `thresher embed` does, for the selection while training, deduplication
    and balancing. Pickles are not read. Called again, it goes on with what is not finished.

    A row without a uid, about a pair that the shards do not hold, whose uid stood in the file before, or with
    a vector of zeros or NaN goes to the quarantine with its reason. A file that cannot be read is named, and
    the exit code is 1.

    Examples:
        thresher import-embeddings metadata --out l14
        thresher import-embeddings metadata --vectors b32 --dtype int8 --out b32
        thresher import-embeddings embeddings --model ViT-B-32 --shards 'shards/{00000..00099}.tar' --out b32
    """
    from thresher.data.shards import expand
    from thresher.importers.embedding_files import import_embeddings as run

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
    warn(made.status)
    if as_json:
        record = _record(out, made.filled, made.status)
        facts = {"model": made.model, "fingerprint": made.fingerprint, "dim": made.dim}
        show_json(record | facts | {"pairs_without_a_row": made.filled.missing})
    else:
        show(_text(out, made.filled, f"embeddings of {made.dim} dimensions by {made.model}"))
    if made.filled.incomplete:
        raise typer.Exit(UNDONE)


import_embeddings.__name__ = "import-embeddings"  # the name of the command


def _record(out: Path, filled: "Filled", status: tuple[str, ...]) -> dict[str, object]:
    """The summary for programs."""
    return {
        "out": str(out),
        "files": filled.files,
        "rows": filled.rows,
        "pairs": filled.pairs,
        "quarantined": filled.quarantined,
        "quarantine": dict(filled.quarantine),
        "unreadable": dict(filled.unreadable),
        "this_run": {"pairs": filled.new_pairs, "seconds": round(filled.seconds, 3)},
        "status": list(status),
    }


def _text(out: Path, filled: "Filled", what: str) -> str:
    """The summary for people."""
    lines = [f"{filled.pairs:,} pairs of {filled.files:,} files have {what} in {out}"]
    if filled.new_pairs:
        rate = filled.new_pairs / max(filled.seconds, 1e-9)
        lines.append(
            f"this run imported {filled.new_pairs:,} pairs in {filled.seconds:.1f} s ({rate:,.0f} pairs/s)"
        )
    lines += quarantine_lines(filled.quarantined, filled.quarantine)
    return "\n".join(lines)
