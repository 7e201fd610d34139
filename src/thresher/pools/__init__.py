"""Quality pools: the rows of a score table, cut at quantiles or thresholds, best pool first."""

from thresher.pools.cut import cut
from thresher.pools.record import Pool, Pools, load_pools

__all__ = ["Pool", "Pools", "cut", "load_pools"]
