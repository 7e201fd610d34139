"""Choosing a sub-batch from a super-batch: pure functions on embeddings.

After arXiv 2406.17711. Nothing here knows about data or training; any loop can call `select`, or
`select_across` where the candidates lie on several processes. Each name is loaded when it is
first used, so that `choices` can be had without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thresher.selection.across_ranks import Selection, SelectionAcross, select_across
    from thresher.selection.choices import CRITERIA, LOSSES, METHODS
    from thresher.selection.embeddings import Embeddings, take
    from thresher.selection.even_ranks import balance
    from thresher.selection.keys import chunk_sizes, sub_batch_size, uid_keys
    from thresher.selection.sub_batch import select

_HOMES = {
    "across_ranks": ("Selection", "SelectionAcross", "select_across"),
    "choices": ("CRITERIA", "LOSSES", "METHODS"),
    "embeddings": ("Embeddings", "take"),
    "even_ranks": ("balance",),
    "keys": ("chunk_sizes", "sub_batch_size", "uid_keys"),
    "sub_batch": ("select",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

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


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return value
