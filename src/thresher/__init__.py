"""Thresher decides which image-text pairs to train on, for the compute you have.

>>> import thresher as th
>>> th.parse_count("32M")
32000000

The planning side is here under short names: `th.fit(th.read_runs("runs.jsonl"))`, then `th.plan`,
`th.predict` and `th.suggest`. Each is loaded when it is first used, and none of them loads torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from thresher.api import Prediction, Suggestions, plan, predict, suggest
    from thresher.budget import DEVICES, Price, parse_count
    from thresher.errors import InputError, MissingExtra
    from thresher.importers import import_runs
    from thresher.laws import LAWS
    from thresher.laws.fit import fit
    from thresher.laws.result import Laws
    from thresher.laws.store import load_laws, save_laws
    from thresher.plans import Costs, Plan
    from thresher.plans.store import load_plan, save_plan
    from thresher.runs import Run, append_runs, read_runs

_HOMES = {
    "thresher.api": ("Prediction", "Suggestions", "plan", "predict", "suggest"),
    "thresher.budget": ("DEVICES", "Price", "parse_count"),
    "thresher.errors": ("InputError", "MissingExtra"),
    "thresher.importers": ("import_runs",),
    "thresher.laws": ("LAWS",),
    "thresher.laws.fit": ("fit",),
    "thresher.laws.result": ("Laws",),
    "thresher.laws.store": ("load_laws", "save_laws"),
    "thresher.plans": ("Costs", "Plan"),
    "thresher.plans.store": ("load_plan", "save_plan"),
    "thresher.runs": ("Run", "append_runs", "read_runs"),
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
