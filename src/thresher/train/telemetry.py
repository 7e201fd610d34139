"""Selection statistics during a run: scores of the chosen, of all candidates and of other choices.

Shapes: B candidates, b chosen, at most `MOST` of them in a matrix.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import softplus

from thresher.data.files.atomic import atomic_path
from thresher.selection.criteria import Weighted, diagonal_score, weighted_models
from thresher.selection.embeddings import Embeddings
from thresher.selection.sub_batch import select
from thresher.train.chooser import Chooser, ChosenBatch, Scored
from thresher.train.pairs import Batch
from thresher.train.scoring import embed, scoring_loss

FILE = "selection.jsonl"
MATRIX_FILE = "matrix.npy"
SHOWN = 64
MOST = 1024
RANKED = 512
RANK_EVERY = 100
POOR = 0.5


@dataclass(slots=True)
class Telemetry:
    """Collects what is written once a line of the trace.

    Attributes:
        times_n: how often each pair was trained on.
    """

    times_n: npt.NDArray[np.int32]
    line: dict[str, Any] = field(default_factory=dict)

    def add(self, choice: ChosenBatch) -> None:
        """Take note of one step: mean score of the chosen and of all, share of pairs seen before."""
        seen = float((self.times_n[choice.rows_b] > 0).mean())
        np.add.at(self.times_n, choice.rows_b, 1)
        self.line.setdefault("repeats", []).append(seen)
        if choice.scored is not None:
            score_B, places_b = choice.scored.score_B, choice.scored.places_b
            self.line.setdefault("chosen", []).append(score_B[places_b].mean())
            self.line.setdefault("candidates", []).append(score_B.mean())

    def take(self) -> dict[str, Any]:
        """The line so far, in numbers, and begin the next one."""
        line = {key: _numbers(value) for key, value in self.line.items()}
        self.line = {}
        return line


def _numbers(value: Any) -> Any:
    if isinstance(value, list) and value and isinstance(value[0], torch.Tensor):
        return torch.stack(value).tolist()
    return value


def compare(chooser: Chooser, scored: Scored, step: int) -> dict[str, float]:
    """Mean score a pair of whole batches: as chosen, chosen independently, and uniformly.

    Each is the loss of the batch under the learner minus that under the reference (as the criterion weighs
    them), of at most `MOST` of its pairs. With several ranks, of this one's candidates.
    """
    settings, size = chooser.settings(step), len(scored.places_b)
    recipe, keys_B = chooser.recipe, chooser.keys_of(scored.batch)
    models = weighted_models(recipe.criterion, scored.learner, scored.reference, len(keys_B))
    found = {"chosen": batch_score(models, scoring_loss(recipe), scored.places_b)}
    for method in ("independent", "uniform"):
        others = select(
            scored.learner, scored.reference, keys_B, size=size, **(settings | {"method": method})
        )
        found[method] = batch_score(models, scoring_loss(recipe), others.places_b)
    return found


def score_matrix(chooser: Chooser, scored: Scored) -> npt.NDArray[np.float32]:
    """Scores `s_ij` of the chosen with each other, in the order of choice, at most `SHOWN` of them; [m, m].

    The loss of image `i` with caption `j` as the sigmoid loss counts it, weighed over the models by the
    criterion; for the softmax loss the logits stand in its place, those of pairs with the sign of a loss.
    """
    recipe = chooser.recipe
    models = weighted_models(recipe.criterion, scored.learner, scored.reference, len(scored.batch.rows_B))
    places = _spread(scored.places_b, SHOWN)
    total = torch.zeros(len(places), len(places), device=places.device)
    for model in models:
        logits = _logits_bb(model.embeddings, places)
        signed = torch.where(torch.eye(len(places), dtype=torch.bool, device=places.device), -logits, logits)
        total += model.weight * (softplus(signed) if scoring_loss(recipe) == "siglip" else signed)
    return total.cpu().numpy()


def write_matrix(folder: Path, matrix_mm: npt.NDArray[np.float32]) -> None:
    """Keep the scores of the latest batch that was looked at."""
    with atomic_path(folder / MATRIX_FILE) as temporary, temporary.open("wb") as file:
        np.save(file, matrix_mm, allow_pickle=False)


def batch_score(models: list[Weighted], loss: str, places_b: torch.Tensor) -> float:
    """Score of a batch, nats a pair; of a spread of `MOST` pairs where it holds more."""
    places = _spread(places_b, MOST)
    return sum(model.weight * float(_loss_of(_logits_bb(model.embeddings, places), loss)) for model in models)


def _spread(places_b: torch.Tensor, most: int) -> torch.Tensor:
    """At most `most` of the places, evenly spread."""
    return places_b[:: -(-len(places_b) // most)]


def _logits_bb(embeddings: Embeddings, places_b: torch.Tensor) -> torch.Tensor:
    """Logits of some pairs with each other: an image a row, a caption a column; fp32 [b, b]."""
    image_bD, text_bD = embeddings.image_BD[places_b].float(), embeddings.text_BD[places_b].float()
    return embeddings.scale * image_bD @ text_bD.T + embeddings.bias


def _loss_of(logits_bb: torch.Tensor, loss: str) -> torch.Tensor:
    positive = logits_bb.diagonal()
    if loss == "siglip":
        # softplus(x) - x = softplus(-x), on the diagonal
        return (softplus(logits_bb).sum() - positive.sum()) / len(logits_bb)
    rows, columns = logits_bb.logsumexp(1), logits_bb.logsumexp(0)
    return (0.5 * (rows + columns) - positive).mean()


def rank_correlation(chooser: Chooser, batch: Batch, low: Embeddings) -> tuple[float, int]:
    """How alike the learner ranks pairs at low and at full resolution.

    Spearman's correlation of its losses of the first `RANKED` candidates by themselves. The reference has no
    part in it: its losses are the same in both scores and would hide the difference.

    Args:
        chooser: of the run.
        batch: candidates.
        low: their embeddings by the learner at low resolution.

    Returns:
        The correlation, and how many pairs went through the model once more for it.
    """
    part = np.arange(min(RANKED, len(batch.rows_B)))
    full = embed(chooser.towers, batch.take(part), chooser.recipe, low=False)
    losses = [
        diagonal_score([Weighted(weight=1, embeddings=one)], scoring_loss(chooser.recipe))[: len(part)]
        for one in (low, full)
    ]
    places = torch.stack(losses).argsort(dim=1).argsort(dim=1)
    return float(torch.corrcoef(places.double())[0, 1]), len(part)
