"""Combining scores: by their ranks, by their product, or by a small model learned from labelled pairs.

`joined` brings columns together by uid, `ranks` makes scores of any scale comparable, `learned` fits the
model, `auc` says how well it does, `make` writes the scores folder.
"""

from thresher.combine.auc import Auc, auc, gain
from thresher.combine.labels import Labels, read_labels
from thresher.combine.learned import HeldOut, LearnedModel, Measured, learn
from thresher.combine.make import METHODS, Combination, combine, mean_of_ranks, product
from thresher.combine.store import load_model, save_model

__all__ = [
    "METHODS",
    "Auc",
    "Combination",
    "HeldOut",
    "Labels",
    "LearnedModel",
    "Measured",
    "auc",
    "combine",
    "gain",
    "learn",
    "load_model",
    "mean_of_ranks",
    "product",
    "read_labels",
    "save_model",
]
