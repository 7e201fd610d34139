"""The files that grow during a run: losses, FLOPs, picks, selection statistics, and the speed log.

All but the log are cut back to the checkpoint when a run resumes, so that they hold every step once.
"""

import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from thresher.data.files.atomic import append_jsonl
from thresher.errors import InputError
from thresher.selection.embeddings import Embeddings
from thresher.tables import decimal
from thresher.train import ledger, picks, telemetry
from thresher.train.chooser import Chooser, ChosenBatch
from thresher.train.ledger import Costs
from thresher.train.loggers import Outlet
from thresher.train.pairs import Batch
from thresher.train.schedule import Branch
from thresher.train.state import State

TRACE_EVERY = 10
TRACE_FILE = "trace.jsonl"
LOG_FILE = "train.log.jsonl"
LOG_SECONDS = 30.0

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Journal:
    """Writes what happened since the last line; a line is due every `TRACE_EVERY` steps.

    Attributes:
        folder: of the run.
        state: of the run.
        chooser: of the run.
        costs: FLOPs of the model.
        peak_flops: most FLOPs a second of all devices, None where that is not known.
        outlets: get the values of every line.
        losses: of the steps since the last line.
        picked: rows trained on since the last line.
    """

    folder: Path
    state: State
    chooser: Chooser
    costs: Costs
    peak_flops: float | None
    outlets: Sequence[Outlet] = ()
    losses: list[torch.Tensor] = field(default_factory=list)
    picked: list[npt.NDArray[np.int64]] = field(default_factory=list)
    _since: tuple[float, int, float] = (0.0, 0, 0.0)

    @property
    def files(self) -> list[str]:
        """Files that are cut back when a run resumes."""
        chosen = [picks.FILE, telemetry.FILE] if self.state.telemetry is not None else []
        return [TRACE_FILE, ledger.FILE, *chosen]

    def lengths(self) -> dict[str, int]:
        """Bytes of each file so far, safely on disk."""
        return {name: length(self.folder, name) for name in self.files}

    def cut_back(self, lengths: Mapping[str, int]) -> None:
        """Cut every file back to `lengths`."""
        for name in self.files:
            truncate(self.folder, lengths[name], name)

    def begin(self) -> None:
        """Start the clock of a stretch of steps."""
        self._since = (time.monotonic(), self.state.ledger.samples_seen, self.state.ledger.total)

    def add(self, loss: torch.Tensor, choice: ChosenBatch) -> None:
        """Take note of a step that was just made."""
        recipe, state = self.chooser.recipe, self.state
        self.losses.append(loss)
        state.ledger.add(
            trained=recipe.batch_size,
            scored=choice.num_candidates,
            train=self.costs.of_batch(recipe, choice.num_candidates),
            score=self.costs.of_scoring(recipe, choice.num_candidates),
            select=choice.flops,
        )
        if state.telemetry is not None:
            state.telemetry.add(choice)
            self.picked.append(choice.rows_b)

    @property
    def is_due(self) -> bool:
        """Whether a line is full."""
        return len(self.losses) >= TRACE_EVERY

    def write(self, choice: ChosenBatch, branch: Branch | None) -> None:
        """Write the lines of the steps since the last; `choice` is that of the last step.

        Raises:
            InputError: a loss is no finite number.
        """
        recipe, state = self.chooser.recipe, self.state
        losses = torch.stack(self.losses).float().tolist()
        if not np.isfinite(losses).all():
            raise InputError(
                f"the loss became {losses[-1]} at step {state.step}; lower lr (now {decimal(recipe.lr)}) or "
                "set precision to fp32"
            )
        cooldown = branch.end if branch is not None else None
        line = self._about_choice(choice) if state.telemetry is not None else {}
        if self.chooser.ranks.is_main:
            append_line(self.folder, TRACE_FILE, state.step, {"loss": losses}, cooldown=cooldown)
            append_line(self.folder, ledger.FILE, state.step, asdict(state.ledger), cooldown=cooldown)
            if line:
                first = state.step - len(self.picked) + 1
                rows = [picks.Pick(first + place, cooldown, rows) for place, rows in enumerate(self.picked)]
                picks.append(self.folder, rows)
                append_line(self.folder, telemetry.FILE, state.step, line, cooldown=cooldown)
            values = {"loss": float(np.mean(losses)), "lr": state.optimizer.param_groups[0]["lr"]}
            self._show(values, line)
        self.losses, self.picked = [], []

    def _about_choice(self, choice: ChosenBatch) -> dict[str, Any]:
        assert self.state.telemetry is not None
        line = self.state.telemetry.take()
        if choice.scored is None or not len(choice.scored.places_b):
            return line
        line["learnability"] = telemetry.compare(self.chooser, choice.scored, self.state.step - 1)
        before = self.state.step - len(self.losses)
        crosses = before // telemetry.RANK_EVERY < self.state.step // telemetry.RANK_EVERY
        if self.chooser.ranks.is_main and (crosses or before == 0):
            telemetry.write_matrix(self.folder, telemetry.score_matrix(self.chooser, choice.scored))
        if self.chooser.recipe.flexi and crosses and choice.scored.learner is not None:
            line["rank_correlation"] = self._rank_correlation(choice.scored.batch, choice.scored.learner)
        return line

    def _rank_correlation(self, batch: Batch, low: Embeddings) -> float:
        found, count = telemetry.rank_correlation(self.chooser, batch, low)
        self.state.ledger.flops["score"] += count * self.costs.forward
        if found < telemetry.POOR:
            recipe = self.chooser.recipe
            _log.warning(
                "at step %d the losses at low and at full resolution have a rank correlation of %.2f; raise "
                "low_share (now %s) or take a smaller flexi patch (now %d)",
                *(self.state.step, found, decimal(recipe.low_share), recipe.flexi),
            )
        return found

    def _show(self, values: dict[str, float], line: Mapping[str, Any]) -> None:
        """Log the speed from time to time, and hand the values to the outlets."""
        if time.monotonic() - self._since[0] > LOG_SECONDS:
            self.end()
        if not self.outlets:
            return
        flops = self.state.ledger.flops
        values |= {"samples_seen": self.state.ledger.samples_seen} | self._speed()
        values |= {f"flops/{kind}": amount for kind, amount in flops.items()}
        values |= {f"learnability/{name}": value for name, value in line.get("learnability", {}).items()}
        if "rank_correlation" in line:
            values["rank_correlation"] = line["rank_correlation"]
        if line.get("repeats"):
            values["repeats"] = float(np.mean(line["repeats"]))
        for outlet in self.outlets:
            outlet(self.state.step, values)

    def _speed(self) -> dict[str, float]:
        at, seen, flops = self._since
        seconds = max(1e-9, time.monotonic() - at)
        speed = {"samples_per_second": round((self.state.ledger.samples_seen - seen) / seconds, 1)}
        if self.peak_flops is not None:
            speed["mfu"] = round((self.state.ledger.total - flops) / seconds / self.peak_flops, 4)
        return speed

    def end(self) -> None:
        """Write the speed since the clock was started into the log, and start it again."""
        if self.chooser.ranks.is_main:
            seconds = round(time.monotonic() - self._since[0], 3)
            append_jsonl(
                self.folder / LOG_FILE, {"step": self.state.step, "seconds": seconds} | self._speed()
            )
        self.begin()


def append_line(
    folder: Path, name: str, step: int, content: Mapping[str, Any], *, cooldown: int | None
) -> None:
    """Add a line on the steps up to `step`; `cooldown` is the last step of its branch, None in the trunk."""
    with (folder / name).open("a") as file:
        file.write(json.dumps({"step": step, "cooldown": cooldown, **content}) + "\n")


def length(folder: Path, name: str = TRACE_FILE) -> int:
    """Bytes of the trace, or of another file that grows with a run, so far, safely on disk."""
    path = folder / name
    if not path.exists():
        return 0
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return path.stat().st_size


def truncate(folder: Path, num_bytes: int, name: str = TRACE_FILE) -> None:
    """Cut the trace, or another file that grows with a run, back to its first `num_bytes` bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("ab") as file:
        file.truncate(num_bytes)
