"""Duplicates of a pool: pairs whose image is another pair's, byte for byte, to the eye, or in what it shows.

Hashing takes numpy, Pillow and pyarrow; semantic duplicates take stored embeddings and faiss.
"""

from thresher.duplicates.dedup import DedupSummary, deduplicate
from thresher.duplicates.hashes import perceptual_hash
from thresher.duplicates.near import near_pairs
from thresher.duplicates.semantic import semantic_duplicates

__all__ = ["DedupSummary", "deduplicate", "near_pairs", "perceptual_hash", "semantic_duplicates"]
