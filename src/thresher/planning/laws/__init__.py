"""Laws of how a pool's worth falls with repetition, and their fits.

`LAWS` holds every law by the name that `thresher fit --law` takes.

>>> list(LAWS)
['utility', 'harmful', 'effective-data', 'data-constrained', 'saturating', 'bounded', 'power']
"""
