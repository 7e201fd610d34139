"""A picture: a chart with its matplotlib figure, for a notebook or a file."""

import dataclasses
import io
from pathlib import Path
from typing import TYPE_CHECKING

from thresher.data.files.atomic import atomic_path
from thresher.errors import InputError
from thresher.report.chart import Chart
from thresher.report.pictures.canvas import draw, settings
from thresher.report.wording import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("svg", "png")
DOTS = 160
"""Pixels an inch of a PNG."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """A chart and its matplotlib figure; a notebook shows it, `save` writes it."""

    chart: Chart
    figure: "Figure"

    def save(self, path: Path | str) -> Path:
        """Write it as the suffix of `path` says, .svg or .png; the path comes back.

        Raises:
            InputError: another suffix.
        """
        path = Path(path)
        kind = path.suffix.lower().removeprefix(".")
        if kind not in FORMATS:
            raise InputError(f"{path} does not end in .svg or .png; pictures are written in these formats")
        with atomic_path(path) as temporary:
            temporary.write_bytes(_file(self, kind))
        return path

    def _repr_svg_(self) -> str:
        return _file(self, "svg").decode("utf-8")


def picture_of(chart: Chart) -> Picture:
    """The picture of a chart.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    return Picture(chart=chart, figure=draw(chart))


def _file(picture: Picture, kind: str) -> bytes:
    """The bytes of the file; without a date or matplotlib's release, which change by themselves."""
    chart = picture.chart
    metadata: dict[str, str | None] = {
        "Title": chart.title,
        "Description": one_line(f"{chart.summary} {chart.note}"),
    }
    metadata |= {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    buffer = io.BytesIO()
    with settings():
        picture.figure.savefig(buffer, format=kind, dpi=DOTS, metadata=metadata)
    return buffer.getvalue()
