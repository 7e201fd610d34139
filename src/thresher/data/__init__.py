"""Reading and writing pairs: shards, index, images, quarantine."""
