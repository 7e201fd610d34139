"""A small web pool with planted quality, for the demo and for tests.

Scenes are drawn by rule: one coloured shape on a patterned background, sometimes with a smaller one beside
it. Captions are composed from the same facts, so a caption is right or wrong by construction. Quality is
planted and kept apart from the pairs: nothing that scores or trains ever reads it.
"""

import io
import json
import math
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from thresher.data.writer import atomic_path, write_json

COLOURS = {
    "red": (208, 40, 36), "green": (40, 150, 60), "blue": (44, 84, 200), "yellow": (236, 206, 40),
    "purple": (130, 60, 170), "white": (240, 240, 240),
}  # fmt: skip
GROUNDS = {"light": (205, 200, 190), "dark": (70, 68, 75), "grey": (130, 132, 134), "sandy": (190, 165, 125)}
SHAPES = ("circle", "square", "triangle", "star", "ring", "cross", "crescent", "heart")
PATTERNS = ("plain", "striped", "dotted", "checked")
PLACES = ("left", "right", "top", "bottom", "middle")
QUALITIES = {
    "clean": 0.22, "vague": 0.13, "degraded": 0.13, "wrong": 0.42, "text": 0.06, "repeated": 0.04,
}  # fmt: skip
VAGUE = ("a nice picture", "image", "photo for sale", "a shape on a background", "untitled", "best price online",
         "a {colour} thing", "something {colour}", "clip art of a {shape}")  # fmt: skip
TEMPLATES = (
    "a {colour} {shape}",
    "a photo of a {colour} {shape}",
    "a {colour} {shape} on a {ground} background",
    "one {shape} in {colour}",
    "{colour} {shape} at the {place}",
)
CLASS_TEMPLATES = ("a {}", "a photo of a {}", "a {} on a background")
PIXELS = 64


@dataclass(frozen=True, slots=True)
class Scene:
    """The facts of one picture."""

    colour: str
    shape: str
    ground: str
    pattern: str
    size: str
    place: str
    distractor: tuple[str, str] | None
    angle: float


@dataclass(frozen=True, slots=True)
class Drawn:
    """One pair as it is written: image bytes, caption, label of its main object, planted quality."""

    image: bytes
    caption: str
    label: str
    quality: str
    captions: tuple[str, ...]


def classes() -> list[str]:
    """Every `colour shape`, the classes of the zero-shot task."""
    return [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]


def draw_scene(random: np.random.Generator) -> Scene:
    """Facts drawn at random; a second shape never has the colour of the first."""
    colours = random.permutation(list(COLOURS))
    distractor = (str(colours[1]), str(random.choice(SHAPES))) if random.random() < 0.2 else None
    return Scene(
        colour=str(colours[0]),
        shape=str(random.choice(SHAPES)),
        ground=str(random.choice(list(GROUNDS))),
        pattern=str(random.choice(PATTERNS)),
        size=str(random.choice(["small", "big"])),
        place=str(random.choice(PLACES)),
        distractor=distractor,
        angle=float(random.uniform(-45, 45) * random.random()),
    )


def caption_of(scene: Scene, random: np.random.Generator) -> str:
    """A right caption in one of several wordings."""
    return str(random.choice(TEMPLATES)).format(**_facts(scene))


def _facts(scene: Scene) -> dict[str, str]:
    names = ("colour", "shape", "ground", "pattern", "size", "place")
    return {name: getattr(scene, name) for name in names}


def render(scene: Scene, random: np.random.Generator) -> Image.Image:
    """The picture of a scene, PIXELS x PIXELS RGB, with sensor noise and a colour cast."""
    picture = Image.new("RGB", (PIXELS, PIXELS), GROUNDS[scene.ground])
    _pattern(picture, scene, random)
    if scene.distractor is not None:
        colour, shape = scene.distractor
        x, y = random.uniform(8, PIXELS - 8, size=2)
        _paste(picture, shape, COLOURS[colour], 13, (x, y), float(random.uniform(0, 360)))
    width = int(random.integers(28, 40) if scene.size == "small" else random.integers(40, 58))
    dx, dy = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1), "middle": (0, 0)}[
        scene.place
    ]
    reach = (PIXELS - width) / 2 - 2
    jitter = random.uniform(-3, 3, size=2)
    centre = (PIXELS / 2 + dx * reach + jitter[0], PIXELS / 2 + dy * reach + jitter[1])
    _paste(picture, scene.shape, COLOURS[scene.colour], width, centre, scene.angle)
    pixels = np.asarray(picture, dtype=np.float32) * random.uniform(0.7, 1.15, size=3)
    pixels += random.normal(0, 25 * random.random(), size=pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _pattern(picture: Image.Image, scene: Scene, random: np.random.Generator) -> None:
    draw = ImageDraw.Draw(picture)
    shade = tuple(int(0.8 * c + 30) for c in GROUNDS[scene.ground])
    step = int(random.integers(8, 13))
    if scene.pattern == "striped":
        for x in range(-PIXELS, 2 * PIXELS, step):
            draw.line([(x, 0), (x + PIXELS // 2, PIXELS)], fill=shade, width=step // 3)
    for x in range(0, PIXELS, step):
        for y in range(0, PIXELS, step):
            if scene.pattern == "dotted":
                draw.ellipse([x + 2, y + 2, x + step // 2, y + step // 2], fill=shade)
            elif scene.pattern == "checked" and (x // step + y // step) % 2:
                draw.rectangle([x, y, x + step - 1, y + step - 1], fill=shade)


def _paste(
    picture: Image.Image,
    shape: str,
    colour: tuple[int, int, int],
    width: int,
    centre: tuple[float, float],
    angle: float,
) -> None:
    big = 4 * width
    mask = Image.new("L", (big, big), 0)
    _draw_shape(ImageDraw.Draw(mask), shape, big)
    mask = mask.rotate(angle, Image.Resampling.BILINEAR).resize((width, width), Image.Resampling.BOX)
    corner = (round(centre[0] - width / 2), round(centre[1] - width / 2))
    picture.paste(Image.new("RGB", (width, width), colour), corner, mask)


def _draw_shape(draw: ImageDraw.ImageDraw, shape: str, size: int) -> None:
    def points(*pairs: tuple[float, float]) -> list[tuple[float, float]]:
        return [(x * size, y * size) for x, y in pairs]

    def ellipse(x0: float, y0: float, x1: float, y1: float, fill: int = 255) -> None:
        draw.ellipse([x0 * size, y0 * size, x1 * size, y1 * size], fill=fill)

    if shape in {"circle", "ring", "crescent"}:
        ellipse(0.1, 0.1, 0.9, 0.9)
        if shape == "ring":
            ellipse(0.3, 0.3, 0.7, 0.7, fill=0)
        if shape == "crescent":
            ellipse(0.32, 0.05, 1.0, 0.75, fill=0)
    elif shape == "heart":
        ellipse(0.1, 0.15, 0.52, 0.57)
        ellipse(0.48, 0.15, 0.9, 0.57)
        draw.polygon(points((0.13, 0.46), (0.87, 0.46), (0.5, 0.92)), fill=255)
    elif shape == "star":
        corners = [(0.45 if i % 2 == 0 else 0.18, math.pi * (i / 5 - 0.5)) for i in range(10)]
        draw.polygon(points(*((0.5 + r * math.cos(a), 0.5 + r * math.sin(a)) for r, a in corners)), fill=255)
    else:
        outlines: dict[str, tuple[tuple[float, float], ...]] = {
            "square": ((0.17, 0.17), (0.83, 0.17), (0.83, 0.83), (0.17, 0.83)),
            "triangle": ((0.5, 0.1), (0.92, 0.85), (0.08, 0.85)),
            "diamond": ((0.5, 0.05), (0.8, 0.5), (0.5, 0.95), (0.2, 0.5)),
            "cross": ((0.37, 0.1), (0.63, 0.1), (0.63, 0.37), (0.9, 0.37), (0.9, 0.63), (0.63, 0.63),
                      (0.63, 0.9), (0.37, 0.9), (0.37, 0.63), (0.1, 0.63), (0.1, 0.37), (0.37, 0.37)),
            "arrow": ((0.08, 0.38), (0.5, 0.38), (0.5, 0.15), (0.92, 0.5), (0.5, 0.85), (0.5, 0.62), (0.08, 0.62)),
        }  # fmt: skip
        draw.polygon(points(*outlines[shape]), fill=255)


def draw_pairs(count: int, seed: int, qualities: dict[str, float]) -> Iterator[Drawn]:
    """`count` pairs whose planted qualities have the shares of `qualities`.

    `clean`: right caption. `vague`: right, but says little. `degraded`: right caption, ruined picture.
    `wrong`: the caption of another scene. `text`: a wrong caption pasted into the picture as well.
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
        caption = caption_of(draw_scene(random), random)
    if quality == "text":
        ImageDraw.Draw(picture).multiline_text((2, 2), _wrapped(caption), fill=(255, 255, 255), spacing=0)
    if quality == "vague":
        caption = str(random.choice(VAGUE)).format(**_facts(scene))
    if quality == "degraded":
        picture = picture.filter(ImageFilter.GaussianBlur(float(random.uniform(2.5, 5))))
        pixels = np.asarray(picture, dtype=np.float32) * random.uniform(0.3, 0.8)
        pixels += random.normal(0, 30, size=pixels.shape)
        picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    stored = io.BytesIO()
    picture.save(stored, "JPEG", quality=90)
    return Drawn(stored.getvalue(), caption, f"{scene.colour} {scene.shape}", quality, tuple(captions))


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
