"""New tar files from the pairs of others: bytes are copied as they are, nothing is decoded or encoded."""
