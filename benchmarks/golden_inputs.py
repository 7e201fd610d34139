"""Small inputs of `golden.py`, drawn from a seed: pairs with every oddity, tables, runs, configs.

Nothing here imports the package, so that the inputs are the same whatever is changed in it. All files have
one modification time, since stages remember the times of the shards that they have read.
"""

import csv
import hashlib
import io
import json
import math
import os
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

TIME_NS = 1_700_000_000_000_000_000
COLOURS = ("red", "green", "blue", "orange")
SHAPES = ("circle", "square", "bar")
PLACES = ("on grey", "in the dark", "with a thin frame", "seen from near by", "for sale")
POOL_SIZES = (110, 90, 60)
DIM = 16

Pair = tuple[str, Mapping[str, bytes]]
"""The key of a pair, and its members by extension."""


def write_inputs(folder: Path) -> None:
    """Write everything that the commands read into `folder`."""
    first = 0
    for shard, size in enumerate(POOL_SIZES):
        pairs = [plain(number) for number in range(first, first + size)]
        write_tar(folder / f"pool/{shard:05d}.tar", [*pairs, *(odd_pairs() if shard == 1 else ())])
        first += size
    write_tar(folder / "curated/00000.tar", [plain(number) for number in range(1000, 1064)])
    write_tar(folder / "test/00000.tar", [plain(number) for number in range(2000, 2048)])
    write_tar(folder / "lettered/00000.tar", [*(plain(number) for number in range(3100, 3104)), *lettered()])
    _write_damaged(folder / "damaged")
    _write_files(folder / "files")
    _write_metadata(folder / "metadata")
    _write_clip_retrieval(folder / "retrieval")
    _write_runs(folder)
    _write_foreign_runs(folder / "foreign")
    labels = [
        f"{uid(number)}\t{'match' if number % 3 else 'no-match'}\t{number // 2}" for number in range(90)
    ]
    (folder / "labels.tsv").write_text("\n".join(["uid\tlabel\tgroup", *labels]) + "\n")
    (folder / "exclude.txt").write_text("".join(f"{uid(number)}\n" for number in range(5, 12)))
    set_times(folder)


def write_demo(folder: Path) -> None:
    """Write a small pool where `thresher demo` looks for the one that it has drawn."""
    numbers = [number for number in range(5000, 5120) if number % 7]
    for name, chosen in (("pool", numbers[:70]), ("curated", numbers[70:]), ("test", range(2000, 2030))):
        write_tar(folder / name / "00000.tar", [plain(number) for number in chosen])
    planted = {uid(number): "wrong" if number % 5 == 4 else "clean" for number in numbers[:70]}
    (folder / "planted.json").write_text(json.dumps(planted))
    set_times(folder)


def set_times(folder: Path) -> None:
    """Give every file below a folder the same modification time."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.utime(path, ns=(TIME_NS, TIME_NS))


def uid(number: int) -> str:
    """The uid of pair `number`."""
    return hashlib.md5(f"golden pair {number}".encode(), usedforsecurity=False).hexdigest()


def plain(number: int) -> Pair:
    """An ordinary pair; every fifth caption is wrong, every seventh pair has no json, hence no uid."""
    rng = np.random.default_rng([number, 1])
    colour, shape = (str(rng.choice(names)) for names in (COLOURS, SHAPES))
    side = 40 + int(rng.integers(20))
    told = COLOURS[(COLOURS.index(colour) + 1) % len(COLOURS)] if number % 5 == 4 else colour
    caption = f"a {told} {shape} {rng.choice(PLACES)}"
    members = {"jpg": _encoded(_drawn(colour, shape, side, rng)), "txt": caption.encode()}
    if number % 7:
        wide = 300 + number if number % 3 else 150
        meta = {
            "uid": uid(number), "class": f"{colour} {shape}", "captions": [caption, f"a {colour} {shape}"],
            "original_width": wide, "original_height": 280,
        }  # fmt: skip
        members["json"] = json.dumps(meta).encode()
    elif number >= 2000:  # labelled images have a label, whatever else they lack
        members["cls"] = f"{colour} {shape}".encode()
        members["json"] = json.dumps({"class": f"{colour} {shape}"}).encode()
    return f"{number:09d}", members


def odd_pairs() -> list[Pair]:
    """Pairs that are wrong, strange, or repeat others."""
    rng = np.random.default_rng(3)
    picture = _drawn("red", "circle", 64, rng)
    good = _encoded(picture)
    repeated = [dict(plain(number)[1]) for number in (3, 8, 10, 12)]
    larger = [Image.open(io.BytesIO(pair["jpg"])).resize((120, 120)) for pair in repeated]
    odd = [
        {"jpg": good, "txt": b""},
        {"jpg": good, "txt": b"word " * 3000},
        {"jpg": good, "txt": "赤い四角 🟥 красный круг\u0000\ttab".encode()},
        {"jpg": good, "txt": b"caf\xe9 latin"},
        {"jpg": good, "txt": b"<img src=x onerror=alert(1)> & co\nsecond line"},
        {"jpg": good[: len(good) // 2], "txt": b"half an image"},
        {"jpg": b"not an image", "txt": b"no image at all"},
        {"jpg": good},
        {"txt": b"words alone"},
        {"jpg": good, "txt": b"broken json", "json": b"{"},
        {"jpg": good, "txt": b"a uid that is none", "json": b'{"uid": "xyz"}'},
        {"jpg": good, "txt": b"a uid that stands before", "json": json.dumps({"uid": uid(1)}).encode()},
        {"png": _encoded(picture.convert("RGBA"), "PNG"), "txt": b"a png with an alpha channel"},
        {"png": _encoded(picture.convert("L"), "PNG"), "txt": b"a grey png"},
        {"jpg": _encoded(picture.convert("CMYK")), "txt": b"four inks make a red circle"},
        {"gif": _encoded(picture.convert("P"), "GIF"), "txt": b"a gif of a red circle"},
        {"webp": _encoded(picture, "WEBP"), "txt": b"a webp of a red circle"},
        {"jpg": _encoded(Image.new("RGB", (200, 2))), "txt": b"a long black line"},
        lettered()[0][1],
        {"jpg": repeated[0]["jpg"], "txt": b"the same picture, other words"},
        {"jpg": repeated[0]["jpg"], "txt": repeated[0]["txt"]},
        *({"jpg": _encoded(large, quality=70), "txt": b"a larger copy"} for large in larger),
        {"jpg": plain(2001)[1]["jpg"], "txt": b"an image of the evaluation"},
    ]
    return [(f"odd{place:03d}", members) for place, members in enumerate(odd)]


def lettered() -> list[Pair]:
    """Pictures of words; one states its language."""
    found = []
    for words in ("SALE 50 PER CENT", "zu verkaufen"):
        picture = Image.new("RGB", (240, 220), "white")
        ImageDraw.Draw(picture).text((20, 95), words, fill="black", font_size=22)
        found.append({"jpg": _encoded(picture), "txt": f"a sign that says {words}".encode()})
    found[1]["json"] = json.dumps({"language": "de", "uid": uid(3200)}).encode()
    return [(f"words{place}", members) for place, members in enumerate(found)]


def _drawn(colour: str, shape: str, side: int, rng: np.random.Generator) -> Image.Image:
    ground = Image.fromarray(rng.integers(90, 150, (side, side, 3), dtype=np.uint8))
    low, high = sorted(int(value) for value in rng.integers([4, side // 2], [side // 3, side - 4]))
    pen, box = ImageDraw.Draw(ground), (low, low, high, high)
    if shape == "circle":
        pen.ellipse(box, fill=colour)
    else:
        pen.rectangle(box if shape == "square" else (low, low, high, low + side // 6), fill=colour)
    return ground


def _encoded(picture: Image.Image, kind: str = "JPEG", **options: int) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def write_tar(path: Path, pairs: Iterable[Pair]) -> None:
    """Write the members of the pairs, in their order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for key, members in pairs:
            for extension, content in members.items():
                info = tarfile.TarInfo(f"{key}.{extension}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


def _write_damaged(folder: Path) -> None:
    """Shards that cannot be read, or not to their end, beside one that can."""
    for name in ("00000", "cut"):
        write_tar(folder / f"{name}.tar", [plain(number) for number in range(3000, 3010)])
    whole = (folder / "cut.tar").read_bytes()
    (folder / "cut.tar").write_bytes(whole[: len(whole) // 2 + 100])
    (folder / "empty.tar").write_bytes(b"")
    (folder / "page.tar").write_text("<html>404</html>" * 100)


def _write_files(folder: Path) -> None:
    """Pairs as files of a folder, and in two tables beside it."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for number in range(4000, 4012):
        key, members = plain(number)
        (folder / f"images/{key}.jpg").write_bytes(members["jpg"])
        if number != 4003:
            (folder / f"images/{key}.txt").write_bytes(members["txt"])
        rows.append((f"images/{key}.jpg", members["txt"].decode(), members["jpg"]))
    with (folder / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image_path", "caption"), *(row[:2] for row in rows), ("gone.jpg", "?")])
    columns = {"image_bytes": [row[2] for row in rows], "text": [row[1] for row in rows]}
    pq.write_table(pa.table(columns), folder / "pairs.parquet")


def _write_metadata(folder: Path) -> None:
    """DataComp's metadata of most of the pool and of pairs that are not there, with vectors beside."""
    folder.mkdir()
    for place, numbers in enumerate((range(0, 120), [*range(100, 180), 7000, 7001, 100])):
        rng = np.random.default_rng(place)
        scores = [round(0.1 + 0.3 * (number * 37 % 101) / 101, 4) for number in numbers]
        columns = {
            "uid": [uid(number) for number in numbers],
            "text": [plain(number)[1]["txt"].decode() for number in numbers],
            "original_width": [640 if number % 4 else 100 for number in numbers],
            "original_height": [480] * len(scores),
            "clip_b32_similarity_score": pa.array([score / 2 for score in scores], pa.float32()),
            "clip_l14_similarity_score": pa.array(scores, pa.float32()),
            "sha256": [f"{number:064x}" for number in numbers],
        }
        pq.write_table(pa.table(columns), folder / f"{place:02d}.parquet")
        named = {f"{name}_{side}": rng.normal(size=(len(scores), DIM)).astype(np.float16)
                 for name in ("l14", "b32") for side in ("img", "txt")}  # fmt: skip
        np.savez(folder / f"{place:02d}.npz", **named)


def _write_clip_retrieval(folder: Path) -> None:
    """Vectors of some pairs of the pool as clip-retrieval leaves them, which names pairs by their key."""
    for name in ("metadata", "img_emb", "text_emb"):
        (folder / name).mkdir(parents=True)
    numbers, rng = range(20, 60), np.random.default_rng(8)
    table = pa.table({
        "image_path": [plain(number)[0] for number in numbers],
        "caption": [plain(number)[1]["txt"].decode() for number in numbers],
    })  # fmt: skip
    pq.write_table(table, folder / "metadata/metadata_0.parquet")
    for name in ("img_emb", "text_emb"):
        np.save(folder / f"{name}/{name}_0.npy", rng.normal(size=(len(numbers), DIM)).astype(np.float16))


def _write_runs(folder: Path) -> None:
    """Runs of three pools that wear out differently, with mixes, as a table and as a ledger."""
    rng = np.random.default_rng(5)
    slopes, sizes = (
        {"best": -0.24, "middle": -0.17, "rest": -0.11},
        {"best": 1.2e6, "middle": 3e6, "rest": 9e6},
    )

    def error(pools: list[str], share: float, seen: float) -> float:
        """Of pools mixed in equal parts: the mean of their falls, slower the more often pairs come back."""
        falls = []
        for pool in pools:
            unique, own = sizes[pool] * share, seen / len(pools)
            fresh = min(own, unique) + 5 * unique * (1 - math.exp(-max(own / unique - 1, 0) / 5))
            falls.append(slopes[pool] * math.log(len(pools) * fresh / 4e5))
        return round(0.1 + 0.85 * math.exp(sum(falls) / len(falls)) + float(rng.normal(0, 0.002)), 5)

    rows: list[dict[str, object]] = []
    for pool, size in sizes.items():
        for share, lengths in ((1.0, (1e6, 4e6, 8e6, 16e6, 32e6)), (0.25, (4e6, 16e6))):
            rows += [
                {"pool": pool, "unique_samples": int(size * share), "pool_samples": int(size),
                 "samples_seen": int(seen), "error": error([pool], share, seen)}
                for seen in lengths
            ]  # fmt: skip
    with (folder / "runs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    for count, role in ((2, "check"), (3, "fit"), (3, "check")):
        pools = list(sizes)[:count]
        for seen in (2e6, 12e6) if role == "check" else (6e6,):
            unique = {pool: int(sizes[pool]) for pool in pools}
            rows.append({
                "weights": dict.fromkeys(pools, 1 / count), "unique_samples": unique, "pool_samples": unique,
                "samples_seen": int(seen), "error": error(pools, 1.0, seen), "role": role,
            })  # fmt: skip
    same = {
        "metric": "zeroshot_error",
        "recipe": "lr 1e-3",
        "model": "ViT-S-32",
        "final": True,
        "params": 63_000_000,
    }
    lines = [row | same | {"flops": 2e10 * int(str(row["samples_seen"]))} for row in rows]
    (folder / "runs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    sized = [line | {"params": 63e6 * (1 + place % 2), "model": None} for place, line in enumerate(lines)]
    (folder / "sized.jsonl").write_text("".join(json.dumps(line) + "\n" for line in sized))
    known = {
        "schema": "thresher.laws", "version": 1, "law": "utility", "metric": "imagenet_error",
        "shared": {"A": 1, "n0": 4e6, "d": 0.1},
        "pools": [
            {"name": name, "b": slope, "tau": 5.0, "num_unique": size}
            for (name, slope), size in zip(slopes.items(), sizes.values(), strict=True)
        ],
    }  # fmt: skip
    (folder / "known.json").write_text(json.dumps(known))


def _write_foreign_runs(folder: Path) -> None:
    """Results as open_clip, DataComp and Weights & Biases leave them, and a table."""
    settings = {
        "batch_size": 512, "dataset_resampled": True, "epochs": 4, "lr": 0.0005, "lr_scheduler": "cosine",
        "model": "ViT-B-32", "name": "top", "seed": 7, "train_num_samples": 3_200_000, "val_frequency": 1,
        "warmup": 500, "wd": 0.2, "world_size": 8, "zeroshot_frequency": 2,
    }  # fmt: skip
    for run in ("logs/top-s0", "logs/rest-s0", "evals/medium"):
        (folder / run).mkdir(parents=True)
        (folder / run / "params.txt").write_text(
            "".join(f"{key}: {value}\n" for key, value in settings.items())
        )
    for place, run in enumerate(("top-s0", "rest-s0")):
        found = [
            {"imagenet-zeroshot-val-top1": 0.1 * epoch + 0.02 * place, "epoch": epoch} for epoch in (2, 4)
        ]
        (folder / f"logs/{run}/checkpoints").mkdir()
        lines = "".join(json.dumps(line) + "\n" for line in found)
        (folder / f"logs/{run}/checkpoints/results.jsonl").write_text(lines)
    tasks = {"imagenet1k": "ImageNet 1k", "vtab/eurosat": "EuroSAT"}
    lines = [
        {"key": key, "dataset": name, "metrics": {"acc1": 0.3, "main_metric": 0.3}}
        for key, name in tasks.items()
    ]
    (folder / "evals/medium/eval_results.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines)
    )
    chart = (
        '"Step","top - val/acc1","rest - val/acc1"',
        '"100","0.1",""',
        '"200","","0.15"',
        '"300","0.25",""',
    )
    (folder / "chart.csv").write_text("\n".join(chart) + "\n")
    table = ("data,tokens,val_loss,unique,name", "c4,1000000,3.5,500000,a", "c4,4000000,3.1,500000,b")
    (folder / "table.csv").write_text("\n".join(table) + "\n")
    (folder / "facts.csv").write_text(
        "run,pool,unique_samples,role\ntop*,best,12.8M,fit\nrest*,rest,25M,check\n"
    )
