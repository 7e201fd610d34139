"""Embeddings of pairs, cached in a folder: what a reference model says of every pair, found by uid.

Reading them takes numpy and pyarrow alone; only writing them loads a model.
"""
