"""Loggers of a training run besides its own files: TensorBoard, Weights & Biases."""

import importlib
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from thresher.errors import InputError, MissingExtra

Outlet = Callable[[int, Mapping[str, float]], None]
"""Takes the number of a step and values by name, to be shown somewhere."""
WANDB_ID_FILE = "wandb.id"


def open_loggers(names: Sequence[str], folder: Path) -> list[Outlet]:
    """What shows values, one for each name.

    Raises:
        InputError: a name is not in `LOGGERS`.
        MissingExtra: the package that it needs is not installed.
    """
    unknown = [name for name in names if name not in LOGGERS]
    if unknown:
        raise InputError(f"log {unknown[0]!r} is unknown; take one of {', '.join(LOGGERS)}")
    return [LOGGERS[name](folder) for name in names]


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
    """Sends values to the project `thresher`, or where WANDB_PROJECT says; a resumed run goes on.

    The run's id there is kept in the folder, as `wandb.id`.
    """
    try:
        package: Any = importlib.import_module("wandb")
    except ModuleNotFoundError as error:
        raise MissingExtra("wandb", "log = ['wandb']") from error
    from thresher.data.files.atomic import atomic_path

    kept = folder / WANDB_ID_FILE
    if not kept.exists():
        with atomic_path(kept) as temporary:
            temporary.write_text(uuid.uuid4().hex)
    run: Any = package.init(
        project=os.environ.get("WANDB_PROJECT", "thresher"),
        dir=str(folder),
        name=folder.name,
        id=kept.read_text(),
        resume="allow",
    )

    def show(step: int, values: Mapping[str, float]) -> None:
        run.log(dict(values), step=step)

    return show


LOGGERS: dict[str, Callable[[Path], Outlet]] = {"tensorboard": tensorboard, "wandb": wandb}
