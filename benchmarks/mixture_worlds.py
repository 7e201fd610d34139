"""A made mixture table in RegMix's layout: 17 domains, 13 losses, three sizes (arXiv 2407.01492).

The world is none of the forms that are fitted to it. A domain is learned from what the shares are worth to
it, a sum over domains of transfer times share plus the square root of the product of pairs that work
together; its loss falls as a power of that worth and of the size. Transfer grows with the size, so that mixes
are ranked differently by small and large models.

Axes: N runs, D domains, M losses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DOMAINS = (
    *("arxiv", "freelaw", "nih_exporter", "pubmed_central", "wikipedia_en", "dm_mathematics", "github"),
    *("philpapers", "stack_exchange", "enron_emails", "gutenberg", "pile_cc", "ubuntu_irc", "europarl"),
    *("hackernews", "pubmed_abstracts", "uspto"),
)
MEASURED = tuple(range(13))
"""The domains that have a loss."""
SIZES = {"1M": 1e6, "60M": 6e7, "1B": 1e9}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What mixes are worth.

    Attributes:
        transfer: Of each domain to each loss at the smallest size [M, D].
        growth: By which power of the size transfer between domains grows [M, D].
        pairs: Domains that work together, for each loss [M, 3, 2].
        strength: How much they do [M, 3].
        least, fall: Loss that is left in the end, and what is above it at worth 1 and the smallest size [M].
        power, size_power: Powers of worth and of size [M].
    """

    transfer: Floats
    growth: Floats
    pairs: NDArray[np.int64]
    strength: Floats
    least: Floats
    fall: Floats
    power: Floats
    size_power: Floats

    def losses(self, shares: Floats, size: float) -> Floats:
        """Losses without noise [N, M]."""
        grown = np.log(size / SIZES["1M"])
        worth = 1e-4 + shares @ (self.transfer * np.exp(self.growth * grown)).T
        left, right = shares[:, self.pairs[..., 0]], shares[:, self.pairs[..., 1]]
        worth = worth + (self.strength * np.sqrt(left * right)).sum(2)
        return self.least + self.fall * worth**-self.power * np.exp(-self.size_power * grown)


def world(seed: int) -> World:
    """A world of its seed."""
    made = np.random.default_rng(seed)
    num_losses, num_domains = len(MEASURED), len(DOMAINS)
    transfer = np.exp(made.normal(-4.0, 1.2, (num_losses, num_domains)))
    transfer[np.arange(num_losses), list(MEASURED)] = 1.0
    growth = made.uniform(0, 0.08, transfer.shape)
    growth[np.arange(num_losses), list(MEASURED)] = 0.0
    pairs = np.array([[made.choice(num_domains, 2, replace=False) for _ in range(3)] for _ in MEASURED])
    return World(
        transfer=transfer,
        growth=growth,
        pairs=pairs,
        strength=made.uniform(0.02, 0.3, (num_losses, 3)),
        least=made.uniform(1.0, 2.5, num_losses),
        fall=made.uniform(0.8, 2.0, num_losses),
        power=made.uniform(0.08, 0.25, num_losses),
        size_power=made.uniform(0.05, 0.12, num_losses),
    )


def mixes(number: int, generator: np.random.Generator) -> Floats:
    """Shares drawn as RegMix draws them: Dirichlet around the sizes of the domains, narrow to wide [N, D]."""
    sizes = np.exp(np.random.default_rng(17).normal(0, 1.2, len(DOMAINS)))
    sizes /= sizes.sum()
    strength = np.exp(generator.uniform(np.log(1), np.log(40), number))
    tempered = sizes ** generator.uniform(0.2, 1, (number, 1))
    concentration = tempered / tempered.sum(1, keepdims=True) * strength[:, None]
    shares = generator.gamma(np.maximum(concentration, 1e-3))
    shares[shares < 1e-3 * shares.sum(1, keepdims=True)] = 0
    return np.round(shares / shares.sum(1, keepdims=True), 4) / np.round(
        shares / shares.sum(1, keepdims=True), 4
    ).sum(1, keepdims=True)


def measured(made: World, shares: Floats, size: str, noise: float, generator: np.random.Generator) -> Floats:
    """Losses of runs, half of whose noise is common to all losses of a run [N, M]."""
    exact = made.losses(shares, SIZES[size])
    common = generator.standard_normal((len(shares), 1))
    own = generator.standard_normal(exact.shape)
    return exact * np.exp(noise * (common + own) / np.sqrt(2))


def spearman(left: Sequence[float] | Floats, right: Sequence[float] | Floats) -> float:
    """Rank correlation of two rows without ties."""
    ranks = [np.argsort(np.argsort(np.asarray(row))) for row in (left, right)]
    return float(np.corrcoef(ranks)[0, 1])
