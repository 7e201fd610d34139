"""`thresher report`: writes the page about a workdir."""

from pathlib import Path
from typing import Annotated

from thresher.cli.options import Json, argument, option
from thresher.cli.text import answer
from thresher.errors import InputError


def report(
    folder: Annotated[Path, argument("DIR", "Workdir of a run, finished or not.")],
    out: Annotated[
        Path | None, option("REPORT.html", "Page to write.  [default: report.html in DIR]")
    ] = None,
    shards: Annotated[
        list[str] | None, option("SHARDS", "Where the pairs are now, if the shards were moved.")
    ] = None,
    title: Annotated[str, option("TEXT", "Heading of the page.")] = "Thresher report",
    gallery: Annotated[int, option("PAIRS", "Pairs shown of each pool.", min=0)] = 12,
    pictures: Annotated[
        Path | None, option("FOLDER", "Folder for the figures as files, too; needs matplotlib.")
    ] = None,
    format: Annotated[
        str | None, option("FORMAT", "Format of --pictures: svg or png.  [default: svg]")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write one self-contained page about a workdir.

    The page opens without a network. It shows the plan for each budget and where it changes, measured and
    predicted errors with residuals, what a repeated sample is worth, the scores with their cuts, real pairs
    of each pool, what went to the quarantine, the commands that reproduce the subset, and the laws side by
    side. A section whose files are missing says so.

    Reads what DIR holds of scores/, pools/, runs.jsonl, laws.json, plan.json, subset/ and quarantine.parquet,
    and the images of the pairs shown. With --pictures, each figure becomes a file of its own as well:
    plan.svg, frontier.svg, crossovers.svg, errors.svg, residuals.svg, utility.svg, scores.svg.

    Examples:
        thresher report work
        thresher report work --out page.html --gallery 24
        thresher report work --pictures figures --format png
    """
    from thresher.data.patterns import expand
    from thresher.report.page import write_report

    if format is not None and pictures is None:
        raise InputError("--format is that of the picture files; name their folder with --pictures FOLDER")
    drawn: list[Path] = []
    if pictures is not None:
        from thresher.report.pictures import write_pictures

        drawn = write_pictures(folder, pictures, format=format or "svg")
    page = write_report(
        folder,
        out or folder / "report.html",
        shards=expand(shards) if shards else None,
        title=title,
        gallery=gallery,
    )
    paths = [str(path) for path in (page, *drawn)]
    answer({"report": paths[0], "pictures": paths[1:]}, "\n".join(paths), as_json)
