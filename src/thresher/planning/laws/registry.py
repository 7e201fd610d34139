"""Every law by its name."""

from thresher.planning.laws import bounded, constrained, effective, power, saturating, utility
from thresher.planning.laws.law import Law

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
