"""Runs of open_clip: `<run>/checkpoints/results.jsonl`, with the settings in `<run>/params.txt` beside it.

A line of results holds what was measured after an epoch. Its `num_samples` counts the samples of the
validation set, not those seen; samples seen are `epoch` times the length of an epoch (`train_num_samples`).
Without a validation set open_clip writes no `epoch`; the lines are then counted off against
`zeroshot_frequency` and `epochs`. A line of settings is `name: value`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from thresher.errors import InputError
from thresher.planning.runs.importers.records import (
    Found,
    Metric,
    Wanted,
    first_given,
    measurement,
    printable,
    result_files,
    shown,
)
from thresher.planning.runs.table_file import Row, read_jsonl

DEFAULT_METRIC = Metric("imagenet-zeroshot-val-top1", 1)
_KIND = "results.jsonl"
_MOST_EPOCHS = 1_000_000
_NOT_MEASURED = ("epoch", "num_samples")

_MAX_BYTES = 2**20

MODEL_PARAMS = {
    "ViT-B-32": 151_277_313,
    "ViT-B-16": 149_620_737,
    "ViT-L-14": 427_616_513,
    "ViT-H-14": 986_109_441,
    "ViT-g-14": 1_366_678_273,
}
"""Parameters of the models of the scaling studies, both towers, counted in open_clip 3.3."""


def is_accuracy(name: str) -> bool:
    """Whether open_clip's measurement of this name is an accuracy: zero-shot top-k, or recall at k."""
    return name.endswith(("-top1", "-top5")) or "_R@" in name


def read(source: Path, wanted: Wanted) -> Iterator[Found]:
    """The last measurement of each run below a folder (or every one of them), runs sorted by path."""
    for path in result_files(source, lambda name: name == _KIND, _KIND):
        yield from _read_run(path, shown(path, source), wanted)


def _read_run(path: Path, place: str, wanted: Wanted) -> Iterator[Found]:
    folder = path.resolve().parent
    folder = folder.parent if folder.name == "checkpoints" else folder
    settings = read_params(folder)
    lines = list(read_jsonl(path))
    if not lines:
        raise InputError(f"{place} holds no measurements; leave this run out")
    epochs, reason = _epochs(lines, settings)
    last_epoch = whole(settings, "epochs")
    labels = {"run": printable(folder.name), **run_labels(settings)}
    lacks = {"samples_seen": reason, "unique_samples": _size_reason(settings)}
    points = _points(epochs, lines, wanted, f"{place}: {reason}")
    for epoch, (row, line) in points.items():
        record = {**labels, **_measurement(line, wanted, f"{place}, row {row}")}
        if epoch is not None:
            record["epoch"] = epoch
            if last_epoch is not None:
                record["final"] = epoch >= last_epoch and cools_down(settings)
            length = wanted.samples_per_epoch or whole(settings, "train_num_samples")
            if length is not None:
                record["samples_seen"] = epoch * length
        yield Found(place=f"{place}, row {row}", record=record, lacks=lacks)


def _epochs(lines: list[Row], settings: Mapping[str, str]) -> tuple[list[int | None], str]:
    """The epoch of each line, None where it cannot be known, and why samples seen may be unknown."""
    written = [_epoch(line.get("epoch")) for _, line in lines]
    no_length = "params.txt names no train_num_samples; give the length of an epoch (--samples-per-epoch)"
    if None not in written:
        return written, no_length
    last = whole(settings, "epochs")
    if last is None or last > _MOST_EPOCHS:
        return written, "its last line names no epoch and no params.txt does; give --samples-seen"
    frequencies = [whole(settings, "zeroshot_frequency") or 0]
    if any(written):
        frequencies.append(whole(settings, "val_frequency") or 0)
    due = [
        epoch
        for epoch in range(1, last + 1)
        if epoch == last or any(every and epoch % every == 0 for every in frequencies)
    ]
    if len(due) == len(lines) and all(was in (None, is_) for was, is_ in zip(written, due, strict=True)):
        return list(due), no_length
    return written, (
        f"{len(lines)} lines, not all with an `epoch`, where params.txt (epochs {last}) makes {len(due)}: "
        f"the run was restarted or is not finished; remove the extra lines, or give --samples-seen for its "
        f"last one"
    )


def _epoch(value: Any) -> int | None:
    """The number of an epoch; tools that rewrite the lines make 5.0 of 5."""
    is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return int(value) if is_whole and value > 0 else None


def _points(epochs: list[int | None], lines: list[Row], wanted: Wanted, reason: str) -> dict[int | None, Row]:
    """The lines to import, by epoch; a restarted run counts with what it wrote last."""
    by_epoch = dict(zip(epochs, lines, strict=True))
    if None in by_epoch:
        if wanted.all_points:
            raise InputError(reason)
        return {epochs[-1]: lines[-1]}
    if not wanted.all_points:
        last = max(epoch for epoch in by_epoch if epoch)
        return {last: by_epoch[last]}
    return {
        epoch: (row, line) for epoch, (row, line) in by_epoch.items() if first_given(wanted.metrics, line)
    }


def _size_reason(settings: Mapping[str, str]) -> str:
    length = settings.get("train_num_samples", "None")
    return (
        "" if length == "None" else f"train_num_samples ({length}) is the length of an epoch, not of the pool"
    )


def _measurement(line: Mapping[str, Any], wanted: Wanted, place: str) -> dict[str, Any]:
    metric = first_given(wanted.metrics, line)
    if metric is None:
        held = ", ".join(name for name in line if name not in _NOT_MEASURED)
        raise InputError(
            f"{place}: holds no {wanted.metrics[0].column!r}, only {held or 'nothing'}; name a metric that "
            f"it holds"
        )
    others = {name: value for name, value in line.items() if name not in _NOT_MEASURED and _finite(value)}
    return {**measurement(metric, line[metric.column], wanted, place), "metrics": others}


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def read_params(folder: Path) -> dict[str, str]:
    """The settings in `params.txt` of a run's folder; empty where there is none."""
    path = folder / "params.txt"
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        text = file.read(_MAX_BYTES).decode("utf-8", "replace")
    pairs = (line.partition(": ") for line in text.splitlines())
    return {name.strip(): value.strip() for name, mark, value in pairs if mark}


def whole(settings: Mapping[str, str], name: str) -> int | None:
    """A setting as a whole number; None where it is absent or None.

    Raises:
        InputError: it is something else.
    """
    text = settings.get(name, "None")
    if text == "None":
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InputError(f"params.txt: {name} is {text[:40]!r}; it should be a whole number")
    return int(text)


def run_labels(settings: Mapping[str, str]) -> dict[str, Any]:
    """What the settings tell about a run: model, its parameters, seed, recipe, how samples were drawn."""
    labels: dict[str, Any] = {}
    if "model" in settings:
        labels["model"] = settings["model"]
        labels["params"] = MODEL_PARAMS.get(settings["model"])
    labels["seed"] = whole(settings, "seed")
    if "dataset_resampled" in settings:
        labels["replacement"] = settings["dataset_resampled"] == "True"
    labels["recipe"] = _recipe(settings)
    return {name: value for name, value in labels.items() if value is not None}


def cools_down(settings: Mapping[str, str]) -> bool:
    """Whether the learning rate comes down by the last epoch; a constant or a skipped schedule does not."""
    skipped = settings.get("skip_scheduler", "").lower() == "true"
    return not skipped and settings.get("lr_scheduler", "cosine") != "const"


def _recipe(settings: Mapping[str, str]) -> str | None:
    if "lr" not in settings or "batch_size" not in settings:
        return None
    batch = 1
    for name in ("batch_size", "world_size", "accum_freq"):
        batch *= whole(settings, name) or 1
    words = [f"lr {settings['lr']}", f"batch {batch}"]
    words += [f"{name} {settings[name]}" for name in ("wd", "warmup") if name in settings]
    return ", ".join([*words, settings.get("lr_scheduler", "cosine")])
