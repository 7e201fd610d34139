"""Evaluation of a model, and the sets it is evaluated on."""
