"""The reference model of a training run: its cached embeddings, and what they cost."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from thresher.embeddings import StoredEmbeddings, embed_shards, open_embeddings
from thresher.errors import InputError
from thresher.models.flops import forward_flops
from thresher.models.towers import load_towers
from thresher.train.distributed import is_first_rank

SUMMARY_FILE = "embeddings.json"
POLL_SECONDS = 1.0


def prepare_reference(
    reference: str,
    shards: Sequence[str],
    out: Path,
    *,
    device: str,
    exclude: frozenset[str] = frozenset(),
    workers: int = 2,
    progress: Callable[[str], None] = lambda _: None,
) -> Path:
    """Folder with the embeddings of a reference.

    Args:
        reference: a folder that `thresher embed` wrote, which is taken as it is; or a model, whose
            embeddings of `shards` are made in `out`: `local-dir:FOLDER`, `hf-hub:...`, or
            `NAME,pretrained=TAG`.
        shards: names from `expand`.
        out: folder for embeddings that are not there yet.
        device: as in `embed_shards`.
        exclude: uids that are left out.
        workers: processes that decode images.
        progress: is told when a model is embedded; the first of several processes does it.

    Raises:
        InputError: it is neither, or the model has no weights.
    """
    folder = Path(reference)
    if (folder / SUMMARY_FILE).exists():
        return folder
    name, _, pretrained = reference.partition(",pretrained=")
    if folder.is_dir():
        raise InputError(
            f"{folder} holds no finished embeddings; run `thresher embed` with --out {folder}, or name a "
            f"checkpoint folder as local-dir:{folder}"
        )
    if ":" not in name and not pretrained:
        raise InputError(
            f"reference {reference!r} is no folder, and a model without weights knows nothing; give a folder "
            f"that `thresher embed` wrote, local-dir:FOLDER, or {name},pretrained=TAG"
        )
    if not is_first_rank():
        while not (out / SUMMARY_FILE).exists():  # torchrun ends this process when the first one fails
            time.sleep(POLL_SECONDS)
        return out
    if not (out / SUMMARY_FILE).exists():
        progress(f"reference: embedding {len(shards)} shards by {reference}")
    return embed_shards(
        shards, name, out, pretrained=pretrained or None, device=device, exclude=exclude, workers=workers
    )


def reference_mark(folder: Path) -> list[str]:
    """What stands for the embeddings in `folder` among the settings of a run."""
    stored = open_embeddings(folder)
    return [stored.fingerprint, stored.precision, stored.dtype]


def reference_flops(stored: StoredEmbeddings, num_pairs: int) -> float:
    """FLOPs of embedding `num_pairs` by the model of `stored`; 0 where that model is not here any more."""
    content: dict[str, Any] = json.loads((stored.folder / SUMMARY_FILE).read_text())
    try:
        towers = load_towers(str(content["model"]))
    except InputError:
        return 0.0
    return num_pairs * forward_flops(towers, int(getattr(towers.tokenize, "context_length", 77)))
