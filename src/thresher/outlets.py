"""Where the values of a training run are shown besides its own files: TensorBoard, Weights & Biases."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from thresher.errors import InputError, MissingExtra
from thresher.train.journal import Outlet


def open_outlets(names: Sequence[str], folder: Path) -> list[Outlet]:
    """What shows values, one for each name.

    Raises:
        InputError: a name is not in `OUTLETS`.
        MissingExtra: the package that it needs is not installed.
    """
    unknown = [name for name in names if name not in OUTLETS]
    if unknown:
        raise InputError(f"log {unknown[0]!r} is unknown; take one of {', '.join(OUTLETS)}")
    return [OUTLETS[name](folder) for name in names]


def tensorboard(folder: Path) -> Outlet:
    """Writes event files for `tensorboard --logdir FOLDER/tensorboard`."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise MissingExtra("tensorboard", "log = ['tensorboard']") from error
    writer: Any = SummaryWriter(str(folder / "tensorboard"))

    def show(step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    return show


def wandb(folder: Path) -> Outlet:
    """Sends values to the project `thresher`, or where WANDB_PROJECT says; a resumed run goes on."""
    try:
        package: Any = importlib.import_module("wandb")
    except ModuleNotFoundError as error:
        raise MissingExtra("wandb", "log = ['wandb']") from error
    run: Any = package.init(dir=str(folder), name=folder.name, resume="allow")

    def show(step: int, values: Mapping[str, float]) -> None:
        run.log(dict(values), step=step)

    return show


OUTLETS: dict[str, Callable[[Path], Outlet]] = {"tensorboard": tensorboard, "wandb": wandb}
