"""Thresher decides which image-text pairs to train on, for the compute you have.

>>> import thresher as th
>>> th.parse_count("32M")
32000000

The planning side is here under short names: `th.fit(th.read_runs("runs.jsonl"))`, then `th.plan`,
`th.predict` and `th.suggest`. Each is loaded when it is first used, and none of them loads torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thresher.budget import DEVICES, Price, parse_count
    from thresher.errors import InputError, MissingExtra
    from thresher.planning.api import plan, predict, suggest
    from thresher.planning.laws.fit import fit
    from thresher.planning.laws.laws_file import load_laws, save_laws
    from thresher.planning.laws.registry import LAWS
    from thresher.planning.laws.result import Laws
    from thresher.planning.plans.costs import Costs
    from thresher.planning.plans.plan import Plan, load_plan, save_plan
    from thresher.planning.plans.prediction import Prediction
    from thresher.planning.plans.suggestions import Suggestions
    from thresher.planning.runs.importers.formats import import_runs
    from thresher.planning.runs.ledger import append_runs, read_runs
    from thresher.planning.runs.record import Run

__version__ = "0.1.0"

_HOMES = {
    "thresher.planning.api": ("Prediction", "Suggestions", "plan", "predict", "suggest"),
    "thresher.budget": ("DEVICES", "Price", "parse_count"),
    "thresher.errors": ("InputError", "MissingExtra"),
    "thresher.planning.runs.importers.formats": ("import_runs",),
    "thresher.planning.laws.registry": ("LAWS",),
    "thresher.planning.laws.fit": ("fit",),
    "thresher.planning.laws.result": ("Laws",),
    "thresher.planning.laws.laws_file": ("load_laws", "save_laws"),
    "thresher.planning.plans.costs": ("Costs",),
    "thresher.planning.plans.plan": ("Plan", "load_plan", "save_plan"),
    "thresher.planning.runs.ledger": ("append_runs", "read_runs"),
    "thresher.planning.runs.record": ("Run",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "DEVICES",
    "LAWS",
    "Costs",
    "InputError",
    "Laws",
    "MissingExtra",
    "Plan",
    "Prediction",
    "Price",
    "Run",
    "Suggestions",
    "append_runs",
    "fit",
    "import_runs",
    "load_laws",
    "load_plan",
    "parse_count",
    "plan",
    "predict",
    "read_runs",
    "save_laws",
    "save_plan",
    "suggest",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
