"""Plans: which mix of pools to train on at each budget."""

from thresher.plans.costs import Costs, costs_of_runs
from thresher.plans.make import WEIGHTS, make_plan
from thresher.plans.result import (
    LOSS_TOLERANCE,
    SURE,
    TOLERANCE,
    BudgetPlan,
    Candidate,
    Charge,
    Crossover,
    FrontierPoint,
    Payback,
    Plan,
    Policy,
    Weighting,
    find_candidate,
    winner,
)
from thresher.plans.wording import Contest, summary, weighting_sentence

__all__ = [
    "LOSS_TOLERANCE",
    "SURE",
    "TOLERANCE",
    "WEIGHTS",
    "BudgetPlan",
    "Candidate",
    "Charge",
    "Contest",
    "Costs",
    "Crossover",
    "FrontierPoint",
    "Payback",
    "Plan",
    "Policy",
    "Weighting",
    "costs_of_runs",
    "find_candidate",
    "make_plan",
    "summary",
    "weighting_sentence",
    "winner",
]
