"""Rows of tensors between the processes of a group.

Shapes: W ranks, n rows of this rank. Rows travel as bytes, since not every backend knows every dtype.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist


@dataclass(frozen=True, slots=True)
class Group:
    """The processes that select together; `process_group` None is all of them."""

    rank: int
    world: int
    process_group: dist.ProcessGroup | None = None


def group_of(process_group: dist.ProcessGroup | Group | None = None) -> Group:
    """This process in a group; without torch.distributed a group of one."""
    if isinstance(process_group, Group):
        return process_group
    if not (dist.is_available() and dist.is_initialized()):
        return Group(rank=0, world=1)
    return Group(
        rank=dist.get_rank(process_group),
        world=dist.get_world_size(process_group),
        process_group=process_group,
    )


def gather_rows(rows_nK: torch.Tensor, counts: Sequence[int], group: Group) -> torch.Tensor:
    """The rows of all ranks, [sum(counts), K], rank after rank; `counts` says how many each rank has."""
    assert len(rows_nK) == counts[group.rank]
    if group.world == 1:
        return rows_nK
    sent = _bytes(rows_nK)
    padded = sent.new_zeros(max(counts), sent.shape[1])
    padded[: len(sent)] = sent
    received = [torch.empty_like(padded) for _ in range(group.world)]
    dist.all_gather(received, padded, group=group.process_group)
    joined = torch.cat([part[:count] for part, count in zip(received, counts, strict=True)])
    return joined.view(rows_nK.dtype)


def move_rows(
    rows_nK: torch.Tensor, to_each: Sequence[int], from_each: Sequence[int], group: Group
) -> torch.Tensor:
    """Rows that come from each rank, in the order of the ranks, [sum(from_each), K].

    Of `rows_nK` the first `to_each[0]` go to rank 0, the next `to_each[1]` to rank 1, and so on.
    """
    if group.world == 1:
        return rows_nK
    sent = _bytes(rows_nK)
    received = sent.new_empty(sum(from_each), sent.shape[1])
    dist.all_to_all_single(received, sent, list(from_each), list(to_each), group=group.process_group)
    return received.view(rows_nK.dtype)


def _bytes(rows_nK: torch.Tensor) -> torch.Tensor:
    return rows_nK.contiguous().view(torch.uint8)
