"""Finished runs of other tools as runs of our ledger: open_clip, DataComp, Weights & Biases, any table."""
