"""Balance: a subset that covers what the pool covers, without the pool's many copies of what is frequent.

`balance_embeddings` draws equally from the branches of a tree of clusters; `soft_cap_scores` draws by score,
with a cap on repeats that the scores set.
"""

from thresher.balance.lloyd import Clustering, kmeans, nearest
from thresher.balance.make import Balanced, Level, balance_embeddings
from thresher.balance.points import Points, points_in, points_of
from thresher.balance.sample import draw_balanced, evenness
from thresher.balance.softcap import soft_cap, soft_cap_scores
from thresher.balance.tree import Tree, cluster_counts, grow_tree

__all__ = [
    "Balanced",
    "Clustering",
    "Level",
    "Points",
    "Tree",
    "balance_embeddings",
    "cluster_counts",
    "draw_balanced",
    "evenness",
    "grow_tree",
    "kmeans",
    "nearest",
    "points_in",
    "points_of",
    "soft_cap",
    "soft_cap_scores",
]
