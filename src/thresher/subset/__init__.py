"""The chosen pairs with their repeats, as a list of uids, a table, or new shards."""

from thresher.subset.manifest import manifest
from thresher.subset.npy import read_npy_subset
from thresher.subset.planned import subset_from_plan
from thresher.subset.write import FORMATS, SubsetSummary, write_subset

__all__ = ["FORMATS", "SubsetSummary", "manifest", "read_npy_subset", "subset_from_plan", "write_subset"]
