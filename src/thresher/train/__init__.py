"""Contrastive training: batches, schedule, loop, checkpoints."""
