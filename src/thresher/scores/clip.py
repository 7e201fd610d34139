"""Cosine similarity of image and caption under an open_clip model, or under a data filtering network.

Such a network is a small model trained on curated pairs (arXiv 2309.17425): what a model filters well has
little to do with its accuracy; a small one trained on few good pairs filters better than a large one trained
on many. `thresher filter-network` trains one.

Shapes: B pairs, D embedding dimensions, T tokens.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from thresher.data.digests import hasher
from thresher.errors import InputError
from thresher.models.open import open_model
from thresher.scores.spec import cached
from thresher.sharded.scorer import Images, Pending, Scorer

if TYPE_CHECKING:
    import torch

    from thresher.models.towers import Towers

CONFIG_FILE = "open_clip_config.json"  # as open_clip looks for it


def clip_similarity(
    *,
    model: str = "ViT-B-32",
    pretrained: str | None = None,
    device: str = "auto",
    batch_size: int = 64,
    precision: str = "auto",
) -> Scorer:
    """Scores pairs by the cosine of their two embeddings, from -1 to 1.

    Args:
        model: Name of an open_clip model.
        pretrained: Registry tag (`laion2b_s34b_b79k`) or path of a checkpoint; left out, the weights are
            random (the same each time), which is good for measuring speed and nothing else.
        device: auto (a GPU where there is one), cpu, cuda, cuda:1, ...
        batch_size: Pairs a forward pass.
        precision: auto (bf16 where the hardware multiplies bf16, else fp32), fp32 or bf16 (autocast).

    Raises:
        InputError: the model, its weights, the device or the precision cannot be had.
        MissingExtra: torch or open_clip is not installed.
    """

    def opened() -> _Similarity:
        towers, used = open_model(
            model,
            pretrained=pretrained,
            device=device,
            batch_size=batch_size,
            precision=precision,
            needed_for="the scorer clip",
        )
        return _Similarity(towers, batch_size, used)

    similarity = cached(("clip", model, pretrained, device, batch_size, precision), opened)
    made_by = f"clip-1 {similarity.towers.fingerprint} {similarity.precision}"
    return Scorer(
        fingerprint=hasher(made_by.encode()).hexdigest(),
        spec=similarity.towers.spec,
        batch_size=batch_size,
        prepare=similarity.prepare,
        score=similarity.score,
    )


class _Similarity:
    """An open model. It keeps its last batch, so that scorers that share it embed nothing twice."""

    def __init__(self, towers: "Towers", batch_size: int, precision: str) -> None:
        self.towers = towers
        self.precision = precision
        self._batch_size = batch_size
        self._captions: list[str] = []  # this and the next are for the thread that prepares
        self._tokens: torch.Tensor | None = None
        self._embedded: tuple[object, list[torch.Tensor]] = (None, [])  # tokens and their vectors
        self._scored: tuple[object, object, Pending] | None = None  # images, tokens and their scores

    def prepare(self, captions: Sequence[str]) -> "torch.Tensor":
        """Tokens [B, T] of the captions."""
        if self._tokens is None or self._captions != list(captions):
            self._captions = list(captions)
            self._tokens = self.towers.tokenize(self._captions)
        return self._tokens

    def score(self, images_BHWC: Images | None, tokens_BT: "torch.Tensor") -> Pending:
        """Cosines [B], in passes of the batch size."""
        import torch

        from thresher.models.towers import autocast, to_input

        assert images_BHWC is not None
        if self._scored and self._scored[0] is images_BHWC and self._scored[1] is tokens_BT:
            return self._scored[2]
        parts = []
        with torch.inference_mode():
            for text_BD, chosen in zip(self._texts(tokens_BT), self._passes(tokens_BT), strict=True):
                with autocast(self.towers.device, self.precision):
                    pixels = to_input(self.towers, images_BHWC[chosen])
                    image_BD = self.towers.model.encode_image(pixels)  # type: ignore[operator]
                parts.append(torch.nn.functional.cosine_similarity(image_BD.float(), text_BD, dim=-1))
            cosine_B = torch.cat(parts)

        def finished() -> npt.NDArray[np.float32]:
            return np.asarray(cosine_B.cpu().numpy(), dtype=np.float32)

        self._scored = (images_BHWC, tokens_BT, finished)
        return finished

    def _texts(self, tokens_BT: "torch.Tensor") -> "list[torch.Tensor]":
        """Text vectors, float32 [B, D], one tensor a pass."""
        from thresher.models.towers import autocast

        if self._embedded[0] is not tokens_BT:
            vectors = []
            for chosen in self._passes(tokens_BT):
                with autocast(self.towers.device, self.precision):
                    tokens = tokens_BT[chosen].to(self.towers.device)
                    vectors.append(self.towers.model.encode_text(tokens).float())  # type: ignore[operator]
            self._embedded = (tokens_BT, vectors)
        return self._embedded[1]

    def _passes(self, tokens_BT: "torch.Tensor") -> list[slice]:
        return [
            slice(start, start + self._batch_size) for start in range(0, len(tokens_BT), self._batch_size)
        ]


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
