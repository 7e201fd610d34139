"""Plans: which mix of pools to train on at each budget."""
