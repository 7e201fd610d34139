"""Cosine similarity under a data filtering network: a small model trained on curated pairs.

arXiv 2309.17425: what a model filters well has little to do with its accuracy; a small one trained on few
good pairs filters better than a large one trained on many. `thresher filter-network` trains one.
"""

from dataclasses import replace
from pathlib import Path

from thresher.errors import InputError
from thresher.scores.clip import clip_similarity
from thresher.scores.scorer import Scorer

CONFIG_FILE = "open_clip_config.json"  # as open_clip looks for it


def network_similarity(
    *, network: str, device: str = "auto", batch_size: int = 64, precision: str = "auto"
) -> Scorer:
    """Scores pairs by their cosine under a filter network, from -1 to 1.

    Args:
        network: Folder that `thresher filter-network` wrote, or `thresher train`.
        device: As for `clip_similarity`.
        batch_size: As for `clip_similarity`.
        precision: As for `clip_similarity`.

    Raises:
        InputError: the folder holds no network, or an option cannot be had.
        MissingExtra: torch or open_clip is not installed.
    """
    folder = Path(network.removeprefix("local-dir:"))
    if not (folder / CONFIG_FILE).is_file():
        raise InputError(
            f"{folder} holds no filter network ({CONFIG_FILE} is absent); train one with `thresher "
            f"filter-network CURATED --out {folder}`, or score by another model with clip:model=NAME"
        )
    scorer = clip_similarity(
        model=f"local-dir:{folder}", device=device, batch_size=batch_size, precision=precision
    )
    return replace(scorer, fingerprint=f"dfn {scorer.fingerprint}")
