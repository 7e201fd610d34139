"""Every scorer by its name, and how one is opened from what people write."""

from collections.abc import Mapping, Sequence

from thresher.errors import InputError
from thresher.scores.caption import caption_quality
from thresher.scores.clip import clip_similarity, network_similarity
from thresher.scores.image import image_feature
from thresher.scores.published import basic_filter, laion_filter
from thresher.scores.spec import ScorerFactory, ScorerSpec, arguments, model_cache, parse_spec
from thresher.scores.tmars import masked_similarity, text_free
from thresher.sharded.scorer import Scorer

SCORERS: dict[str, ScorerFactory] = {
    "caption": caption_quality,
    "clip": clip_similarity,
    "dfn": network_similarity,
    "image": image_feature,
    "basic": basic_filter,
    "laion": laion_filter,
    "text_free": text_free,
    "tmars": masked_similarity,
}
"""Name of a scorer -> the function that opens it; its keyword arguments are the options."""


def parse_scorer(text: str, defaults: Mapping[str, str] | None = None) -> ScorerSpec:
    """The scorer that `NAME` or `NAME:key=value,key=value` stands for; `as=COLUMN` names its column.

    Raises:
        InputError: a scorer or option that does not exist (the text names the nearest known one), or a scorer
            of embeddings.

    >>> parse_scorer("clip:model=ViT-B-16,as=b16").column
    'b16'
    """
    name = text.strip().partition(":")[0]
    if name not in SCORERS:
        from thresher.scores.of_embeddings import VECTOR_SCORERS  # which needs what this package needs

        if name in VECTOR_SCORERS:
            raise InputError(
                f"the scorer {name} needs embeddings, not shards; run `thresher embed`, then "
                f"`thresher score-embedded EMBEDDINGS --scorer {text.strip()}`"
            )
    return parse_spec(text, SCORERS, defaults)


def open_scorer(spec: ScorerSpec) -> Scorer:
    """The scorer of `spec`, ready to score; this is where a model is loaded.

    Raises:
        InputError: what the options name cannot be loaded.
    """
    return SCORERS[spec.name](**arguments(spec, SCORERS))


def open_scorers(specs: Sequence[ScorerSpec]) -> dict[str, Scorer]:
    """Column -> scorer of each spec; scorers of one model with the same options share it and its captions.

    Raises:
        InputError: what the options name cannot be loaded.
    """
    with model_cache():
        return {spec.column: open_scorer(spec) for spec in specs}
