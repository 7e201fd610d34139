"""The processes that `torchrun` starts, or the single one without it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among `world`; rank 0 writes files."""

    rank: int
    world: int
    local: int

    @property
    def is_main(self) -> bool:
        """Whether this process writes the results."""
        return self.rank == 0


SINGLE = Ranks(rank=0, world=1, local=0)


def is_first_rank() -> bool:
    """Whether this process is the one that writes, also before it has joined the others."""
    return os.environ.get("RANK", "0") == "0"


def device_of(device: str, number: int | None) -> str:
    """The device of process `number` of several on this machine: with `cuda`, each has its own GPU.

    >>> device_of("cuda:1", 3), device_of("cpu", 3), device_of("cuda", None)
    ('cuda:1', 'cpu', 'cuda')
    """
    if device != "cuda" or number is None:
        return device
    return f"cuda:{number % max(1, torch.cuda.device_count())}"


@contextmanager
def ranks_from_environment(device: str) -> Iterator[Ranks]:
    """Join the process group that `torchrun` describes; without one, the single process.

    Backend: nccl where `device` is cuda (then each process is on its own GPU), else gloo.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield SINGLE
        return
    local = int(os.environ.get("LOCAL_RANK", "0"))
    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(device_of(device, local))
    # The others wait for rank 0 while it decodes, which may take hours.
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=timedelta(hours=12))
    try:
        yield Ranks(rank=dist.get_rank(), world=world, local=local)
    finally:
        dist.destroy_process_group()


def wrap(model: torch.nn.Module, ranks: Ranks) -> torch.nn.Module:
    """`model` with gradients averaged over ranks; batch-norm buffers are those of rank 0."""
    if ranks.world == 1:
        return model
    return torch.nn.parallel.DistributedDataParallel(model)


def share(rows: npt.NDArray[np.int64], ranks: Ranks) -> npt.NDArray[np.int64]:
    """This rank's slice of a batch; the batch size divides by the number of ranks."""
    size = len(rows) // ranks.world
    return rows[ranks.rank * size : (ranks.rank + 1) * size]


def barrier(ranks: Ranks) -> None:
    """Wait until every rank is here."""
    if ranks.world > 1:
        dist.barrier()


@contextmanager
def main_first(ranks: Ranks) -> Iterator[None]:
    """Run the block on rank 0, then on the others, which find the files that it wrote."""
    if not ranks.is_main:
        barrier(ranks)
    yield
    if ranks.is_main:
        barrier(ranks)


def mean(value: torch.Tensor, ranks: Ranks) -> torch.Tensor:
    """`value` averaged over ranks."""
    if ranks.world == 1:
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total / ranks.world
