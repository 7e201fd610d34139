"""Scores and embeddings that others computed."""
