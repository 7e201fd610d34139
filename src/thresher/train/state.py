"""Everything that changes while a model trains, which is what a checkpoint holds.

Checkpoints: open_clip's dictionary, written atomically, loaded without unpickling objects.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from thresher.data.files.record_file import from_record
from thresher.errors import InputError
from thresher.models.towers import Towers
from thresher.train.ledger import Ledger
from thresher.train.stream import Stream
from thresher.train.telemetry import Telemetry

ANEW = "delete it to start the run anew"


@dataclass(slots=True, kw_only=True)
class State:
    """Model, optimiser, order of the pairs and what has been counted.

    Attributes:
        towers: the model that learns.
        optimizer: with its moments.
        loss: may hold moving averages.
        stream: ahead of `step` by the batches that are being fetched.
        stream_state: of the stream after `step` steps.
        ledger: what was spent.
        telemetry: counts of the pairs that were trained on; None where nothing is selected.
        step: steps done.
    """

    towers: Towers
    optimizer: torch.optim.Optimizer
    loss: torch.nn.Module
    stream: Stream
    stream_state: dict[str, Any]
    ledger: Ledger = field(default_factory=Ledger)
    telemetry: Telemetry | None = None
    step: int = 0

    def snapshot(self) -> dict[str, Any]:
        """A copy that later training does not change."""
        content = {
            "model": {k: v.clone() for k, v in self.towers.model.state_dict().items()},
            "optimizer": _clone(self.optimizer.state_dict()),
            "loss": _clone(dict(self.loss.state_dict())),
            "stream": self.stream_state,
            "ledger": self.ledger.state(),
            "step": self.step,
            "random": torch.get_rng_state(),
        }
        if self.telemetry is not None:
            content["times"] = torch.from_numpy(self.telemetry.times_n.copy())
        return content

    def restore(self, content: dict[str, Any]) -> None:
        """Back to where `content` was taken; nothing of it is kept, so it can serve again.

        Raises:
            ValueError, KeyError or another: it is damaged.
        """
        self.towers.model.load_state_dict(content["model"])
        _load_optimizer(self.optimizer, _clone(content["optimizer"]))
        self.loss.load_state_dict(_clone(content["loss"]))
        self.stream_state = content["stream"]
        self.stream.restore(self.stream_state)
        self.ledger.restore(content["ledger"])
        if self.telemetry is not None:
            times_n = content["times"].cpu().numpy().astype(np.int32)
            if times_n.shape != self.telemetry.times_n.shape:
                raise ValueError("times are of other pairs")
            self.telemetry.times_n = times_n
            self.telemetry.line = {}
        self.step = from_record(int, content["step"], place="step")
        torch.set_rng_state(content["random"].cpu())


def _load_optimizer(optimizer: torch.optim.Optimizer, content: dict[str, Any]) -> None:
    """Load moments of the optimizer's own parameters and settings; the rate is set anew with every step."""
    settings = [{**group, "params": None, "lr": None} for group in optimizer.param_groups]
    optimizer.load_state_dict(content)
    if settings != [{**group, "params": None, "lr": None} for group in optimizer.param_groups]:
        raise ValueError("optimizer.param_groups are not those of the recipe")
    for parameter, moments in optimizer.state.items():
        shapes = [moments[name].shape for name in ("step", "exp_avg", "exp_avg_sq")]
        if shapes != [torch.Size(), parameter.shape, parameter.shape]:
            raise ValueError("optimizer.state is of another model")


def _clone(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {k: _clone(v) for k, v in value.items()}
    return [_clone(v) for v in value] if isinstance(value, list) else value


def load(path: Path, device: torch.device) -> dict[str, Any]:
    """What `save` wrote, on `device`.

    Raises:
        InputError: the file is damaged or holds more than data.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # damage makes torch raise anything
        raise InputError(
            f"checkpoint {path} is damaged, or holds more than data (which is not read, since it could run "
            f"code); {ANEW}"
        ) from error
    return content
