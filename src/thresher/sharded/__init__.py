"""One resumable job over shards: plan its parts, make them, log and summarise the results."""
