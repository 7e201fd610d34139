"""A small but complete workdir: real tars with pictures, and every file that a run leaves behind."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from thresher.data.pairs import uid_of
from thresher.laws.mix import parameter_names
from thresher.laws.result import Check, Fit, PoolLaw, predict_mix
from thresher.laws.store import save_laws
from thresher.plan import make_plan
from thresher.plan_store import save_plan
from thresher.subset import subset_from_plan

NAMES = ["0-10%", "10-20%", "20-40%", "40-100%"]
SIZES = [24, 24, 48, 144]
POOL_SAMPLES = [2_560, 2_560, 5_120, 15_360]
LABELS = ["clean", "vague", "wrong", "degraded"]
HOSTILE = "<script>alert('x')</script><img src=\"http://evil.example/x.png\" onerror=alert(1)> & </style>"
SPECIAL = {  # at places that the gallery shows, one in each pool
    10: HOSTILE,
    28: "كلب أسود يجري على الشاطئ عند الغروب",
    57: "👩‍👩‍👧‍👦 family 🏖️ at the sea",
    123: "long words " * 800,
}
SHARED = {"A": 0.62, "n0": 500.0, "d": 0.18, "gamma": 1.0}
B = [-0.42, -0.33, -0.24, -0.11]
TAU = [2.6, 3.1, 3.0, 2.4]
PROBE_UNIQUE = [640, 640, 1_280, 3_840]


def make_fit(*, num_draws: int = 40) -> Fit:
    """A law as `thresher fit` leaves it, with draws around its parameters."""
    rng = np.random.default_rng(3)
    values = np.array([SHARED["A"], SHARED["n0"], SHARED["d"], SHARED["gamma"], *B, *TAU])
    draws_SX = values * rng.normal(1.0, [0.02, 0.05, 0.03, 0.0, *[0.03] * 4, *[0.15] * 4], (num_draws, 12))
    pools = tuple(
        PoolLaw(
            name=name,
            b=B[rank],
            tau=TAU[rank],
            num_unique=PROBE_UNIQUE[rank],
            pool_samples=POOL_SAMPLES[rank],
            intervals={"b": (B[rank] - 0.02, B[rank] + 0.02), "tau": (TAU[rank] - 0.6, TAU[rank] + 0.8)},
            status=("the half-life is loosely known; train it for at least 4 epochs",) if rank == 3 else (),
        )
        for rank, name in enumerate(NAMES)
    )
    return Fit(
        law="utility",
        metric="zeroshot_error",
        recipe="wsd",
        model="ViT-S-32",
        **SHARED,
        pools=pools,
        intervals={"A": (0.58, 0.66), "n0": (420.0, 610.0), "d": (0.15, 0.21)},
        noise=0.0081,
        status=("gamma is held at 1: no pool was probed at two sizes",),
        warnings=("2 points are not known to be end-of-training points; mark them with `final`",),
        draws_SX=draws_SX,
        draw_names=tuple(parameter_names(NAMES)),
        points=(),
        check=Check(mae=0.0093, mae_of_mean=0.071),
    )


FIT = make_fit()


def error_of(weights: dict[str, float], unique: dict[str, float], samples_seen: float) -> float:
    """What the law of this workdir says."""
    return float(predict_mix(FIT, weights, unique, samples_seen))


def make_workdir(root: Path) -> Path:
    rng = np.random.default_rng(7)
    pairs = _write_shards(root.parent / "shards", rng)
    _write_scores(root, pairs)
    _write_pools(root, pairs)
    _write_runs(root, rng)
    save_laws(root / "laws.json", FIT)
    sizes = dict(zip(NAMES, POOL_SAMPLES, strict=True))
    save_plan(root / "plan.json", make_plan(FIT, [8_192, 32_768, 131_072], sizes))
    _write_quarantine(root)
    dump(root / "planted.json", {pair["uid"]: pair["label"] for pair in pairs})
    subset_from_plan(root / "plan.json", 131_072, pools=root / "pools", out=root / "subset")
    return root


def dump(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")


def _write_shards(folder: Path, rng: np.random.Generator) -> list[dict]:
    """Two tars of pairs, the better score first within each; a drawn shape with its caption."""
    folder.mkdir(parents=True)
    num = sum(SIZES)
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
    ends = np.cumsum([0, *SIZES])
    ranks = np.repeat(np.arange(len(SIZES)), SIZES)
    columns = {name: [pair[name] for pair in pairs] for name in ("uid", "key", "shard", "caption")}
    columns["score"] = pa.array([pair["score"] for pair in pairs], pa.float32())
    columns["pool"] = pa.array(ranks, pa.int16())
    (root / "pools").mkdir()
    pq.write_table(pa.table(columns), root / "pools" / "pools.parquet")
    pools = [
        {
            "name": name,
            "rank": rank,
            "num_samples": SIZES[rank],
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


def _run(name: str, role: str, weights: dict, unique: dict, seen: int, error: float, seed: int) -> dict:
    where = {"pool": next(iter(weights))} if len(weights) == 1 else {"weights": weights}
    num = next(iter(unique.values())) if len(unique) == 1 else unique
    return {
        "schema": "thresher.run",
        "version": 1,
        "run": name,
        "role": role,
        **where,
        "unique_samples": num,
        "samples_seen": seen,
        "error": error,
        "metric": "zeroshot_error",
        "seed": seed,
        "model": "ViT-S-32",
        "recipe": "wsd",
        "final": True,
    }


def _write_runs(root: Path, rng: np.random.Generator) -> None:
    unique = dict(zip(NAMES, PROBE_UNIQUE, strict=True))
    lines = []

    def add(name: str, role: str, weights: dict, own: dict, seen: int, seed: int = 0) -> None:
        error = error_of(weights, own, seen) + float(rng.normal(0, 0.008))
        lines.append(_run(name, role, weights, own, seen, round(error, 5), seed))

    for rank, name in enumerate(NAMES):
        for seen in (2_048, 4_096, 8_192, 16_384):
            add(f"pool{rank}-s0", "fit", {name: 1.0}, {name: unique[name]}, seen)
    for seen in (2_048, 4_096):
        add("pool0-half", "fit", {NAMES[0]: 1.0}, {NAMES[0]: 320}, seen)
    for number, mix in enumerate((NAMES[:2], NAMES[:3])):
        for seen in (4_096, 16_384):
            weights = dict.fromkeys(mix, 1 / len(mix))
            add(f"check{number}", "check", weights, {name: unique[name] for name in mix}, seen)
    sizes = dict(zip(NAMES, POOL_SAMPLES, strict=True))
    for seen in (8_192, 131_072):
        for num in (1, 2, 3):
            for seed in (0, 1, 2):
                add(
                    f"verify{num}-{seed}",
                    "verify",
                    prefix_weights(num),
                    {n: sizes[n] for n in NAMES[:num]},
                    seen,
                    seed,
                )
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (root / "runs.jsonl").write_text(text, encoding="utf-8")


def prefix_weights(num: int) -> dict[str, float]:
    whole = sum(POOL_SAMPLES[:num])
    return {name: size / whole for name, size in zip(NAMES[:num], POOL_SAMPLES[:num], strict=True)}


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
