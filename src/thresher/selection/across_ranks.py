"""One sub-batch out of a super-batch that lies on several processes.

Each rank holds some of the candidates and what the models say of them. Between ranks go all keys once, for
each chunk the best few candidates of every rank, and the embeddings of those that were chosen. Of the noise,
the tiles and the order of summation nothing depends on the number of ranks, so `global` selection picks the
same pairs on one rank and on many.

Shapes: W ranks, B candidates of this rank, b chosen of all ranks together, c pairs of a chunk.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import torch
import torch.distributed as dist

from thresher.selection.backends import BACKENDS, make_backend
from thresher.selection.choices import CRITERIA, LOSSES, METHODS, MODES
from thresher.selection.criteria import Weighted, diagonal_score, weighted_models
from thresher.selection.embeddings import Embeddings, take
from thresher.selection.exchange import Group, gather_rows, group_of
from thresher.selection.joint import Running
from thresher.selection.keys import TooFewCandidates, chunk_sizes
from thresher.selection.noise import by_value, gumbel, largest_places, perturb
from thresher.selection.threads import tile_workers

TEXT_BYTES = 256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Selection:
    """The chosen pairs, in the order in which they were drawn."""

    places_b: torch.Tensor  # int64, rows of the super-batch as it was given
    score_B: torch.Tensor  # fp32, score s_jj of every candidate by itself
    logit_b: torch.Tensor  # fp32, logit of each chosen pair when it was drawn
    flops: float  # of the selection's matrix products


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SelectionAcross(Selection):
    """The chosen pairs of all ranks; the same on every rank, but for `score_B` and `flops`."""

    ranks_b: torch.Tensor  # int64, rank that holds each, in whose candidates `places_b` counts
    group: Group

    def mine(self) -> torch.Tensor:
        """Rows of this rank that were chosen, in the order in which they were drawn."""
        return self.places_b[self.ranks_b == self.group.rank]


def select_across(
    learner: Embeddings | None,
    reference: Embeddings | None,
    keys_B: torch.Tensor,
    *,
    size: int,
    step: int,
    seed: int,
    mode: str = "global",
    method: str = "joint",
    criterion: str = "learnability",
    loss: str = "siglip",
    chunks: int = 16,
    gain: float = 1.0,
    backend: str = "auto",
    process_group: dist.ProcessGroup | Group | None = None,
) -> SelectionAcross:
    """Choose `size` pairs of the candidates of all ranks; every rank calls this with its own.

    `global` draws what `select` would draw of all candidates together, wherever they lie; `balance` then
    brings `size` / W of them to each rank. `stratified` draws `size` / W of each rank's own candidates, so
    nothing has to move; scores are still against all that is chosen so far. Of candidates with one key only
    the first of the lowest rank can be chosen.

    Args:
        learner: the learner's embeddings of this rank's candidates.
        reference: the reference's.
        keys_B: keys of this rank's candidates; ranks may hold different numbers of them.
        size: pairs to choose on all ranks together.
        step: of the training.
        seed: of the noise.
        mode: `global` or `stratified`.
        method: as in `select`, and so are criterion, loss, chunks, gain and backend.
        criterion: `learnability`, `easy-reference` or `hard-learner`.
        loss: `siglip` or `clip`.
        chunks: steps in which joint selection draws.
        gain: factor of the logits.
        backend: how the sums are computed.
        process_group: the ranks, or their `Group`; None is all of them, or this process alone without
            torch.distributed.

    Raises:
        ValueError: an unknown name, embeddings that one rank gave and that `select` would refuse, fewer
            different candidates than asked for, or a `size` that does not divide by W; on every rank.
    """
    check_names(method=method, criterion=criterion, loss=loss, backend=backend)
    if mode not in MODES:
        raise ValueError(f"mode {mode!r} is unknown; take one of {', '.join(MODES)}")
    group, per_rank = group_of(process_group), mode == "stratified"
    if size % group.world and per_rank:
        raise ValueError(f"size {size} does not divide by {group.world} ranks")
    problem, models = "", list[Weighted]()
    if method != "uniform":
        try:
            models = weighted_models(criterion, learner, reference, len(keys_B))
        except ValueError as error:
            if group.world == 1:
                raise
            problem = str(error)
    if models:
        keys_B = keys_B.to(models[0].embeddings.image_BD.device)
    with torch.no_grad(), tile_workers(keys_B.device) as workers:
        counts = _agree(problem, len(keys_B), group, keys_B.device)
        score_B = diagonal_score(models, loss) if models else torch.zeros(len(keys_B), device=keys_B.device)
        blocked_B = _blocked(keys_B, counts, size, group, per_rank=per_rank)
        running = None
        if method == "joint":
            running = Running(models, loss, make_backend(backend, keys_B.device), workers)
        sizes = chunk_sizes(size // group.world if per_rank else size, chunks if running is not None else 1)
        drawn = []
        for chunk, count in enumerate(sizes):
            logit_B = score_B if running is None else running.logits()
            noise_B = gumbel(keys_B, seed=seed, step=step, chunk=chunk)
            values_B = perturb(logit_B, noise_B, blocked_B, gain)
            drawn.append(_draw(values_B, logit_B, keys_B, count, group, per_rank=per_rank))
            blocked_B[drawn[-1].places_of(group.rank)] = True
            if running is not None and chunk + 1 < len(sizes):
                running.add(_chunk(models, drawn[-1], group))
    return SelectionAcross(
        ranks_b=torch.cat([part.ranks_c for part in drawn]),
        places_b=torch.cat([part.places_c for part in drawn]),
        logit_b=torch.cat([part.logit_c for part in drawn]),
        score_B=score_B,
        flops=running.flops if running is not None else 0.0,
        group=group,
    )


def check_names(**given: str) -> None:
    """Refuse a method, criterion, loss or backend that does not exist."""
    known: dict[str, Collection[str]] = {
        "method": METHODS,
        "criterion": CRITERIA,
        "loss": LOSSES,
        "backend": ("auto", *BACKENDS),
    }
    for what, name in given.items():
        if name not in known[what]:
            raise ValueError(f"{what} {name!r} is unknown; take one of {', '.join(known[what])}")


@dataclass(frozen=True, slots=True)
class _Drawn:
    """The pairs of one chunk, largest perturbed logit first; the same on every rank."""

    ranks_c: torch.Tensor
    places_c: torch.Tensor
    keys_c: torch.Tensor
    logit_c: torch.Tensor

    def places_of(self, rank: int) -> torch.Tensor:
        """Rows of a rank among them, in order of their keys."""
        held = self.ranks_c == rank
        return self.places_c[held][torch.sort(self.keys_c[held]).indices]


def _draw(
    values_B: torch.Tensor,
    logit_B: torch.Tensor,
    keys_B: torch.Tensor,
    count: int,
    group: Group,
    *,
    per_rank: bool,
) -> _Drawn:
    """The `count` largest values of all ranks (of each rank with `per_rank`); of equal ones lower keys."""
    kept = min(count, len(values_B))
    places_k = largest_places(values_B, keys_B, kept)
    row_k4 = torch.full((count, 4), -1, dtype=torch.int64, device=values_B.device)
    columns = (values_B.view(torch.int64), logit_B.double().view(torch.int64), keys_B)
    for column, numbers_B in enumerate(columns):
        row_k4[:kept, column] = numbers_B[places_k]
    row_k4[:kept, 3] = places_k
    row_k4[kept:, 0] = values_B.new_full((count - kept,), -torch.inf).view(torch.int64)
    row_n4 = gather_rows(row_k4, [count] * group.world, group)
    value_n, logit_n = (
        row_n4[:, 0].contiguous().view(torch.double),
        row_n4[:, 1].contiguous().view(torch.double),
    )
    rank_n = torch.arange(group.world, device=row_n4.device).repeat_interleave(count)
    order = by_value(value_n, row_n4[:, 2])[: len(value_n) if per_rank else count]
    return _Drawn(rank_n[order], row_n4[order, 3], row_n4[order, 2], logit_n[order].float())


def _chunk(models: list[Weighted], drawn: _Drawn, group: Group) -> list[Embeddings]:
    """Each model's embeddings of the chunk on every rank, in order of the keys."""
    own = [take(model.embeddings, drawn.places_of(group.rank)) for model in models]
    if group.world == 1:
        return own
    counts = torch.bincount(drawn.ranks_c, minlength=group.world).tolist()
    by_key = torch.sort(drawn.keys_c).indices
    order = torch.sort(torch.sort(drawn.ranks_c[by_key], stable=True).indices).indices
    return [_gathered(embeddings, counts, order, group) for embeddings in own]


def _gathered(own: Embeddings, counts: Sequence[int], order: torch.Tensor, group: Group) -> Embeddings:
    dim = own.image_BD.shape[1]
    both = gather_rows(torch.cat([own.image_BD, own.text_BD], dim=1), counts, group).index_select(0, order)
    return replace(own, image_BD=both[:, :dim].contiguous(), text_BD=both[:, dim:].contiguous())


def _agree(problem: str, num_rows: int, group: Group, device: torch.device) -> list[int]:
    """The number of candidates of each rank.

    Raises:
        ValueError: a rank has a problem, or no candidates; on all ranks, as the others would wait for it.
    """
    if group.world == 1:
        return [num_rows]
    text = problem.encode()[:TEXT_BYTES].ljust(TEXT_BYTES)
    own = torch.tensor([[num_rows, *text]], device=device)
    for rank, (count, *said) in enumerate(found := gather_rows(own, [1] * group.world, group).tolist()):
        if problem := bytes(said).decode(errors="replace").strip():
            raise ValueError(problem if rank == group.rank else f"rank {rank}: {problem}")
        if not count:
            raise ValueError(f"rank {rank} has no candidates; give every rank its share")
    return [count for count, *_ in found]


def _blocked(
    keys_B: torch.Tensor, counts: Sequence[int], size: int, group: Group, *, per_rank: bool
) -> torch.Tensor:
    """Which candidates of this rank have a key that an earlier one, or one of a lower rank, has.

    Raises:
        ValueError: too few are left; on all ranks.
    """
    keys_N = gather_rows(keys_B[:, None], counts, group).flatten()
    order_N = torch.sort(keys_N, stable=True).indices
    sorted_N = keys_N[order_N]
    repeated_N = torch.zeros_like(sorted_N, dtype=torch.bool)
    repeated_N[1:] = sorted_N[1:] == sorted_N[:-1]
    blocked_N = torch.empty_like(repeated_N).index_copy_(0, order_N, repeated_N)
    blocked = torch.split_with_sizes(blocked_N, list(counts))
    available = [int((~part).sum()) for part in blocked]
    if not per_rank and not 1 <= size <= sum(available):
        raise TooFewCandidates(f"size is {size}; take from 1 to the {sum(available)} different candidates")
    least = min(available)
    if per_rank and not 1 <= size // group.world <= least:
        raise TooFewCandidates(
            f"size {size} takes {size // group.world} of each of {group.world} ranks, and rank "
            f"{available.index(least)} has {least} different candidates; take less, or mode global"
        )
    return blocked[group.rank].clone()
