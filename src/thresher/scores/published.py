"""Published filters as scorers, so that `cut` makes pools of them; `rules` says what they keep.

Shapes: B pairs, F measured numbers.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from thresher.scores.clip import clip_similarity
from thresher.scores.image import sizes, stated_sizes
from thresher.scores.language import english
from thresher.scores.rules import is_large_enough, is_long_enough
from thresher.sharded.measure import Measure
from thresher.sharded.scorer import Images, Pending, Row, Scorer

BATCH_SIZE = 32
NOT_ENGLISH = -1.0


def basic_filter(*, language: str = "auto") -> Scorer:
    """Scores pairs by DataComp's basic filter: 1 for a pair that it keeps, 0 for the others.

    Sizes are those that the pair states as `original_width` and `original_height`, else those of the image.

    Args:
        language: auto (as the pair states it, else identified) or given (refuse a pair that states none).

    Raises:
        InputError: the option is none of the two.
        MissingExtra: auto without the identifier.
    """
    are_english, made_by = english(language)

    def prepare(rows: Sequence[Row]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
        said = np.asarray(are_english(rows), dtype=np.bool_)
        return said & is_long_enough([row.caption for row in rows]), stated_sizes(rows)

    def score(
        measured_BF: Images | None, prepared: tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]
    ) -> Pending:
        assert measured_BF is not None
        captions_B, stated_B2 = prepared
        width_B, height_B = sizes(measured_BF, stated_B2).T
        return lambda: (captions_B & is_large_enough(width_B, height_B)).astype(np.float32)

    return Scorer(
        fingerprint=f"basic-1 {made_by}",
        spec=Measure(detail=False),
        batch_size=BATCH_SIZE,
        prepare=prepare,
        score=score,
        of_rows=True,
    )


def laion_filter(
    *,
    model: str = "ViT-B-32",
    pretrained: str | None = None,
    device: str = "auto",
    batch_size: int = 64,
    precision: str = "auto",
    language: str = "auto",
) -> Scorer:
    """Scores pairs by the cosine of their embeddings where the caption is English, and by -1 elsewhere.

    Cut at 0.28, with model=ViT-B-32,pretrained=openai, it is LAION-2B's filter.

    Args:
        model: As for `clip_similarity`.
        pretrained: As for `clip_similarity`.
        device: As for `clip_similarity`.
        batch_size: As for `clip_similarity`.
        precision: As for `clip_similarity`.
        language: auto (as the pair states it, else identified) or given (refuse a pair that states none).

    Raises:
        InputError: an option cannot be had.
        MissingExtra: torch, open_clip or the identifier is not installed.
    """
    are_english, made_by = english(language)
    clip = clip_similarity(
        model=model, pretrained=pretrained, device=device, batch_size=batch_size, precision=precision
    )

    def prepare(rows: Sequence[Row]) -> tuple[object, npt.NDArray[np.bool_]]:
        return clip.prepare([row.caption for row in rows]), np.asarray(are_english(rows), dtype=np.bool_)

    def score(images: Images | None, prepared: tuple[object, npt.NDArray[np.bool_]]) -> Pending:
        tokens, english_B = prepared
        pending = clip.score(images, tokens)
        return lambda: np.where(english_B, pending(), np.float32(NOT_ENGLISH)).astype(np.float32)

    return Scorer(
        fingerprint=f"laion-1 {made_by} {clip.fingerprint}",
        spec=clip.spec,
        batch_size=clip.batch_size,
        prepare=prepare,
        score=score,
        of_rows=True,
    )
