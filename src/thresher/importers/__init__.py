"""Finished runs of other tools as runs of our ledger: open_clip, DataComp, Weights & Biases, any table."""

from thresher.importers.formats import FORMATS, import_runs

__all__ = ["FORMATS", "import_runs"]
