"""Made mixture tables: what each domain teaches is known."""

import numpy as np

DOMAINS, LOSSES = 4, 3


def mixes(number, seed=0):
    """Shares drawn evenly, a few of them zero [N, D]."""
    shares = np.random.default_rng(seed).dirichlet(np.full(DOMAINS, 0.7), number)
    shares[shares < 0.03] = 0
    return shares / shares.sum(1, keepdims=True)


def exact(shares, sizes=None):
    """A power law in the worth of the shares and in the size; each loss has a domain of its own [N, M]."""
    worth = 0.01 + shares @ np.array([[1, 0.1, 0.02, 0.05], [0.05, 1, 0.02, 0.1], [0.02, 0.1, 1, 0.05]]).T
    scale = 1 if sizes is None else (sizes / 1e8)[:, None] ** -0.1
    return 1.5 + 0.8 * scale * worth ** -np.array([0.2, 0.15, 0.3])


def measured(shares, noise=0.003, seed=1, sizes=None):
    """Losses of runs [N, M]."""
    losses = exact(shares, sizes)
    return losses * np.exp(noise * np.random.default_rng(seed).standard_normal(losses.shape))
