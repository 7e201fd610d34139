"""Numbers measured on a decoded image, in the decode worker. numpy and Pillow only.

Shapes: h rows and w columns of grey levels.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

SIZES = ("width", "height")
DETAILS = ("sharpness", "entropy", "varied")
LONGEST_SIDE = 512
BLOCK = 8
FLAT_LEVELS = 8

Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Measure:
    """A form in which an image may be wanted: numbers in place of pixels.

    Always its width and height in pixels; with `detail` sharpness, entropy and the varied share as well.
    """

    detail: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """What the numbers are, in their order."""
        return (*SIZES, *DETAILS) if self.detail else SIZES


def measure(image: Image.Image, form: Measure) -> npt.NDArray[np.float32]:
    """The numbers of `form` for a decoded RGB image.

    Details are measured on grey levels (ITU-R 601 luma), with the longer side brought down to 512 pixels by
    averaging where it is longer, so that large and small copies of a picture measure alike and cost alike.

    >>> measure(Image.new("RGB", (640, 480)), Measure()).tolist()
    [640.0, 480.0, 0.0, 0.0, 0.0]
    """
    width, height = image.size
    if not form.detail:
        return np.asarray((width, height), dtype=np.float32)
    grey_hw = grey_levels(image)
    details = (sharpness(grey_hw), entropy_bits(grey_hw), varied_share(grey_hw))
    return np.asarray((width, height, *details), dtype=np.float32)


def grey_levels(image: Image.Image) -> Grey:
    """Grey levels [h, w], 0 to 255, with neither side above 512 pixels."""
    longest = max(image.size)
    if longest > LONGEST_SIDE:
        width, height = (max(round(side * LONGEST_SIDE / longest), 1) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BOX)
    return np.asarray(image.convert("L"), dtype=np.uint8)


def sharpness(grey_hw: Grey) -> float:
    """Variance of the Laplacian (four neighbours, the border repeated); 0 for a flat image.

    A usual measure of focus: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", 2000.
    """
    levels_hw = grey_hw.astype(np.int16)
    laplacian_hw = levels_hw * np.int16(-4)
    for ours, theirs in ((laplacian_hw, levels_hw), (laplacian_hw.T, levels_hw.T)):
        ours[1:] += theirs[:-1]
        ours[0] += theirs[0]
        ours[:-1] += theirs[1:]
        ours[-1] += theirs[-1]
    values = laplacian_hw.reshape(-1).astype(np.float64)  # whole numbers, whose sums are exact
    total, of_squares = int(values.sum()), int(values @ values)
    return (values.size * of_squares - total * total) / values.size**2


def entropy_bits(grey_hw: Grey) -> float:
    """Entropy of the histogram of the 256 grey levels, 0 to 8 bits."""
    counts = np.asarray(Image.fromarray(grey_hw).histogram())
    shares = counts[counts > 0] / grey_hw.size
    return max(0.0, -float(np.sum(shares * np.log2(shares))))


def varied_share(grey_hw: Grey) -> float:
    """Share of the blocks of 8 x 8 pixels whose grey levels span more than 8; the others are near-uniform.

    The last row and column repeat until whole blocks are filled.
    """
    missing = [(0, -side % BLOCK) for side in grey_hw.shape]
    padded = np.pad(grey_hw, missing, mode="edge") if any(after for _, after in missing) else grey_hw
    height, width = padded.shape
    bands = padded.reshape(height // BLOCK, BLOCK, width)  # first along whole rows, which is fast
    blocks = (height // BLOCK, width // BLOCK, BLOCK)
    span = bands.max(axis=1).reshape(blocks).max(axis=2) - bands.min(axis=1).reshape(blocks).min(axis=2)
    return float(np.mean(span > FLAT_LEVELS))
