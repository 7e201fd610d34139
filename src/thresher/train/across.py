"""Chosen pairs of many ranks: each trains on its share, and all know which pairs were chosen."""

import numpy as np
import numpy.typing as npt
import torch

from thresher.selection.balance import balance
from thresher.selection.exchange import gather_rows, group_of
from thresher.selection.ranks import SelectionAcross
from thresher.train.pairs import Batch


def moved(batch: Batch, across: SelectionAcross, keys: list[int], device: torch.device) -> Batch:
    """This rank's share of the chosen pairs, in an order that says nothing of their scores."""
    tensors = (torch.from_numpy(batch.rows_B), torch.from_numpy(batch.images_BHWC), batch.tokens_BT)
    rows, images, tokens = (one.cpu() for one in balance([one.to(device) for one in tensors], across))
    order = np.random.default_rng(keys).permutation(len(rows))
    return Batch(rows.numpy(), images.numpy(), tokens).take(order)


def chosen_rows(batch: Batch, across: SelectionAcross, device: torch.device) -> npt.NDArray[np.int64]:
    """Rows of all ranks' chosen pairs, in the order in which they were chosen."""
    count = len(batch.rows_B)  # the same on every rank
    rows: npt.NDArray[np.int64] = rows_of_all(batch, device)[
        (across.ranks_b * count + across.places_b).cpu().numpy()
    ]
    return rows


def rows_of_all(batch: Batch, device: torch.device) -> npt.NDArray[np.int64]:
    """Rows of the batches of all ranks, which are of one size."""
    group = group_of()
    if group.world == 1:
        return batch.rows_B
    rows_N1 = gather_rows(
        torch.from_numpy(batch.rows_B).to(device)[:, None], [len(batch.rows_B)] * group.world, group
    )
    rows: npt.NDArray[np.int64] = rows_N1.flatten().cpu().numpy()
    return rows
