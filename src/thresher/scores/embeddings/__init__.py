"""Embeddings of pairs by a reference model, cached in a folder and found by uid.

Reading them takes numpy and pyarrow alone; only writing them loads a model.
"""
