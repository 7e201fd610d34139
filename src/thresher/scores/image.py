"""Scores of the image alone: its size, and what can be counted on its grey levels.

Shapes: B pairs, F measured numbers.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from thresher.errors import InputError, nearest
from thresher.sharded.measure import Measure
from thresher.sharded.scorer import Images, Pending, Row, Scorer

VERSION = "image-2"
BATCH_SIZE = 32
ENOUGH_PIXELS = 200.0
LONGEST_ASPECT = 3.0

Numbers = npt.NDArray[np.float32]

_MEASURE = Measure(detail=True)


def image_feature(*, feature: str = "quality") -> Scorer:
    """Scores pairs by one feature of the image, in which higher is better; see `FEATURES`.

    Sizes are those that the pair states as `original_width` and `original_height`, else those of the image.
    Several features of one run are measured once, on the image that is decoded for the other scorers.

    Args:
        feature: A name in `FEATURES`.

    Raises:
        InputError: there is no such feature.
    """
    if feature not in FEATURES:
        raise InputError(f"the scorer image has no feature {feature!r}; {nearest(feature, list(FEATURES))}")
    compute = FEATURES[feature]

    def score(measured_BF: Images | None, stated_B2: Numbers) -> Pending:
        assert measured_BF is not None
        named = dict(zip(_MEASURE.names, np.asarray(measured_BF, dtype=np.float32).T, strict=True))
        named["width"], named["height"] = sizes(measured_BF, stated_B2).T
        return lambda: np.asarray(compute(named), dtype=np.float32)

    return Scorer(
        fingerprint=f"{VERSION} {feature}",
        spec=_MEASURE,
        batch_size=BATCH_SIZE,
        prepare=stated_sizes,
        score=score,
        of_rows=True,
    )


def stated_sizes(rows: Sequence[Row]) -> Numbers:
    """Original width and height of each pair, float32 [B, 2]; 0 and 0 where the pair does not say."""
    return np.asarray([row.original or (0, 0) for row in rows], dtype=np.float32).reshape(-1, 2)


def sizes(measured_BF: npt.NDArray[Any], stated_B2: Numbers) -> Numbers:
    """Width and height of each pair, float32 [B, 2]: as stated, else as measured."""
    return np.where(stated_B2 > 0, stated_B2, measured_BF[:, :2]).astype(np.float32)


def _short(of: dict[str, Numbers]) -> Numbers:
    return np.minimum(of["width"], of["height"])


def _aspect(of: dict[str, Numbers]) -> Numbers:
    return np.divide(_short(of), np.maximum(of["width"], of["height"]), dtype=np.float32)


def _quality(of: dict[str, Numbers]) -> Numbers:
    """Four factors from 0 to 1: enough pixels, no banner, not near-uniform, many grey levels."""
    enough = np.minimum(_short(of) / ENOUGH_PIXELS, 1.0)
    square = np.minimum(_aspect(of) * LONGEST_ASPECT, 1.0)
    found: Numbers = enough * square * of["varied"] * (of["entropy"] / 8.0)
    return found


FEATURES: dict[str, Callable[[dict[str, Numbers]], Numbers]] = {
    "quality": _quality,
    "width": lambda of: of["width"],
    "height": lambda of: of["height"],
    "short": _short,
    "aspect": _aspect,
    "sharpness": lambda of: of["sharpness"],
    "entropy": lambda of: of["entropy"],
    "varied": lambda of: of["varied"],
}
"""Feature -> how it follows from what was measured. Higher is better in all:

- `quality`: min(1, short / 200) * min(1, 3 * aspect) * varied * entropy / 8, from 0 to 1
- `width`, `height`, `short` (the shorter of the two): pixels
- `aspect`: shorter side / longer side, 1 for a square
- `sharpness`: variance of the Laplacian, low for blurred images
- `entropy`: bits of the histogram of grey levels, 0 to 8
- `varied`: share of blocks of 8 x 8 pixels that are not near-uniform
"""
