"""All pictures of a workdir, written to a folder."""

from pathlib import Path

from thresher.errors import InputError
from thresher.report.figures import figures
from thresher.report.pictures.picture import FORMATS, picture_of
from thresher.report.pool_stats import tally
from thresher.report.workdir import read_workdir


def write_pictures(workdir: Path | str, folder: Path | str, *, format: str = "svg") -> list[Path]:
    """Write every figure of the report about a workdir as a file of its own; their paths, in its order.

    The same files give the same bytes with the same release of matplotlib.

    Args:
        workdir: The folder of a run, whole or half-finished.
        folder: Where to write; made where it is not there.
        format: "svg" or "png".

    Raises:
        InputError: an unknown format, or a workdir without anything to draw.
        MissingExtra: matplotlib is not installed.
    """
    if format not in FORMATS:
        raise InputError(f"there is no picture format {format!r}; choose one of {', '.join(FORMATS)}")
    read = read_workdir(Path(workdir))
    charts = figures(read, tally(read, num_shown=0))
    if not charts:
        raise InputError(f"{workdir} holds nothing to draw: no runs, plan or pools; run those stages first")
    return [picture_of(chart).save(Path(folder) / f"{name}.{format}") for name, chart in charts.items()]
