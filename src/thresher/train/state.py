"""Everything that changes while a model trains, which is what a checkpoint holds.

Checkpoints: open_clip's dictionary, written atomically, loaded without unpickling objects.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from thresher.errors import InputError
from thresher.models.towers import Towers
from thresher.train.ledger import Ledger
from thresher.train.stream import Stream
from thresher.train.telemetry import Telemetry


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
        """Back to where `content` was taken; nothing of it is kept, so it can serve again."""
        self.towers.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(_clone(content["optimizer"]))
        self.loss.load_state_dict(_clone(content["loss"]))
        self.stream_state = content["stream"]
        self.ledger.restore(content["ledger"])
        if self.telemetry is not None:
            self.telemetry.times_n = content["times"].cpu().numpy().astype(np.int32)
            self.telemetry.line = {}
        self.step = int(content["step"])
        torch.set_rng_state(content["random"].cpu())


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
            "code); delete it to start the run anew"
        ) from error
    return content
