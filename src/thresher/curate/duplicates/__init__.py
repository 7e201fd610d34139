"""Duplicates of a pool: pairs whose image is another pair's, byte for byte, to the eye, or in what it shows.

Hashing takes numpy, Pillow and pyarrow; semantic duplicates take stored embeddings and faiss.
"""
