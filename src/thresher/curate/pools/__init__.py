"""Quality pools: the rows of a score table, cut at quantiles or thresholds, best pool first."""
