"""New tar files from the pairs of existing ones: bytes are copied, nothing is decoded or encoded."""
