"""The chosen pairs with their repeats, as a list of uids, a table, or new shards."""
