"""Laws of what a pool is worth when it is repeated, and their fits.

`LAWS` holds every law by the name that `thresher fit --law` takes.

>>> list(LAWS)
['utility', 'harmful', 'effective-data', 'data-constrained', 'saturating', 'bounded', 'power']
"""

from thresher.laws import bounded, constrained, effective, power, saturating, utility
from thresher.laws.law import Law

LAWS: dict[str, Law] = {
    law.name: law
    for law in (
        utility.LAW,
        utility.HARMFUL,
        effective.LAW,
        constrained.LAW,
        saturating.LAW,
        bounded.LAW,
        power.LAW,
    )
}

__all__ = ["LAWS", "Law"]
