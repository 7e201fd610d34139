"""Chosen rows, spread evenly over the ranks.

Shapes: W ranks, B candidates of this rank, b chosen of all ranks together.
"""

from collections.abc import Sequence

import torch

from thresher.selection.across_ranks import SelectionAcross
from thresher.selection.exchange import move_rows


def balance(rows: Sequence[torch.Tensor], chosen: SelectionAcross) -> list[torch.Tensor]:
    """The chosen rows of all ranks, b / W of them on each, in the order in which they were drawn.

    A rank keeps its own as far as it has room; only what is too much for it moves.

    Args:
        rows: tensors [B, ...] of this rank's candidates (pixels, tokens, ...); all ranks give the same kinds.
        chosen: from `select_across`.

    Raises:
        ValueError: the number of chosen pairs does not divide by the number of ranks.
    """
    group = chosen.group
    if len(chosen.ranks_b) % group.world:
        raise ValueError(f"{len(chosen.ranks_b)} chosen pairs do not divide by {group.world} ranks")
    target_b = _targets(chosen.ranks_b, group.world)
    table_WW = torch.zeros(group.world, group.world, dtype=torch.int64)
    table_WW.index_put_((chosen.ranks_b.cpu(), target_b.cpu()), torch.tensor(1), accumulate=True)
    mine = chosen.ranks_b == group.rank
    leaving = chosen.places_b[mine][torch.sort(target_b[mine], stable=True).indices]
    arriving_b = target_b == group.rank
    # Rows arrive rank after rank, and of each rank in the order in which they were drawn.
    order = torch.sort(torch.sort(chosen.ranks_b[arriving_b], stable=True).indices).indices
    moved = []
    for tensor in rows:
        flat = tensor.index_select(0, leaving).flatten(1) if tensor.ndim > 1 else tensor[leaving, None]
        got = move_rows(flat, table_WW[group.rank].tolist(), table_WW[:, group.rank].tolist(), group)
        moved.append(got.index_select(0, order).reshape(-1, *tensor.shape[1:]))
    return moved


def _targets(ranks_b: torch.Tensor, world: int) -> torch.Tensor:
    """The rank on which each chosen row is to lie, equally many on each."""
    quota = len(ranks_b) // world
    target_b = ranks_b.clone()
    surplus, room = [], []
    for rank in range(world):
        held = (ranks_b == rank).nonzero().flatten()
        surplus.append(held[quota:])
        room += [rank] * max(0, quota - len(held))
    moving = torch.cat(surplus)
    target_b[moving] = torch.tensor(room, dtype=torch.int64, device=ranks_b.device)
    return target_b
