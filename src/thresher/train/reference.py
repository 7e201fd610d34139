"""A reference model's embeddings of the pairs that are trained on.

Shapes: n pairs, B pairs of a batch, D dimensions.

They are computed once and cached in a folder.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from thresher.errors import InputError
from thresher.scores.embeddings.embed import embed_shards
from thresher.scores.embeddings.stored import EMBED, StoredEmbeddings, read_summary
from thresher.selection.embeddings import Embeddings
from thresher.train.distributed import is_first_rank
from thresher.train.pairs import Pairs, uids_of

Rows = npt.NDArray[np.int64]

POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Reference embeddings by the rows of `Pairs`."""

    source: StoredEmbeddings
    places_n: Rows  # -1 for pairs that are never drawn

    def embeddings(self, rows: Rows, device: torch.device) -> Embeddings:
        """Embeddings of `rows`, fp32 on `device`."""
        places = self.places_n[rows]
        return Embeddings(
            image_BD=torch.from_numpy(self.source.image(places)).to(device, non_blocking=True),
            text_BD=torch.from_numpy(self.source.text(places)).to(device, non_blocking=True),
            scale=self.source.scale,
            bias=self.source.bias,
        )


def join(source: StoredEmbeddings, pairs: Pairs) -> Reference:
    """The embeddings of every pair that is drawn.

    Raises:
        InputError: the pairs have no uids, or one of these has no embedding.
    """
    uids = uids_of(pairs)
    drawn = np.unique(pairs.rows)
    wanted = uids.take(drawn) if isinstance(uids, pa.ChunkedArray) else [uids[row] for row in drawn.tolist()]
    places = np.full(len(uids), -1, dtype=np.int64)
    places[drawn] = source.find(wanted)
    return Reference(source, places)


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
    if (folder / EMBED.summary_file).exists():
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
        while not (out / EMBED.summary_file).exists():  # torchrun ends this process when the first one fails
            time.sleep(POLL_SECONDS)
        return out
    if not (out / EMBED.summary_file).exists():
        progress(f"reference: embedding {len(shards)} shards by {reference}")
    return embed_shards(
        shards, name, out, pretrained=pretrained or None, device=device, exclude=exclude, workers=workers
    ).whole()


def reference_mark(folder: Path) -> list[str]:
    """What stands for the embeddings in `folder` among the settings of a run."""
    content = read_summary(folder)
    return [content.fingerprint, content.precision, content.dtype]
