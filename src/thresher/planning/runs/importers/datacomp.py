"""Runs of DataComp: `<run>/eval_results.jsonl`, a line a task, with open_clip's `params.txt` beside it.

`info.pkl` is a pickle and is not read. The authors of arXiv 2404.07177 evaluated checkpoints as well, into
`eval_results_epoch_<k>_step_<s>.jsonl`.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from thresher.errors import InputError, naming
from thresher.planning.runs.importers.open_clip import cools_down, read_params, run_labels, whole
from thresher.planning.runs.importers.records import (
    Found,
    Metric,
    Wanted,
    error_of,
    printable,
    result_files,
    shown,
)
from thresher.planning.runs.record import is_given
from thresher.planning.runs.table_file import read_jsonl

DEFAULT_METRIC = Metric("imagenet1k", 1)

TASKS = {
    "Caltech-101": ("vtab/caltech101",),
    "CIFAR-10": ("cifar10", "vtab/cifar10"),
    "CIFAR-100": ("vtab/cifar100",),
    "CLEVR Counts": ("vtab/clevr_count_all",),
    "CLEVR Distance": ("vtab/clevr_closest_object_distance",),
    "Country211": ("country211",),
    "Describable Textures": ("vtab/dtd",),
    "EuroSAT": ("vtab/eurosat",),
    "FGVC Aircraft": ("fgvc_aircraft",),
    "Food-101": ("food101",),
    "GTSRB": ("gtsrb",),
    "ImageNet 1k": ("imagenet1k",),
    "ImageNet Sketch": ("imagenet_sketch",),
    "ImageNet v2": ("imagenetv2",),
    "ImageNet-A": ("imagenet-a",),
    "ImageNet-O": ("imagenet-o",),
    "ImageNet-R": ("imagenet-r",),
    "KITTI Vehicle Distance": ("vtab/kitti_closest_vehicle_distance",),
    "MNIST": ("mnist",),
    "ObjectNet": ("objectnet",),
    "Oxford Flowers-102": ("vtab/flowers",),
    "Oxford-IIIT Pet": ("vtab/pets",),
    "Pascal VOC 2007": ("voc2007",),
    "PatchCamelyon": ("vtab/pcam",),
    "Rendered SST2": ("renderedsst2",),
    "RESISC45": ("vtab/resisc45",),
    "Stanford Cars": ("cars",),
    "STL-10": ("stl10",),
    "SUN397": ("sun397",),
    "SVHN": ("vtab/svhn",),
    "Flickr": ("retrieval/flickr_1k_test_image_text_retrieval", "retrieval/flickr30k"),
    "MSCOCO": ("retrieval/mscoco_2014_5k_test_image_text_retrieval",),
    "WinoGAViL": ("misc/winogavil",),
    "iWildCam": ("wilds/iwildcam",),
    "Camelyon17": ("wilds/camelyon17",),
    "FMoW": ("wilds/fmow",),
    "Dollar Street": ("fairness/dollar_street",),
    "GeoDE": ("fairness/geode",),
}
"""The 38 tasks that have a main metric: the name of each and its keys in the releases of the task list."""

TASKS_18 = (
    *("ImageNet 1k", "CIFAR-10", "Caltech-101", "CIFAR-100", "Food-101", "ImageNet Sketch", "ImageNet v2"),
    *("ImageNet-A", "ImageNet-O", "ImageNet-R", "ObjectNet", "Oxford Flowers-102", "Oxford-IIIT Pet"),
    *("Pascal VOC 2007", "RESISC45", "Stanford Cars", "Flickr", "MSCOCO"),
)
"""The tasks whose mean arXiv 2404.07177 reports, by `keys_of_interest` in its code."""

AVERAGES = {"average-18": TASKS_18, "average-38": tuple(TASKS)}
"""Metrics that are means over tasks; a task that is missing is an error."""

_FILE = re.compile(r"eval_results(?:_epoch_(?P<epoch>-?\d{1,6})_step_(?P<step>-?\d{1,9}))?\.jsonl")
_KIND = "eval_results.jsonl"
_NAMES = {key: name for name, keys in TASKS.items() for key in keys} | {name: name for name in TASKS}


def read(source: Path, wanted: Wanted) -> Iterator[Found]:
    """The finished model of each run below a folder (or every checkpoint that was evaluated)."""
    files = result_files(source, lambda name: _FILE.fullmatch(name) is not None, _KIND)
    for path in files if wanted.all_points else _last_ones(files):
        yield _read_run(path, shown(path, source), wanted)


def _last_ones(files: Sequence[Path]) -> list[Path]:
    """One file a folder: the whole run's, or that of its last checkpoint."""
    last: dict[Path, Path] = {}
    for path in files:
        held = last.setdefault(path.parent, path)
        if _order(path) > _order(held):
            last[path.parent] = path
    return list(last.values())


def _order(path: Path) -> tuple[float, int]:
    match = _FILE.fullmatch(path.name)
    if match is None or match["epoch"] is None:
        return math.inf, 0
    return int(match["epoch"]), int(match["step"])


def _read_run(path: Path, place: str, wanted: Wanted) -> Found:
    scores = _scores(path, place)
    folder = path.resolve().parent
    settings = read_params(folder)
    metric = wanted.metrics[0]
    record: dict[str, Any] = {
        "run": printable(folder.name),
        "error": _error(metric.column, scores, place),
        "metric": wanted.metric_name or f"{metric.column}_error",
        "metrics": scores,
        **run_labels(settings),
    }
    epochs, length = whole(settings, "epochs"), whole(settings, "train_num_samples")
    length = wanted.samples_per_epoch or length
    match = _FILE.fullmatch(path.name)
    epoch, step = (int(match["epoch"] or -1), int(match["step"] or -1)) if match else (-1, -1)
    if step > 0:
        record["step"] = step
    elif epoch > 0 or epochs is not None:
        record["epoch"] = epoch if epoch > 0 else epochs
        if length is not None:
            record["samples_seen"] = record["epoch"] * length
    if epoch > 0 or step > 0:
        record["run"] += f"/{path.stem.removeprefix('eval_results_')}"
    if epochs is not None:
        record["final"] = step <= 0 and record["epoch"] >= epochs and cools_down(settings)
    return Found(place=place, record=record, lacks={"samples_seen": _seen_reason(settings, step)})


def _seen_reason(settings: Mapping[str, str], step: int) -> str:
    if step > 0:
        return "it is the checkpoint of a step; give the batch size (--samples-per-step) or --samples-seen"
    if not settings:
        return "no params.txt lies beside it; give --samples-seen (12.8M, 128M, 1.28B or 12.8B by scale)"
    return "params.txt names no epochs and train_num_samples; give --samples-seen"


def _scores(path: Path, place: str) -> dict[str, float]:
    """Main metric of each task by its name, or by its key where the task is not one of the 38."""
    scores: dict[str, float] = {}
    for row, line in read_jsonl(path):
        key, metrics = line.get("key"), line.get("metrics")
        if not isinstance(key, str) or not isinstance(metrics, dict):
            raise InputError(
                f"{place}, row {row}: has no `key` and `metrics`, so it is no result of DataComp; name its "
                f"eval_results.jsonl (for results of open_clip say --format open_clip)"
            )
        name = _NAMES.get(key) or _NAMES.get(str(line.get("dataset")), printable(key))
        value = metrics.get("main_metric")
        if not is_given(value):
            continue
        with naming(f"{place}, row {row}: task {printable(key)!r}"):
            error_of(Metric("main_metric", 1), value)
        score = float(str(value))
        if scores.setdefault(name, score) != score:
            raise InputError(f"{place}, row {row}: task {name!r} has two different results; remove one line")
    return scores


def _error(wanted: str, scores: Mapping[str, float], place: str) -> float:
    tasks = AVERAGES.get(wanted) or (_NAMES.get(wanted, wanted),)
    missing = [task for task in tasks if task not in scores]
    if missing:
        known = f"evaluate the model on {'it' if len(missing) == 1 else 'them'}"
        if len(tasks) == 1 and tasks[0] not in TASKS:
            known = f"name a task, or one of {', '.join(AVERAGES)}"
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(f"{place}: has no main metric of task {missing[0]!r}{more}; {known}")
    return math.fsum(1 - scores[task] for task in tasks) / len(tasks)
