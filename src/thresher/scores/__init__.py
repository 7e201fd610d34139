"""Scorers of pairs, one a file; `SCORERS` names them."""

from collections.abc import Mapping

from thresher.scores.caption import caption_quality
from thresher.scores.clip import clip_similarity
from thresher.scores.image import image_feature
from thresher.scores.published import basic_filter, laion_filter
from thresher.scores.scorer import Scorer
from thresher.scores.spec import ScorerFactory, ScorerSpec, arguments, parse_spec

SCORERS: dict[str, ScorerFactory] = {
    "caption": caption_quality,
    "clip": clip_similarity,
    "image": image_feature,
    "basic": basic_filter,
    "laion": laion_filter,
}
"""Name of a scorer -> the function that opens it; its keyword arguments are the options."""


def parse_scorer(text: str, defaults: Mapping[str, str] | None = None) -> ScorerSpec:
    """The scorer that `NAME` or `NAME:key=value,key=value` stands for; `as=COLUMN` names its column.

    Raises:
        InputError: a scorer or option that does not exist (the text names the nearest known one).

    >>> parse_scorer("clip:model=ViT-B-16,as=b16").column
    'b16'
    """
    return parse_spec(text, SCORERS, defaults)


def open_scorer(spec: ScorerSpec) -> Scorer:
    """The scorer of `spec`, ready to score; this is where a model is loaded.

    Raises:
        InputError: what the options name cannot be loaded.
    """
    return SCORERS[spec.name](**arguments(spec, SCORERS))
