"""`thresher score-embedded`: scores from stored embeddings."""

from pathlib import Path
from typing import Annotated

from thresher.cli.options import Json, argument, option
from thresher.cli.progress import bar
from thresher.cli.text import answer, folder_record, folder_text
from thresher.tables import rate


def score_embedded(
    embeddings: Annotated[Path, argument("EMBEDDINGS", "Folder that `thresher embed` has filled.")],
    out: Annotated[Path, option("SCORES", "Folder for the scores.")],
    scorer: Annotated[
        list[str],
        option(
            "NAME[:key=value,...]",
            "A scorer with its options: clip; s-clip-loss with batch, repeats, temperature and seed; "
            "normsim with target and p. as=COLUMN renames its column. Repeat it for more columns.",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Score pairs by their embeddings.

    `clip` is the cosine of image and caption, as `thresher score` gives it. `s-clip-loss` subtracts how
    well image and caption fit other pairs, in 10 random batches of 32,768. `normsim` is how near the image
    is to any of a target's images (p=inf), or to the directions in which they vary (p=2); `target` is an
    embeddings folder by the same model. In all, higher is better. No model is loaded and no image is read.

    Reads EMBEDDINGS, and the target. Writes a scores folder as `thresher score` does, for `thresher cut` and
    `thresher combine`. Called again, it continues with the unfinished parts; scores that were made from
    other embeddings or with other options are refused.

    Examples:
        thresher score-embedded b32 --scorer clip --scorer s-clip-loss --out scores
        thresher score-embedded b32 --scorer normsim:target=imagenet-b32 --out scores
    """
    from thresher.scores.of_embeddings import parse_vector_scorer, score_embeddings

    specs = [parse_vector_scorer(text) for text in scorer]
    with bar("score-embedded") as step:
        summary = score_embeddings(
            embeddings,
            out,
            specs,
            progress=lambda at: step(
                round(at.pairs),
                at.num_pairs,
                f"{at.pairs:,.0f} pairs, {rate(at.pairs, at.seconds)}",
            ),
        )
    text = folder_text(out, summary, have="scores", did="scored")
    answer(folder_record(out, summary), text, as_json, warnings=summary.status)
