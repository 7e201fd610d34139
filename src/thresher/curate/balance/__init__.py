"""Balance: a subset that covers what the pool covers, without the pool's many copies of what is frequent.

`balance_embeddings` draws equally from the branches of a tree of clusters; `soft_cap_scores` draws by score,
with a cap on repeats that the scores set.
"""
