"""From scores to the pairs that are trained on: pools, duplicates, balance, subsets, shards."""
