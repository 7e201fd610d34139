"""Laws of how a pool's worth falls with repetition, and their fits.

`registry.LAWS` holds every law by the name that `thresher fit --law` takes.

>>> from thresher.planning.laws.registry import LAWS
>>> list(LAWS)
['utility', 'harmful', 'effective-data', 'data-constrained', 'saturating', 'bounded', 'power']
"""
