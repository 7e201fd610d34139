"""A small web pool with planted quality, for the demo and for tests.

Pairs are scenes with right, wrong or vague captions, and pictures that are whole or ruined. Quality is
planted and kept apart from the pairs: nothing that scores or trains ever reads it.
"""

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from thresher.data.files.atomic import atomic_path, write_json
from thresher.pipeline.scenes import Scene, caption_of, classes, draw_scene, facts, render

QUALITIES = {
    "clean": 0.22, "vague": 0.13, "degraded": 0.13, "wrong": 0.42, "text": 0.06, "repeated": 0.04,
}  # fmt: skip
VAGUE = (
    *("a nice picture", "image", "photo for sale", "a shape on a background"),
    *("untitled", "best price online"),
    *("a {colour} thing", "something {colour}", "clip art of a {shape}"),
)
CLASS_TEMPLATES = ("a {}", "a photo of a {}", "a {} on a background")


@dataclass(frozen=True, slots=True)
class Drawn:
    """One pair as it is written: image bytes, caption, label of its main object, planted quality."""

    image: bytes
    caption: str
    label: str
    quality: str
    captions: tuple[str, ...]


def draw_pairs(count: int, seed: int, qualities: dict[str, float]) -> Iterator[Drawn]:
    """`count` pairs whose planted qualities have the shares of `qualities`.

    `clean`: right caption. `vague`: right, but says little. `degraded`: right caption, ruined picture.
    `wrong`: the caption of another thing. `text`: a wrong caption pasted into the picture as well.
    `repeated`: an earlier clean pair once more.
    """
    random = np.random.default_rng([seed, 7])
    names = list(qualities)
    shares = np.asarray(list(qualities.values()))
    clean: list[Drawn] = []
    for quality in random.choice(names, size=count, p=shares / shares.sum()):
        if quality == "repeated" and clean:
            original = clean[int(random.integers(len(clean)))]
            yield Drawn(original.image, original.caption, original.label, "repeated", original.captions)
            continue
        pair = _draw_pair(str(quality) if quality != "repeated" else "clean", random)
        if pair.quality == "clean":
            clean.append(pair)
        yield pair


def _draw_pair(quality: str, random: np.random.Generator) -> Drawn:
    scene = draw_scene(random)
    picture = render(scene, random)
    captions = [caption_of(scene, random) for _ in range(3)]
    caption = captions[0]
    if quality in {"wrong", "text"}:
        caption = caption_of(_other_scene(scene, random), random)
    if quality == "text":
        ImageDraw.Draw(picture).multiline_text((2, 2), _wrapped(caption), fill=(255, 255, 255), spacing=0)
    if quality == "vague":
        caption = str(random.choice(VAGUE)).format(**facts(scene))
    if quality == "degraded":
        picture = picture.filter(ImageFilter.GaussianBlur(float(random.uniform(2.5, 5))))
        pixels = np.asarray(picture, dtype=np.float32) * random.uniform(0.3, 0.8)
        pixels += random.normal(0, 30, size=pixels.shape)
        picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    stored = io.BytesIO()
    picture.save(stored, "JPEG", quality=90)
    return Drawn(stored.getvalue(), caption, scene.thing, quality, tuple(captions))


def _other_scene(scene: Scene, random: np.random.Generator) -> Scene:
    """A scene of another thing."""
    while (other := draw_scene(random)).thing == scene.thing:
        pass
    return other


def _wrapped(text: str) -> str:
    words, lines = text.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > 10:
            lines.append("")
        lines[-1] += f"{word} "
    return "\n".join(lines)


def write_shards(
    folder: Path, pairs: Iterator[Drawn], *, prefix: str, pairs_per_shard: int = 1000
) -> dict[str, str]:
    """Write WebDataset tars as img2dataset does; returns uid -> planted quality.

    The uid counts pairs under `prefix`, so that a repeated pair is a pair of its own, as on the web. The
    class of the main object and several right captions are in the json, for evaluation.
    """
    planted: dict[str, str] = {}
    buffer: list[tuple[str, Drawn]] = []
    shard = 0
    for number, pair in enumerate(pairs):
        uid = f"{prefix.encode().hex()[:16]:0<16}{number:016x}"
        planted[uid] = pair.quality
        buffer.append((uid, pair))
        if len(buffer) == pairs_per_shard:
            _write_tar(folder / f"{shard:05d}.tar", buffer)
            buffer, shard = [], shard + 1
    if buffer:
        _write_tar(folder / f"{shard:05d}.tar", buffer)
    return planted


def _write_tar(path: Path, pairs: list[tuple[str, Drawn]]) -> None:
    with atomic_path(path) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number, (uid, pair) in enumerate(pairs):
            key = f"{path.stem}{number:04d}"
            meta = {"uid": uid, "key": key, "class": pair.label, "captions": pair.captions}
            members = {"jpg": pair.image, "txt": pair.caption.encode(), "json": json.dumps(meta).encode()}
            for extension, content in members.items():
                info = tarfile.TarInfo(f"{key}.{extension}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


def write_demo_pool(folder: Path, *, pool: int, curated: int, test: int, seed: int) -> None:
    """Write `pool/`, `curated/`, `test/` shards, `planted.json` and `classes.txt` into `folder`."""
    planted = write_shards(folder / "pool", draw_pairs(pool, seed, QUALITIES), prefix="pool")
    clean = {"clean": 1.0}
    write_shards(folder / "curated", draw_pairs(curated, seed + 1, clean), prefix="curated")
    write_shards(folder / "test", draw_pairs(test, seed + 2, clean), prefix="test")
    with atomic_path(folder / "classes.txt") as temporary:
        temporary.write_text("\n".join(classes()) + "\n")
    write_json(folder / "planted.json", planted)
