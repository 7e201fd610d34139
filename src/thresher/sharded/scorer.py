"""What a scorer is: a fingerprint, the images it wants, and two functions.

A model that embeds pairs is one as well: its result has a vector a pair in place of a number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from thresher.data.images.decode import ImageSpec
from thresher.sharded.forms.masking import Masked, TextFree
from thresher.sharded.forms.measure import Measure

Images = npt.NDArray[Any]
Pending = Callable[[], npt.NDArray[Any]]
NUMBER = np.dtype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    """An open scorer.

    Attributes:
        fingerprint: Changes whenever the scores of the same pairs would change.
        spec: How the images are wanted, as pixels or as numbers measured on them; None for a scorer of
            captions, which gets no images.
        batch_size: Pairs wanted at once; a scorer of captions takes what the others want.
        prepare: Makes of captions what can be made before their turn (tokens), in a thread beside the model.
        score: (images uint8 [B, H, W, 3], numbers float32 [B, F], or None; what was prepared) -> a function
            that returns the B scores. So a GPU may still be working when the next batch is handed over.
        of_rows: Whether `prepare` gets rows (`thresher.sharded.row.Row`) in place of captions.
        result: What the score of one pair is: a float32, or an array.
    """

    fingerprint: str
    spec: ImageSpec | Masked | Measure | TextFree | None
    batch_size: int
    prepare: Callable[[Sequence[Any]], Any]
    score: Callable[[Images | None, Any], Pending]
    of_rows: bool = False
    result: np.dtype[Any] = NUMBER
