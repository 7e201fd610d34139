"""`thresher softcap`: a subset drawn by score, with a cap on repeats."""

from pathlib import Path
from typing import Annotated

from thresher.cli.balance import Format, Out, Seed, Size
from thresher.cli.options import Json, argument, option
from thresher.cli.progress import bar
from thresher.cli.text import answer


def softcap(
    scores: Annotated[Path, argument("SCORES", "Folder that `thresher score` wrote.")],
    by: Annotated[str, option("COLUMN", "Column of the scores.")],
    size: Size,
    out: Out,
    penalty: Annotated[float, option("SCORE", "What the score of a drawn pair loses.")] = 0.15,
    temperature: Annotated[float, option("SCORE", "Divides the scores; small ones keep to the best.")] = 1.0,
    batch: Annotated[
        str | None, option("SAMPLES", "Draws a round; left out, so many that there are 1,280.")
    ] = None,
    format: Format = "npy",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Draw a subset by score, with a soft cap on repeats.

    Each round draws without replacement from softmax(score / temperature), and the scores of what it drew
    fall by the penalty. Good pairs return in later rounds, less and less often, and the others get their
    turn.

    Reads SCORES. Writes DIR as `thresher subset` does.

    Examples:
        thresher softcap work/scores --by clip --size 128M --out capped
        thresher softcap work/scores --by clip --temperature 0.05 --penalty 0.05 --size 1M --out capped
    """
    from thresher.budget import parse_count
    from thresher.curate.balance.softcap import soft_cap_scores

    with bar("softcap") as step:
        made = soft_cap_scores(
            *(scores, out),
            by=by,
            size=parse_count(size),
            format=format,
            penalty=penalty,
            temperature=temperature,
            batch=None if batch is None else parse_count(batch),
            seed=seed,
            progress=lambda done, total: step(done, total, "draws"),
        )
    record = {"folder": str(made.folder), "unique": made.num_unique, "rows": made.num_rows}
    answer(record, f"{made.num_unique:,} pairs, {made.num_rows:,} draws, in {made.folder}", as_json)
