"""Combining scores: by their ranks, by their product, or by a small model learned from labelled pairs.

`joined` brings columns together by uid, `ranks` makes scores of any scale comparable, `learned` fits the
model, `auc` says how well it does, `make` writes the scores folder.
"""
