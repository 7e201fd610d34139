"""Pictures: the figures of the report as PNG or SVG files, and in a notebook.

    from thresher.report import pictures

    pictures.error_picture(laws)                       # shows itself in a notebook
    pictures.frontier_picture(plan).save("front.svg")

They need matplotlib, which `pip install "thresher[pictures]"` brings.
"""

from thresher.report.pictures.figures import (
    FORMATS,
    Picture,
    crossover_picture,
    error_picture,
    frontier_picture,
    plan_picture,
    residual_picture,
    utility_picture,
    write_pictures,
)

__all__ = [
    "FORMATS",
    "Picture",
    "crossover_picture",
    "error_picture",
    "frontier_picture",
    "plan_picture",
    "residual_picture",
    "utility_picture",
    "write_pictures",
]
