"""Small folders and tables in the formats that open_clip, DataComp and Weights & Biases write."""

import json
from pathlib import Path

from thresher.planning.runs.importers.datacomp import TASKS

PARAMS = """\
accum_freq: 1
aug_cfg: {}
batch_size: 512
beta1: 0.9
checkpoint_path: ./logs/top10-s0/checkpoints
csv_separator: \t
dataset_resampled: True
dataset_type: webdataset
epochs: 4
epochs_cooldown: None
lr: 0.0005
lr_scheduler: cosine
model: ViT-B-32
name: top10-s0
seed: 7
train_data: /data/top10/{00000000..00001279}.tar::/more/{0..9}.tar
train_num_samples: 3200000
val_frequency: 1
warmup: 500
wd: 0.2
world_size: 8
zeroshot_frequency: 2
"""


def params(**changes):
    """The text of a `params.txt`, with other values for some settings; None leaves a setting out."""
    settings = dict(line.split(": ", 1) for line in PARAMS.splitlines()) | {
        name: str(value) for name, value in changes.items()
    }
    return "".join(
        f"{name}: {value}\n" for name, value in settings.items() if changes.get(name, "") is not None
    )


def open_clip_run(folder, lines, settings=PARAMS):
    """A folder as open_clip leaves it; `lines` are the measurements in results.jsonl."""
    (folder / "checkpoints").mkdir(parents=True)
    if settings is not None:
        (folder / "params.txt").write_text(settings)
    path = folder / "checkpoints" / "results.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def zero_shot(top1, **others):
    """What open_clip writes after an epoch without a validation set."""
    return {"imagenet-zeroshot-val-top1": top1, "imagenet-zeroshot-val-top5": min(1.0, 2 * top1), **others}


def validated(epoch, loss, **others):
    """What open_clip writes after an epoch with a validation set (here of 5,000 samples)."""
    return {
        "image_to_text_mean_rank": 41.5,
        "image_to_text_R@1": 0.31,
        "text_to_image_R@1": 0.29,
        "clip_val_loss": loss,
        "epoch": epoch,
        "num_samples": 5000,
        **others,
    }


def task_scores():
    """An accuracy for each of the 38 tasks, all different."""
    return {name: 0.1 + place / 100 for place, name in enumerate(TASKS)}


def task_lines(scores):
    """Lines of an eval_results.jsonl; two tasks of fairness have no main metric, as in DataComp."""
    lines = [
        {
            "key": TASKS[name][0],
            "dataset": name,
            "metrics": {"acc1": score, "acc5": None, "main_metric": score},
        }
        for name, score in scores.items()
    ]
    for name in ("FairFace", "UTKFace"):
        key = f"fairness/{name.lower()}"
        lines.append({"key": key, "dataset": name, "metrics": {"acc_avg": 0.5, "main_metric": None}})
    return lines


def datacomp_run(folder, scores=None, *, settings=PARAMS, name="eval_results.jsonl"):
    """A folder as DataComp leaves it, its pickle included."""
    folder.mkdir(parents=True, exist_ok=True)
    if settings is not None:
        (folder / "params.txt").write_text(settings)
    (folder / "info.pkl").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    lines = task_lines(task_scores() if scores is None else scores)
    path = folder / name
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def table(path: Path, *rows: str) -> Path:
    """A text file of these rows."""
    path.write_text("".join(f"{row}\n" for row in rows))
    return path
