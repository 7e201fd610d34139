"""One resumable job over shards: plan its parts, make them, log and sum up what came of them."""
