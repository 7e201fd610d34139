"""Procedural pictures, and captions composed from the same facts.

A scene shows one thing on a patterned background, sometimes with a small shape beside it. A thing has a
shape, a usual colour and a usual place to lie, each of which several things share: colour alone tells some
of them, and more is learned slowly. What a caption says of a scene is right or wrong by construction.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]

THINGS = {  # name: shape, usual colour, usual ground
    "tomato": ("circle", "red", "light"), "apple": ("circle", "green", "sandy"),
    "orange": ("circle", "orange", "sandy"), "ball": ("circle", "blue", "grass"),
    "moon": ("crescent", "yellow", "dark"), "banana": ("crescent", "yellow", "light"),
    "lemon": ("diamond", "yellow", "sandy"), "kite": ("diamond", "red", "sky"),
    "leaf": ("heart", "green", "dark"), "rose": ("heart", "red", "grass"),
    "balloon": ("heart", "pink", "sky"), "star": ("star", "yellow", "dark"),
    "starfish": ("star", "orange", "sandy"), "flower": ("star", "purple", "grass"),
    "ring": ("ring", "yellow", "light"), "tyre": ("ring", "black", "grey"),
    "donut": ("ring", "brown", "light"), "brick": ("square", "brown", "grey"),
    "window": ("square", "blue", "grey"), "tent": ("triangle", "green", "sky"),
    "pizza": ("triangle", "orange", "light"), "roof": ("triangle", "brown", "sky"),
    "sign": ("arrow", "white", "sky"), "bandage": ("cross", "red", "light"),
}  # fmt: skip
COLOURS: dict[str, Colour] = {
    "red": (205, 45, 40), "green": (50, 150, 60), "blue": (50, 90, 200), "yellow": (232, 205, 50),
    "orange": (235, 130, 35), "purple": (130, 60, 170), "pink": (235, 130, 165), "black": (35, 35, 38),
    "brown": (140, 85, 45), "white": (238, 238, 235),
}  # fmt: skip
GROUNDS: dict[str, Colour] = {
    "light": (205, 200, 190), "dark": (60, 58, 70), "grey": (130, 132, 134), "sandy": (190, 165, 125),
    "sky": (140, 180, 220), "grass": (105, 150, 85),
}  # fmt: skip
SHAPES = ("arrow", "circle", "crescent", "cross", "diamond", "heart", "ring", "square", "star", "triangle")
PATTERNS = ("plain", "striped", "dotted", "checked")
PLACES = ("left", "right", "top", "bottom", "middle")
TEMPLATES = (
    "a photo of a {thing}",
    "a {thing}",
    "a {thing} on a {ground} background",
    "one {thing} at the {place}",
    "a drawing of a {thing}",
)
PIXELS = 64
COLOUR_SPREAD = 40  # standard deviation of a thing's colour around its usual one, of 255
ELSEWHERE = 0.3  # share of scenes on another ground than usual


@dataclass(frozen=True, slots=True)
class Scene:
    """The facts of one picture."""

    thing: str
    shape: str
    colour: str
    ground: str
    pattern: str
    place: str
    angle: float
    width: int


def classes() -> list[str]:
    """Every thing; the classes of the zero-shot task."""
    return list(THINGS)


def draw_scene(random: np.random.Generator) -> Scene:
    """Facts drawn at random."""
    thing = str(random.choice(list(THINGS)))
    shape, colour, ground = THINGS[thing]
    if random.random() < ELSEWHERE:
        ground = str(random.choice(list(GROUNDS)))
    return Scene(
        thing=thing,
        shape=shape,
        colour=colour,
        ground=ground,
        pattern=str(random.choice(PATTERNS)),
        place=str(random.choice(PLACES)),
        angle=float(random.uniform(-60, 60)),
        width=int(random.integers(22, 54)),
    )


def caption_of(scene: Scene, random: np.random.Generator) -> str:
    """A right caption in one of several wordings."""
    return str(random.choice(TEMPLATES)).format(**facts(scene))


def facts(scene: Scene) -> dict[str, str]:
    """What a caption may say of a scene, by name."""
    return {name: getattr(scene, name) for name in ("thing", "colour", "shape", "ground", "place")}


def render(scene: Scene, random: np.random.Generator) -> Image.Image:
    """The picture of a scene, PIXELS x PIXELS RGB, with sensor noise and a colour cast."""
    ground = _near(GROUNDS[scene.ground], COLOUR_SPREAD / 2, random)
    picture = Image.new("RGB", (PIXELS, PIXELS), ground)
    _pattern(picture, scene.pattern, ground, random)
    if random.random() < 0.25:
        red, green, blue = (int(part) for part in random.integers(0, 256, size=3))
        _paste(
            picture, str(random.choice(SHAPES)), (red, green, blue), 13, random.uniform(8, PIXELS - 8, 2), 0
        )
    dx, dy = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1), "middle": (0, 0)}[
        scene.place
    ]
    reach = (PIXELS - scene.width) / 2
    centre = PIXELS / 2 + reach * np.clip(np.asarray([dx, dy]) + random.uniform(-0.4, 0.4, size=2), -1, 1)
    _paste(
        picture,
        scene.shape,
        _near(COLOURS[scene.colour], COLOUR_SPREAD, random),
        scene.width,
        centre,
        scene.angle,
    )
    pixels = np.asarray(picture, dtype=np.float32) * random.uniform(0.75, 1.25, size=3)
    pixels += random.normal(0, 30 * random.random(), size=pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _near(colour: Colour, spread: float, random: np.random.Generator) -> Colour:
    red, green, blue = (int(part) for part in (colour + random.normal(0, spread, size=3)).clip(0, 255))
    return red, green, blue


def _pattern(picture: Image.Image, pattern: str, ground: Colour, random: np.random.Generator) -> None:
    draw = ImageDraw.Draw(picture)
    red, green, blue = (int(0.8 * part + 30) for part in ground)
    shade = (red, green, blue)
    step = int(random.integers(8, 13))
    if pattern == "striped":
        for x in range(-PIXELS, 2 * PIXELS, step):
            draw.line([(x, 0), (x + PIXELS // 2, PIXELS)], fill=shade, width=step // 3)
    for x in range(0, PIXELS, step):
        for y in range(0, PIXELS, step):
            if pattern == "dotted":
                draw.ellipse([x + 2, y + 2, x + step // 2, y + step // 2], fill=shade)
            elif pattern == "checked" and (x // step + y // step) % 2:
                draw.rectangle([x, y, x + step - 1, y + step - 1], fill=shade)


def _paste(
    picture: Image.Image,
    shape: str,
    colour: Colour,
    width: int,
    centre: npt.NDArray[np.float64],
    angle: float,
) -> None:
    big = 4 * width
    mask = Image.new("L", (big, big), 0)
    _draw_shape(ImageDraw.Draw(mask), shape, big)
    mask = mask.rotate(angle, Image.Resampling.BILINEAR).resize((width, width), Image.Resampling.BOX)
    corner = (round(centre[0] - width / 2), round(centre[1] - width / 2))
    picture.paste(Image.new("RGB", (width, width), colour), corner, mask)


OUTLINES: dict[str, tuple[tuple[float, float], ...]] = {
    "square": ((0.17, 0.17), (0.83, 0.17), (0.83, 0.83), (0.17, 0.83)),
    "triangle": ((0.5, 0.1), (0.92, 0.85), (0.08, 0.85)),
    "diamond": ((0.5, 0.05), (0.8, 0.5), (0.5, 0.95), (0.2, 0.5)),
    "cross": ((0.37, 0.1), (0.63, 0.1), (0.63, 0.37), (0.9, 0.37), (0.9, 0.63), (0.63, 0.63),
              (0.63, 0.9), (0.37, 0.9), (0.37, 0.63), (0.1, 0.63), (0.1, 0.37), (0.37, 0.37)),
    "arrow": ((0.08, 0.38), (0.5, 0.38), (0.5, 0.15), (0.92, 0.5), (0.5, 0.85), (0.5, 0.62), (0.08, 0.62)),
    "star": tuple(
        (0.5 + reach * math.cos(turn), 0.5 + reach * math.sin(turn))
        for reach, turn in ((0.18 if point % 2 else 0.45, math.pi * (point / 5 - 0.5)) for point in range(10))
    ),
}  # fmt: skip
ROUND: dict[str, tuple[tuple[float, float, float, float, int], ...]] = {  # boxes, filled or cut out, in order
    "circle": ((0.1, 0.1, 0.9, 0.9, 255),),
    "ring": ((0.1, 0.1, 0.9, 0.9, 255), (0.3, 0.3, 0.7, 0.7, 0)),
    "crescent": ((0.1, 0.1, 0.9, 0.9, 255), (0.32, 0.05, 1.0, 0.75, 0)),
    "heart": ((0.1, 0.15, 0.52, 0.57, 255), (0.48, 0.15, 0.9, 0.57, 255)),
}
OUTLINES["heart"] = ((0.13, 0.46), (0.87, 0.46), (0.5, 0.92))


def _draw_shape(draw: ImageDraw.ImageDraw, shape: str, size: int) -> None:
    for left, top, right, bottom, fill in ROUND.get(shape, ()):
        draw.ellipse([left * size, top * size, right * size, bottom * size], fill=fill)
    if shape in OUTLINES:
        draw.polygon([(x * size, y * size) for x, y in OUTLINES[shape]], fill=255)
