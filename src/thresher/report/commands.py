"""The commands that write the subset again and train on it."""

import dataclasses
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thresher.budget import format_count
from thresher.planning.laws.laws_file import read_record
from thresher.planning.plans.plan import Plan
from thresher.report.wording import number_text
from thresher.tables import passes_text


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """What the subset is, its pools as rows, and steps of (what it does, command lines)."""

    summary: str
    pools: list[tuple[str, str, str, str]]
    steps: list[tuple[str, str]]


def read_commands(path: Path, plan: Plan | None) -> Commands:
    """The subset of a `meta.json` in words and commands.

    Raises:
        InputError: the file is not what `thresher subset` writes.
    """
    return read_record(path, "thresher.subset", 1, "thresher subset", lambda subset: _commands(subset, plan))


def _commands(subset: Mapping[str, Any], plan: Plan | None) -> Commands:
    seen = subset.get("samples_seen")
    summary = (
        f"The subset holds {subset['num_unique']:,} pairs; one pass over it is {subset['num_rows']:,} samples"
    )
    summary += f" of the budget of {format_count(seen)} samples seen." if seen else "."
    pools = [
        (
            str(pool["name"]),
            number_text(pool["weight"]),
            f"{pool['num_unique']:,}",
            passes_text(pool["mean_repeats"]),
        )
        for pool in subset["pools"]
    ]
    return Commands(
        summary=summary, pools=pools, steps=_write_step(subset, plan) + _steps(subset["how_to_train"])
    )


def _write_step(subset: Mapping[str, Any], plan: Plan | None) -> list[tuple[str, str]]:
    """How the subset was written; nothing where it is not the plan's choice for its budget."""
    chosen = (subset.get("plan") or {}).get("candidate")
    best = {budget.samples_seen: budget.best for budget in plan.budgets} if plan is not None else {}
    if chosen is None or best.get(subset.get("samples_seen", 0)) != chosen:
        return []
    shards = " --shards SHARDS" if subset["format"] == "shards" else ""
    command = (
        f"thresher subset plan.json --budget {subset['samples_seen']} --pools pools{shards} "
        f"--out subset --format {shlex.quote(subset['format'])}"
    )
    return [("Write the subset again, in this workdir:", command)]


def _steps(lines: list[str]) -> list[tuple[str, str]]:
    """Script lines as steps: comment lines say what the commands after them do."""
    steps: list[tuple[str, str]] = []
    for line in lines:
        if line.startswith("#"):
            text = line.lstrip("# ")
            steps.append((text[:1].upper() + text[1:], ""))
        elif steps:
            note, before = steps[-1]
            steps[-1] = (note, f"{before}\n{line}" if before else line)
        else:
            steps.append(("Train on the subset:", line))
    return steps
