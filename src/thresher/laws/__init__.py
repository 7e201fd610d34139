"""Laws of what a pool is worth when it is repeated, and their fits.

`LAWS` holds every law by the name that `thresher fit --law` takes.

>>> sorted(LAWS)
['power', 'utility']
"""

from thresher.laws import power, utility
from thresher.laws.law import Law

LAWS: dict[str, Law] = {law.name: law for law in (utility.LAW, power.LAW)}

__all__ = ["LAWS", "Law"]
