"""Two-tower models: loading, preprocessing, embeddings, FLOPs. Everything here is open_clip's."""
