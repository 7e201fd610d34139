"""A small but complete workdir: real tars with pictures, and every file that a run leaves behind."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from tests.report.planted import NAMES, planted_laws, planted_plan, planted_runs
from thresher.curate.subset.from_plan import subset_from_plan
from thresher.data.pairs import uid_of
from thresher.planning.laws.laws_file import save_laws
from thresher.planning.plans.plan import save_plan
from thresher.planning.runs.record import run_to_record
from thresher.train import picks

PAIRS = [24, 24, 48, 144]
LABELS = ["clean", "vague", "wrong", "degraded"]
HOSTILE = "<script>alert('x')</script><img src=\"http://evil.example/x.png\" onerror=alert(1)> & </style>"
SPECIAL = {  # at places that the gallery shows, one in each pool
    10: HOSTILE,
    28: "كلب أسود يجري على الشاطئ عند الغروب",
    57: "👩‍👩‍👧‍👦 family 🏖️ at the sea",
    123: "long words " * 800,
}


def make_workdir(root: Path) -> Path:
    rng = np.random.default_rng(7)
    pairs = _write_shards(root.parent / "shards", rng)
    _write_scores(root, pairs)
    _write_pools(root, pairs)
    lines = [json.dumps(run_to_record(run)) + "\n" for run in planted_runs()]
    (root / "runs.jsonl").write_text("".join(lines), encoding="utf-8")
    save_laws(root / "laws.json", planted_laws())
    save_plan(root / "plan.json", planted_plan())
    _write_quarantine(root)
    dump(root / "planted.json", {pair["uid"]: pair["label"] for pair in pairs})
    write_training(root / "train", "joint", seen=[2_048, 8_192], errors=[0.5, 0.3], pairs=pairs)
    write_training(root / "others" / "uniform", "uniform", seen=[8_192, 32_768], errors=[0.6, 0.45])
    subset_from_plan(root / "plan.json", 131_072, pools=root / "pools", out=root / "subset")
    return root


def write_training(
    folder: Path, select: str, *, seen: list[int], errors: list[float], pairs: list[dict] | None = None
) -> None:
    """A finished run as the trainer leaves it; with `pairs`, one that chose among them."""
    settings = {"select": select, "filter_ratio": 0.8, "flexi": 8} if pairs else {}
    measured = [
        {
            "samples_seen": count,
            "flops": 4e6 * count,
            "flops_by_kind": {"train": 3e6 * count, "score": 1e6 * count, "select": 0.0, "reference": 0.0},
            "metrics": {"zeroshot_acc1": 1 - error, "zeroshot_acc5": 1.0},
        }
        for count, error in zip(seen, errors, strict=True)
    ]
    dump(folder / "result.json", {"schema": "thresher.training", "settings": settings, "measured": measured})
    if pairs is None:
        return
    rng = np.random.default_rng(3)
    picks.write_uids(folder, [pair["uid"] for pair in pairs])
    picks.append(folder, [picks.Pick(step, None, rng.choice(40, 16, replace=False)) for step in range(1, 9)])
    for step in (4, 8):
        scores = {"chosen": 0.5 - step / 40, "independent": 0.3, "uniform": 0.1}
        line = {"step": step, "cooldown": None, "learnability": scores, "rank_correlation": 0.9}
        with (folder / "selection.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
    np.save(folder / "matrix.npy", rng.normal(size=(16, 16)).astype(np.float32))


def dump(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")


def _write_shards(folder: Path, rng: np.random.Generator) -> list[dict]:
    """Two tars of pairs, the better score first within each; a drawn shape with its caption."""
    folder.mkdir(parents=True)
    num = sum(PAIRS)
    scores = np.sort(rng.normal(0.22, 0.07, num).astype(np.float32))[::-1]
    pairs = []
    for number in range(num):
        quality = 1 - number / num
        label = LABELS[0] if rng.random() < quality**0.7 else LABELS[1 + int(rng.integers(3))]
        data = _picture(rng, degraded=label == "degraded")
        caption = SPECIAL.get(number, f"a {label} caption of shape {number}")
        pairs.append(
            {
                "uid": uid_of(data, caption),
                "key": f"{number:09d}",
                "caption": caption,
                "shard": str(folder / f"{number % 2:05d}.tar"),
                "score": float(scores[number]),
                "label": label,
                "data": data,
            }
        )
    for shard in sorted({pair["shard"] for pair in pairs}):
        with tarfile.open(shard, "w") as tar:
            for pair in (pair for pair in pairs if pair["shard"] == shard):
                _add(tar, pair["key"] + ".jpg", pair["data"])
                _add(tar, pair["key"] + ".txt", pair["caption"].encode())
    return pairs


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def _picture(rng: np.random.Generator, *, degraded: bool) -> bytes:
    width, height = int(rng.integers(60, 130)), int(rng.integers(60, 130))
    image = Image.new("RGB", (width, height), tuple(int(v) for v in rng.integers(150, 255, 3)))
    draw = ImageDraw.Draw(image)
    for _ in range(3):
        x, y, r = (int(v) for v in rng.integers(10, 50, 3))
        colour = tuple(int(v) for v in rng.integers(0, 200, 3))
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)([x, y, x + r, y + r], fill=colour)
    if degraded:
        image = image.resize((9, 9)).resize((width, height))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _write_scores(root: Path, pairs: list[dict]) -> None:
    parts = root / "scores" / "parts"
    parts.mkdir(parents=True)
    for number, shard in enumerate(sorted({pair["shard"] for pair in pairs})):
        rows = [pair for pair in pairs if pair["shard"] == shard]
        columns = {name: [row[name] for row in rows] for name in ("uid", "key", "shard", "caption")}
        columns["clip"] = pa.array([row["score"] for row in rows], pa.float32())
        columns["caption_score"] = pa.array([len(row["caption"]) / 30 for row in rows], pa.float32())
        pq.write_table(pa.table(columns), parts / f"{number:05d}-{Path(shard).stem}.parquet")
    dump(root / "scores" / "scores.json", {"schema": "thresher.scores", "version": 1, "scorers": ["clip"]})


def _write_pools(root: Path, pairs: list[dict]) -> None:
    ends = np.cumsum([0, *PAIRS])
    ranks = np.repeat(np.arange(len(PAIRS)), PAIRS)
    columns = {name: [pair[name] for pair in pairs] for name in ("uid", "key", "shard", "caption")}
    columns["score"] = pa.array([pair["score"] for pair in pairs], pa.float32())
    columns["pool"] = pa.array(ranks, pa.int16())
    (root / "pools").mkdir()
    pq.write_table(pa.table(columns), root / "pools" / "pools.parquet")
    pools = [
        {
            "name": name,
            "rank": rank,
            "num_samples": PAIRS[rank],
            "score_min": pairs[ends[rank + 1] - 1]["score"],
            "score_max": pairs[ends[rank]]["score"],
        }
        for rank, name in enumerate(NAMES)
    ]
    record = {
        "schema": "thresher.pools",
        "version": 1,
        "by": "clip",
        "edges": [0.1, 0.2, 0.4],
        "pools": pools,
    }
    dump(root / "pools" / "pools.json", record | {"dropped": [{"reason": "score is NaN", "count": 2}]})


def _write_quarantine(root: Path) -> None:
    reasons = ["cannot be decoded: image file is truncated (17 bytes not processed)", "the caption is empty"]
    reasons += ["cannot be decoded: image file is truncated (3 bytes not processed)", "<b>no</b> .txt member"]
    table = {
        "shard": ["/data/00000.tar"] * 4,
        "key": ["000000001", "000000002", "../../etc/passwd", "<i>key</i>"],
        "uid": pa.array([None, None, "0" * 32, None], pa.string()),
        "stage": ["decode", "read", "decode", "read"],
        "reason": reasons,
        "offset": pa.array([512, 1024, 2048, 4096], pa.int64()),
    }
    pq.write_table(pa.table(table), root / "quarantine.parquet")
