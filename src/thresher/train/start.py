"""The start of a run: which recipes are refused, and what it begins with."""

import logging

import numpy as np
import torch

from thresher.errors import InputError
from thresher.models.flexi import check_flexi
from thresher.models.towers import Towers
from thresher.scores.embeddings.stored import StoredEmbeddings
from thresher.tables import decimal
from thresher.train.chooser import Chooser, check_choice
from thresher.train.distributed import Ranks
from thresher.train.losses import make_loss
from thresher.train.pairs import Pairs, selection_keys, uids_of
from thresher.train.recipe import Recipe
from thresher.train.reference import join
from thresher.train.reference_loss import ReferenceLoss, gamma_for
from thresher.train.schedule import most_candidates
from thresher.train.scoring import scoring_loss
from thresher.train.state import State
from thresher.train.stream import Stream
from thresher.train.telemetry import Telemetry

_log = logging.getLogger(__name__)


def check_recipe(recipe: Recipe, pairs: Pairs, ranks: Ranks, reference: StoredEmbeddings | None) -> None:
    """Check that a run can be made by `recipe`.

    Raises:
        InputError: the batch does not divide by the ranks, a setting is unknown, the super-batch is larger
            than the data, or there is no reference where one is needed.
    """
    if recipe.batch_size % ranks.world:
        raise InputError(f"batch_size {recipe.batch_size} does not divide by {ranks.world} processes")
    check_choice(recipe)
    if not 0 <= recipe.low_share <= 1:
        raise InputError(f"low_share {decimal(recipe.low_share)} is not a share; take one in [0, 1]")
    if recipe.needs_reference and reference is None:
        wanted = f"loss {recipe.loss!r}" if recipe.loss == "rho" else f"criterion {recipe.criterion!r}"
        raise InputError(f"{wanted} needs the embeddings of a reference model; name one as `reference`")
    most = most_candidates(recipe, ranks.world)
    if recipe.selects and most > len(pairs.rows):
        raise InputError(
            f"batch_size {recipe.batch_size} is chosen from super-batches of up to {most} pairs, and there "
            f"are {len(pairs.rows)} unique pairs; lower filter_ratio or batch_size, or give more pairs"
        )


def check_low(recipe: Recipe, towers: Towers) -> None:
    """Nothing, if the model can be scored and trained at the low resolution of `recipe`.

    Without a share of low-resolution training, scores at low resolution are warned of.

    Raises:
        InputError: it cannot; the text says which models and patch sizes can.
    """
    if not recipe.flexi:
        return
    check_flexi(towers, recipe.flexi)
    if recipe.selects and recipe.low_share == 0:
        _log.warning(
            "low_share is 0: the model scores at a resolution at which it is never trained, which may choose "
            "worse than chance; set low_share to .25 or more"
        )


def check_reuse(recipe: Recipe, towers: Towers, ranks: Ranks) -> None:
    """Nothing, if the graph of the scores can be trained on.

    Raises:
        InputError: scoring and training would see the pairs, or the model, in another way.
    """
    if not (recipe.reuse_scoring and recipe.selects):
        return
    obstacles = {
        "flip or crop (pairs are scored as they are)": recipe.flip or recipe.crop > 0,
        "flexi (pairs are scored at another resolution)": recipe.flexi > 0,
        "criterion easy-reference (the learner scores nothing)": recipe.criterion == "easy-reference",
        "several processes": ranks.world > 1,
        "dropout or batch norm in the model": any(map(_differs_in_training, towers.model.modules())),
    }
    found = [name for name, there in obstacles.items() if there]
    if found:
        raise InputError(f"reuse_scoring does not go with {found[0]}; leave it off")


def _differs_in_training(module: torch.nn.Module) -> bool:
    rates = (getattr(module, name, 0.0) for name in ("p", "drop_prob", "prob", "dropout"))
    drops = any(isinstance(rate, float) and rate > 0 for rate in rates)
    return drops or isinstance(module, torch.nn.modules.batchnorm._BatchNorm)


def start_state(
    recipe: Recipe,
    pairs: Pairs,
    towers: Towers,
    optimizer: torch.optim.Optimizer,
    samples_end: int,
    seed: int,
    ranks: Ranks,
) -> State:
    """The state of a run that has seen nothing and ends at `samples_end`."""
    stream = Stream(pairs.rows, pairs.repeats, most_candidates(recipe, ranks.world), seed)
    telemetry = None
    if recipe.selects:
        telemetry = Telemetry(times_n=np.zeros(len(uids_of(pairs)), dtype=np.int32))
    return State(
        towers=towers,
        optimizer=optimizer,
        loss=_loss(recipe, pairs, samples_end, ranks).to(towers.device),
        stream=stream,
        stream_state=stream.state(),
        telemetry=telemetry,
    )


def _loss(recipe: Recipe, pairs: Pairs, samples_end: int, ranks: Ranks) -> torch.nn.Module:
    if recipe.loss != "rho":
        return make_loss(recipe.loss, ranks)
    gamma = recipe.rho_gamma
    if gamma is None:
        gamma = gamma_for(samples_end / float(pairs.repeats.sum()))
    return ReferenceLoss(len(pairs.tokens), gamma=gamma, ranks=ranks)


def make_chooser(
    recipe: Recipe, pairs: Pairs, towers: Towers, source: StoredEmbeddings | None, seed: int, ranks: Ranks
) -> Chooser:
    """What chooses the batches of a run.

    Raises:
        InputError: the pairs have no uids or too few different images, or one has no reference embedding.
    """
    keys = selection_keys(pairs) if recipe.selects else None
    if keys is not None:
        _check_images(recipe, keys[torch.from_numpy(pairs.rows)])
    if recipe.selects and source is not None and scoring_loss(recipe) == "siglip" and source.bias == 0:
        _log.warning(
            "the reference has no bias, so it was trained with the softmax loss, and its sigmoid losses do "
            "not compare with those of the learner; train with loss clip, or take a reference with a bias"
        )
    reference = join(source, pairs) if recipe.needs_reference and source is not None else None
    return Chooser(recipe=recipe, towers=towers, reference=reference, keys_n=keys, seed=seed, ranks=ranks)


def _check_images(recipe: Recipe, keys_n: torch.Tensor) -> None:
    different = len(torch.unique(keys_n))
    if different < recipe.batch_size:
        raise InputError(
            f"batch_size {recipe.batch_size} is more than the {different} different images of the "
            f"{len(keys_n)} pairs, and no image is chosen twice for one batch; lower batch_size"
        )
