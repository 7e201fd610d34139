"""Every law by its name."""

from thresher.planning.laws import baselines, bounded, saturating, utility
from thresher.planning.laws.law import Law

LAWS: dict[str, Law] = {
    law.name: law
    for law in (
        utility.LAW,
        utility.HARMFUL,
        baselines.EFFECTIVE,
        baselines.DATA_CONSTRAINED,
        saturating.LAW,
        bounded.LAW,
        baselines.POWER,
    )
}
