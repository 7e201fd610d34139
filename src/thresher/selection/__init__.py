"""Choosing a sub-batch from a super-batch: pure functions on embeddings.

After arXiv 2406.17711. Nothing here knows about data or training; any loop can call `select`, or
`select_across` where the candidates lie on several processes.
"""

from thresher.choices import CRITERIA, LOSSES, METHODS
from thresher.selection.across_ranks import SelectionAcross, select_across
from thresher.selection.balance import balance
from thresher.selection.embeddings import Embeddings, take
from thresher.selection.keys import chunk_sizes, sub_batch_size, uid_keys
from thresher.selection.select import Selection, select

__all__ = [
    "CRITERIA",
    "LOSSES",
    "METHODS",
    "Embeddings",
    "Selection",
    "SelectionAcross",
    "balance",
    "chunk_sizes",
    "select",
    "select_across",
    "sub_batch_size",
    "take",
    "uid_keys",
]
