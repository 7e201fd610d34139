"""Which pairs of a super-batch a step trains on.

Shapes: B candidates, b chosen, D dimensions.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from thresher.errors import InputError
from thresher.models.towers import Towers, resolve_precision
from thresher.selection.across_ranks import select_across
from thresher.selection.choices import CRITERIA, METHODS, MODES
from thresher.selection.embeddings import Embeddings
from thresher.selection.keys import TooFewCandidates
from thresher.tables import decimal
from thresher.train.distributed import Ranks
from thresher.train.pairs import Batch
from thresher.train.recipe import Recipe
from thresher.train.reference import Reference
from thresher.train.scoring import chosen_rows, embed, moved, rows_of_all, scoring_loss


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChosenBatch:
    """The batch of a step and how it came about.

    Attributes:
        batch: the pairs to train on, this rank's share.
        rows_b: rows of all ranks' pairs, in the order in which they were chosen.
        scored: what was selected from; None where nothing was.
        num_candidates: pairs that were scored, of all ranks.
        flops: of the selection's matrix products, of all ranks.
        output: of the model for `batch`, from scoring; None where the batch goes through the model again.
    """

    batch: Batch
    rows_b: npt.NDArray[np.int64]
    scored: "Scored | None" = None
    num_candidates: int = 0
    flops: float = 0.0
    output: dict[str, torch.Tensor] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """This rank's candidates.

    Attributes:
        batch: the candidates.
        learner: their embeddings by the learner, None where the criterion does without.
        reference: by the reference, likewise.
        score_B: score of each by itself.
        places_b: which of them were chosen.
    """

    batch: Batch
    learner: Embeddings | None
    reference: Embeddings | None
    score_B: torch.Tensor
    places_b: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Chooser:
    """Chooses batches for one run.

    Attributes:
        recipe: method, criterion and the rest.
        towers: the learner.
        reference: embeddings of the reference, None where nothing reads them.
        keys_n: key of the uid of every pair, None where nothing is selected.
        seed: of the run.
        ranks: the processes.
    """

    recipe: Recipe
    towers: Towers
    reference: Reference | None
    keys_n: torch.Tensor | None
    seed: int
    ranks: Ranks

    def choose(self, batch: Batch, step: int) -> ChosenBatch:
        """The pairs of `batch`, a super-batch, that step number `step` trains on; all where it is no larger.

        With several ranks `batch` is this rank's share of the super-batch.

        Raises:
            InputError: the learner has diverged, or the candidates show too few different images.
        """
        if self.keys_n is None:
            return ChosenBatch(batch=batch, rows_b=batch.rows_B)
        if len(batch.rows_B) * self.ranks.world <= self.recipe.batch_size:
            return ChosenBatch(batch=batch, rows_b=rows_of_all(batch, self.towers.device))
        needs_learner = CRITERIA[self.recipe.criterion].learner != 0
        learner = embed(self.towers, batch, self.recipe) if needs_learner else None
        reference = self.reference_of(batch)
        try:
            return self._choose(batch, learner, reference, step)
        except TooFewCandidates as error:
            raise InputError(
                f"step {step} cannot be selected: {error} (captions of one image count once); raise "
                f"filter_ratio, or lower batch_size (now {self.recipe.batch_size})"
            ) from error
        except ValueError as error:
            raise InputError(
                f"step {step} cannot be selected: {error}; lower lr (now {decimal(self.recipe.lr)}) if "
                "training diverged"
            ) from error

    def _choose(
        self, batch: Batch, learner: Embeddings | None, reference: Embeddings | None, step: int
    ) -> ChosenBatch:
        recipe, device, world = self.recipe, self.towers.device, self.ranks.world
        dtype = selection_dtype(device, resolve_precision(device, recipe.precision))
        given = (_as(learner, dtype), _as(reference, dtype), self.keys_of(batch))
        output = None
        found = select_across(*given, size=recipe.batch_size, mode=recipe.across, **self.settings(step))
        places_b = found.mine()
        if world == 1:
            places = places_b.cpu().numpy()
            own, rows_b = batch.take(np.sort(places)), batch.rows_B[places]
            if recipe.reuse_scoring and learner is not None:
                output = self._output(learner, torch.sort(places_b).values)
                images, texts = learner.image_BD.detach(), learner.text_BD.detach()
                learner = replace(learner, image_BD=images, text_BD=texts)
        else:
            own = moved(batch, found, [self.seed, step], device)
            rows_b = chosen_rows(batch, found, device)
        return ChosenBatch(
            batch=own,
            rows_b=rows_b,
            scored=Scored(
                batch=batch,
                learner=learner,
                reference=reference,
                score_B=found.score_B,
                places_b=places_b,
            ),
            num_candidates=len(batch.rows_B) * world,
            flops=found.flops * world,
            output=output,
        )

    def _output(self, learner: Embeddings, places_b: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the model would give for the chosen pairs, out of the graph of the scores."""
        model = self.towers.model
        output = {
            "image_features": learner.image_BD[places_b],
            "text_features": learner.text_BD[places_b],
            "logit_scale": model.logit_scale.exp(),  # type: ignore[operator]
        }
        if getattr(model, "logit_bias", None) is not None:
            output["logit_bias"] = model.logit_bias
        return output

    def settings(self, step: int) -> dict[str, Any]:
        """How `thresher.selection.select` is called."""
        recipe = self.recipe
        return {
            "step": step,
            "seed": self.seed,
            "method": recipe.select,
            "criterion": recipe.criterion,
            "loss": scoring_loss(recipe),
            "chunks": recipe.chunks,
            "gain": recipe.gain,
        }

    def keys_of(self, batch: Batch) -> torch.Tensor:
        """The key of the uid of every pair of a batch."""
        assert self.keys_n is not None
        return self.keys_n[torch.from_numpy(batch.rows_B)].to(self.towers.device)

    def reference_of(self, batch: Batch) -> Embeddings | None:
        """What the reference says of a batch, None without one."""
        if self.reference is None:
            return None
        return self.reference.embeddings(batch.rows_B, self.towers.device)

    def steering(self, choice: ChosenBatch) -> dict[str, torch.Tensor] | None:
        """What the reference-steered loss wants to know of a batch; None for the others."""
        if self.recipe.loss != "rho":
            return None
        reference = self.reference_of(choice.batch)
        assert reference is not None
        places = torch.from_numpy(choice.batch.rows_B).to(self.towers.device)
        return {
            "reference_image": reference.image_BD,
            "reference_text": reference.text_BD,
            "places_B": places,
        }


def selection_dtype(device: torch.device, precision: str) -> torch.dtype:
    """In what embeddings are selected by: fp16 on a GPU that trains in bf16, else fp32.

    Their entries are at most 1, where fp16 has eight times the digits of bf16, from which they come; products
    are summed in fp32 either way. A CPU has no quicker half types.
    """
    return torch.float16 if device.type == "cuda" and precision == "bf16" else torch.float32


def check_choice(recipe: Recipe) -> None:
    """Nothing, if the names in `recipe` are known and its numbers can be selected by.

    Raises:
        InputError: a name is not, and the text says which there are; or chunks or gain are out of range.
    """
    for what, name, known in (
        ("select", recipe.select, METHODS),
        ("criterion", recipe.criterion, CRITERIA),
        ("across", recipe.across, MODES),
    ):
        if name not in known:
            raise InputError(f"{what} {name!r} is unknown; take one of {', '.join(known)}")
    if recipe.chunks < 1:
        raise InputError(f"chunks is {recipe.chunks}; take at least 1, 16 is usual")
    if not 0 <= recipe.gain < math.inf:
        raise InputError(f"gain is {decimal(recipe.gain)}; take 0 (uniform) or more, 1 is usual")


def _as(embeddings: Embeddings | None, dtype: torch.dtype) -> Embeddings | None:
    if embeddings is None:
        return None
    return replace(embeddings, image_BD=embeddings.image_BD.to(dtype), text_BD=embeddings.text_BD.to(dtype))
