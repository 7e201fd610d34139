"""T-MARS: captions pasted into wrong images fool a model that can read, and `tmars` ranks them down.

    python benchmarks/tmars.py [--seeds 3] [--steps 1600] [--pairs 200] [--quick] [--boxes read]

For each seed a tiny model is trained on synthetic scenes: two fifths without text, three tenths with their
caption written over them, three tenths with the caption of another thing written over them and taken for
right, as adverts and posters on the web are. So it sees and it reads, and trusts what it reads. Then shards
are scored by `clip`, `tmars` and `text_free` in one pass:

- good pairs: a scene and its caption, every other one with the caption written into the picture;
- bad pairs: a scene of another thing, with the caption written into the picture.

Every pair stands there a second time as it was before anything was written, which gives the highest AUC that
covering text could reach with this model. About fifteen minutes for three seeds on two cores; `--quick`
takes one seed and a third of the steps, and shows only that the script runs. `--seeds 0` measures costs
alone.
"""

import argparse
import io
import json
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch
from PIL import Image, ImageDraw, ImageFont

from thresher.data.images.decode import ImageSpec, decode
from thresher.models.saved import save_model
from thresher.models.towers import Towers, load_towers, to_input
from thresher.pipeline.scenes import Scene, draw_scene, render
from thresher.scores.combine.rank_shares import auc
from thresher.scores.registry import parse_scorer
from thresher.scores.score import score_shards
from thresher.sharded.decode import DecodeTask, decode_images
from thresher.sharded.masking import Masked, TextFree
from thresher.sharded.parts import list_parts
from thresher.sharded.text_detection import TextFinder

MODEL = "thresher-tiny-64"
SIDE = 160
LETTERS = (22, 30)  # pixels
THINGS = (
    *("tomato", "banana", "lemon", "balloon", "star", "flower"),
    *("tyre", "window", "tent", "sign", "bandage", "leaf"),
)
WORDINGS = ("{}", "a {}", "one {}")
SHARES = {"bare": 0.4, "right": 0.3, "wrong": 0.3}
BATCH = 128
RATE = 2e-3
SCALE = 20.0
SAMPLES_A_STEP_A_IMAGE = 16  # passes over the training pictures


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture with and without what is written over it, and a caption."""

    written: bytes
    bare: bytes
    caption: str
    good: bool


def scene_of(thing: str, random: np.random.Generator) -> Scene:
    """Facts of a scene that shows a thing."""
    while (scene := draw_scene(random)).thing != thing:
        pass
    return scene


def write_over(picture: Image.Image, text: str, random: np.random.Generator) -> Image.Image:
    """The picture with a line of text near its top or its bottom, light on dark or dark on light."""
    written = picture.copy()
    draw = ImageDraw.Draw(written)
    font = ImageFont.load_default(int(random.integers(*LETTERS)))
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    x = int(random.integers(2, max(SIDE - right - 2, 3)))
    margin = int(random.integers(2, 12))
    y = margin - top if random.random() < 0.5 else SIDE - margin - bottom
    under = np.asarray(picture)[max(int(y + top), 0) : int(y + bottom), x : int(x + right - left)]
    ink = 255 if under.mean() < 128 else 0
    draw.text((x, y), text, font=font, fill=(ink, ink, ink))
    return written


def jpeg(picture: Image.Image) -> bytes:
    """The picture as it is stored."""
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=90)
    return stream.getvalue()


def draw_sample(kind: str, random: np.random.Generator) -> Sample:
    """A pair: `wrong` shows another thing than its caption says; all but `bare` are written over."""
    thing, other = (str(name) for name in random.choice(THINGS, size=2, replace=False))
    caption = str(random.choice(WORDINGS)).format(thing)
    shown = other if kind == "wrong" else thing
    picture = render(scene_of(shown, random), random).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    bare = jpeg(picture)
    written = bare if kind == "bare" else jpeg(write_over(picture, caption, random))
    return Sample(written, bare, caption, kind != "wrong")


def train(steps: int, seed: int) -> Towers:
    """The model, trained to tell which caption goes with a picture."""
    random = np.random.default_rng([seed, 1])
    towers = load_towers(MODEL, seed=seed)
    bank = [wording.format(thing) for thing in THINGS for wording in WORDINGS]
    kinds = random.choice(list(SHARES), size=steps * BATCH // SAMPLES_A_STEP_A_IMAGE, p=list(SHARES.values()))
    samples = [draw_sample(str(kind), random) for kind in kinds]
    pixels = np.stack([decode(sample.written, towers.spec) for sample in samples])
    targets = torch.tensor([bank.index(sample.caption) // len(WORDINGS) for sample in samples])
    tokens = towers.tokenize(bank)
    optimizer = torch.optim.AdamW(towers.model.parameters(), lr=RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    towers.model.train()
    for _ in range(steps):
        chosen = random.integers(len(samples), size=BATCH)
        image_BD = towers.model.encode_image(to_input(towers, pixels[chosen]), normalize=True)
        text_CD = towers.model.encode_text(tokens, normalize=True)
        # captions of one thing are as good as each other: their softmax shares are added
        shares_BC = torch.log_softmax(SCALE * image_BD @ text_CD.T, dim=1)
        things_BN = torch.logsumexp(shares_BC.view(BATCH, len(THINGS), len(WORDINGS)), dim=2)
        loss = torch.nn.functional.nll_loss(things_BN, targets[torch.from_numpy(chosen)])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    towers.model.eval()
    print(f"  trained {steps} steps on {len(samples)} pictures, last loss {loss.item():.3f} nats", flush=True)
    return towers


def write_shard(path: Path, samples: Sequence[Sample]) -> None:
    """Each sample twice, as written over and bare."""
    with tarfile.open(path, "w") as tar:
        for number, sample in enumerate(samples):
            for place, image in enumerate((sample.written, sample.bare)):
                uid = f"{2 * number + place:032x}"
                members = {
                    "jpg": image,
                    "txt": sample.caption.encode(),
                    "json": json.dumps({"uid": uid}).encode(),
                }
                for extension, content in members.items():
                    info = tarfile.TarInfo(f"{uid}.{extension}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))


def score(
    samples: Sequence[Sample], towers: Towers, folder: Path, boxes: str
) -> dict[str, npt.NDArray[np.float64]]:
    """Columns by name, each [samples, 2]: as written over, and bare."""
    save_model(towers, folder / "model", sigmoid=False, samples_seen=0)
    write_shard(folder / "00000.tar", samples)
    options = f"model=local-dir:{folder / 'model'},device=cpu"
    named = (f"clip:{options}", f"tmars:{options},boxes={boxes}", f"text_free:boxes={boxes}")
    score_shards([str(folder / "00000.tar")], folder / "scores", [parse_scorer(text) for text in named])
    (part,) = list_parts(folder / "scores")
    table = pq.read_table(part, partitioning=None).sort_by("uid")
    return {
        name: table[name].to_numpy().astype(np.float64).reshape(-1, 2)
        for name in ("clip", "tmars", "text_free")
    }


def measure(seed: int, steps: int, pairs: int, boxes: str) -> Iterator[tuple[str, float]]:
    """What is said of one seed: name and number."""
    towers = train(steps, seed)
    random = np.random.default_rng([seed, 2])
    kinds = [kind for _ in range(pairs // 2) for kind in ("bare", "wrong", "right", "wrong")]
    samples = [draw_sample(kind, random) for kind in kinds]
    with tempfile.TemporaryDirectory() as folder:
        columns = score(samples, towers, Path(folder), boxes)
    good = np.array([sample.good for sample in samples])
    written = np.array([kind != "bare" for kind in kinds])
    before = columns["clip"][:, 1]
    yield "AUC of clip", area(columns["clip"][:, 0], good)
    yield "AUC of tmars", area(columns["tmars"][:, 0], good)
    yield "AUC of clip on the pictures before", area(before, good)
    for name, kept in (("with", written | ~good), ("without", ~written | ~good)):
        for scorer in ("clip", "tmars"):
            yield f"AUC of {scorer}, good pairs {name} text", area(columns[scorer][kept, 0], good[kept])
    free = columns["text_free"]
    yield "text found, of pictures with text", float(np.mean(free[written, 0] < 1))
    yield "text found, of pictures without", float(np.mean(free[:, 1] < 1))
    untouched = free[:, 1] == 1
    equal = columns["tmars"][untouched, 1] == before[untouched]
    yield "tmars is clip where no text is found", float(np.mean(equal))
    for scorer in ("clip", "tmars"):
        yield (
            f"bad pairs, mean of {scorer} - clip before",
            float((columns[scorer][~good, 0] - before[~good]).mean()),
        )


def area(scores: npt.NDArray[np.float64], good: npt.NDArray[np.bool_]) -> float:
    """AUC of scores, every pair a draw of its own."""
    return auc(scores, good, np.arange(len(good))).value


def costs(pairs: int, seed: int, side: int) -> None:
    """Print what a decode worker needs for a picture, and how often boxes are found where no text is."""
    random = np.random.default_rng([seed, 3])
    samples = [draw_sample("right", random) for _ in range(pairs)]
    bare, written = (tuple(enlarged(getattr(s, name), side) for s in samples) for name in ("bare", "written"))
    pixels = ImageSpec(64)
    print(f"\n{f'pictures of {side} x {side}, half of them with text':<47} ms     found without text")
    for name, form in (
        ("pixels alone", pixels),
        ("covered, boxes=all", Masked(pixels, TextFinder("all"))),
        ("covered, boxes=read", Masked(pixels, TextFinder("read"))),
        ("covered, boxes=read,side=256", Masked(pixels, TextFinder("read", 256))),
    ):
        decode_images(DecodeTask(bare[:2], (form,)))  # loads the detector
        started = time.process_time()
        decode_images(DecodeTask((*bare, *written), (form,)))
        spent_ms = 1e3 * (time.process_time() - started) / (2 * pairs)
        share = 0.0
        if isinstance(form, Masked):
            (shares,) = decode_images(DecodeTask(bare, (TextFree(form.finder),))).pixels
            share = float(np.mean(shares < 1))
        print(f"{name:<47} {spent_ms:<6.1f} {share:.2f}", flush=True)


def enlarged(data: bytes, side: int) -> bytes:
    """A stored picture in another size."""
    with Image.open(io.BytesIO(data)) as picture:
        return jpeg(picture.resize((side, side), Image.Resampling.BICUBIC))


def main() -> None:
    """Print each number for every seed, and its mean."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1600, help="training steps of 128 pictures")
    parser.add_argument("--pairs", type=int, default=200, help="good pairs; as many are bad")
    parser.add_argument("--boxes", default="read", help="which boxes tmars covers: read or all")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    seeds, steps = (1, given.steps // 3) if given.quick else (given.seeds, given.steps)
    found: dict[str, list[float]] = {}
    for seed in range(seeds):
        started = time.perf_counter()
        print(f"seed {seed}", flush=True)
        for name, value in measure(seed, steps, given.pairs, given.boxes):
            found.setdefault(name, []).append(value)
            print(f"  {name:<45} {value:.3f}", flush=True)
        print(f"  {time.perf_counter() - started:.0f} s", flush=True)
    if found:
        print(f"\n{'over the seeds':<47} mean   lowest highest")
    for name, values in found.items():
        print(f"{name:<47} {np.mean(values):.3f}  {min(values):.3f}  {max(values):.3f}")
    for side in (SIDE, 512):
        costs(given.pairs // 4, seed=0, side=side)


if __name__ == "__main__":
    main()
