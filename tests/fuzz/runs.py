"""Tables of runs of every shape, planned and odd: a fit and a plan within their bounds, or a sentence."""

import math
import re
from random import Random
from typing import Any

from tests.fuzz.case import Case, must, sentence
from thresher.errors import InputError
from thresher.planning.laws.fit import fit
from thresher.planning.laws.result import Laws
from thresher.planning.plans.make_plan import make_plan
from thresher.planning.plans.plan import Plan
from thresher.planning.runs.ledger import append_runs, read_runs
from thresher.planning.runs.record import Run

LAWS = ("auto", "utility", "harmful", "effective-data", "data-constrained", "saturating", "bounded", "power")
NUMBER = re.compile(r"(?<![\w.])(\d[\d,]*(?:\.\d+)?)%")
ODD = re.compile(r"\b(nan|inf|None)\b", re.IGNORECASE)


def runs(case: Case) -> None:
    random = case.random
    loss = random.random() < 0.25
    chance = 1.0 if loss or random.random() < 0.6 else random.choice((0.5, 0.9, 0.995))
    made = table(random, loss=loss, chance=chance)
    path = case.inside / "runs.jsonl"
    try:
        append_runs(path, made)
    except InputError as error:
        sentence(error)
    given = settings(random)
    case.notes.append(f"{len(made)} runs, {given}")
    case.seal()
    try:
        laws = fit(read_runs(path), **given)
        longest = max(run.samples_seen for run in made)
        budgets = [max(1, int(longest * random.choice((0.1, 1, 4, 30, 1000)))) for _ in range(2)]
        plan = make_plan(laws, budgets, weights=random.choice(("subsets", "subsets", "both")))
    except InputError as error:
        sentence(error)
        return
    check(laws, plan, most=None if loss else chance if any(run.chance_error for run in made) else 1.0)


def settings(random: Random) -> dict[str, Any]:
    given: dict[str, Any] = {"num_draws": random.choice((0, 10, 40)), "seed": random.randrange(3)}
    given["law"] = LAWS[0] if random.random() < 0.3 else random.choice(LAWS[1:])
    if random.random() < 0.1:
        given["own"] = random.choice((["d"], ["A"], ["d", "A"]))
    if random.random() < 0.1:
        given["fixed"] = {random.choice(("d", "gamma", "n0", "A")): random.choice((0.0, 0.05, 1.0, 1e6))}
    if random.random() < 0.05:
        given["intervals"] = "profile"
    return given


def table(random: Random, *, loss: bool, chance: float) -> list[Run]:
    """Runs of some pools and mixes: true curves with noise, nothing but noise, or anything."""
    names = [f"p{number}" for number in range(random.choice((1, 1, 2, 3, 3, 5)))]
    size = {name: int(10 ** random.uniform(1, 10)) for name in names}
    lengths = sorted(int(10 ** random.uniform(1, 11)) for _ in range(random.choice((1, 2, 3, 4, 6))))
    told = chance < 1.0 and random.random() < 0.8
    made = []
    for _ in range(random.choice((1, 2, 3, 6, 12, 30))):
        mix = random.sample(names, random.randint(1, len(names))) if random.random() < 0.3 else []
        pool = random.choice(names)
        unique = {name: max(1, int(size[name] * random.choice((1, 1, 0.3, 1e-3)))) for name in mix or [pool]}
        length = random.choice(lengths)
        error = measured(random, length / lengths[-1], names.index(pool), loss=loss, chance=chance)
        made.append(
            Run(
                **(
                    {"weights": {name: random.choice((1.0, 2.0, 1e-6)) for name in mix}}
                    if mix
                    else {"pool": pool}
                ),
                unique_samples=unique if mix else unique[pool],
                samples_seen=length,
                error=error,
                metric="val_loss" if loss else "error",
                role=random.choice(("fit", "fit", "fit", "check", "verify")),
                seed=random.choice((None, 0, 1)),
                final=random.choice((None, True, True, False)),
                params=random.choice((None, None, 1e6, 1e8)),
                replacement=random.choice((None, False, True)),
                chance_error=chance if told else None,
            )
        )
    return made


def measured(random: Random, share: float, place: int, *, loss: bool, chance: float) -> float:
    """An error at a share of the longest run."""
    match random.randrange(6):
        case 0:
            error = random.uniform(0, chance)
        case 1:
            error = chance
        case 2:
            error = random.choice((1e-12, 1e-6, 0.5 * chance, chance * (1 - 1e-9)))
        case _:
            error = chance * (0.2 + 0.1 * place + 0.3 * share**-0.1 * random.lognormvariate(0, 0.02))
    if loss:
        return max(1e-9, error * random.choice((1.0, 3.0, 3.0, 100.0)))
    return min(chance, max(1e-12, error))


def check(laws: Laws, plan: Plan, *, most: float | None) -> None:
    """No error above its bound, nothing that is no number, chances that sum to at most 1."""
    for point in (*laws.points, *laws.check.points):
        bounded(point.predicted, most)
    for budget in plan.budgets:
        for candidate in budget.candidates:
            low, middle, high = candidate.low, candidate.predicted_error, candidate.high
            for error in (low, middle, high):
                bounded(error, most)
            must(low <= high, f"the interval {low} to {high} is turned around")
            must(0 <= candidate.chance_best <= 1, f"a chance of {candidate.chance_best}")
            must(candidate.expected_regret >= 0, f"a regret of {candidate.expected_regret}")
        total = sum(candidate.chance_best for candidate in budget.candidates)
        must(total <= 1 + 1e-9, f"chances sum to {total}")
    text = f"{laws}\n{plan}\n" + "\n".join(budget.decision for budget in plan.budgets)
    must(not ODD.search(text), f"{ODD.search(text)} in {text[:300]!r}")
    for shown in NUMBER.findall(text):
        place = text.find(f"{shown}%")
        must(
            float(shown.replace(",", "")) <= 100 or most is None or "off the fit" in text[place : place + 60],
            f"{shown}% is shown: {text[max(0, place - 60) : place + 40]!r}",
        )


def bounded(error: float, most: float | None) -> None:
    must(math.isfinite(error) and error >= 0, f"an error of {error}")
    must(most is None or error <= most * (1 + 1e-9), f"an error of {error} above {most}")
