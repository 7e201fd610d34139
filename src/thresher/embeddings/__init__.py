"""Embeddings of pairs, cached in a folder: what a reference model says of every pair, found by uid.

Reading them takes numpy and pyarrow alone; only writing them loads a model.
"""

from thresher.embeddings.embed import embed_folder, embed_shards
from thresher.embeddings.numbers import DTYPES
from thresher.embeddings.stored import StoredEmbeddings, open_embeddings

__all__ = ["DTYPES", "StoredEmbeddings", "embed_folder", "embed_shards", "open_embeddings"]
