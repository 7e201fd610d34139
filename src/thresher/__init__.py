"""Thresher decides which image-text pairs to train on, for the compute you have."""

__version__ = "0.1.0"
