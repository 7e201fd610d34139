from collections import Counter

import numpy as np
import pytest

from thresher.pipeline.scenes import (
    COLOURS,
    GROUNDS,
    PIXELS,
    SHAPES,
    THINGS,
    Scene,
    caption_of,
    classes,
    draw_scene,
    render,
)


def scene(colour: str = "red", shape: str = "square", ground: str = "dark") -> Scene:
    return Scene("thing", shape, colour, ground, "plain", "middle", 0.0, 50)


def test_every_thing_has_a_known_shape_colour_and_ground_and_is_a_class() -> None:
    assert classes() == list(THINGS)
    for shape, colour, ground in THINGS.values():
        assert shape in SHAPES
        assert colour in COLOURS
        assert ground in GROUNDS


def test_no_two_things_have_all_in_common() -> None:
    assert len(set(THINGS.values())) == len(THINGS)


def test_a_caption_names_the_thing_of_its_scene_in_several_wordings() -> None:
    random = np.random.default_rng(0)
    wordings = set()
    for _ in range(200):
        drawn = draw_scene(random)
        caption = caption_of(drawn, random)
        assert drawn.thing in caption.split()
        wordings.add(caption.split(drawn.thing)[0])
    assert len(wordings) > 2


def test_things_are_drawn_about_equally_often_and_mostly_where_they_usually_lie() -> None:
    random = np.random.default_rng(0)
    scenes = [draw_scene(random) for _ in range(2000)]
    counts = Counter(drawn.thing for drawn in scenes)
    expected = len(scenes) / len(THINGS)
    assert all(abs(counts[thing] - expected) < 4 * expected**0.5 for thing in THINGS)
    usual = np.mean([drawn.ground == THINGS[drawn.thing][2] for drawn in scenes])
    assert 0.65 < usual < 0.85
    assert all((drawn.shape, drawn.colour) == THINGS[drawn.thing][:2] for drawn in scenes)


@pytest.mark.parametrize("colour", COLOURS)
def test_pictures_have_on_average_the_colour_of_their_thing_in_the_middle(colour: str) -> None:
    pictures = [render(scene(colour), np.random.default_rng(seed)) for seed in range(40)]
    assert pictures[0].size == (PIXELS, PIXELS)
    middle = np.mean([np.asarray(picture, dtype=float)[26:38, 26:38] for picture in pictures], axis=(0, 1, 2))
    assert np.abs(middle - COLOURS[colour]).max() < 45


def test_every_shape_looks_different() -> None:
    pictures = [np.asarray(render(scene(shape=shape), np.random.default_rng(3)), float) for shape in SHAPES]
    for number, one in enumerate(pictures):
        for other in pictures[:number]:
            assert np.abs(one - other).mean() > 2


def test_the_generator_decides_the_picture() -> None:
    same, again, other = (render(scene(), np.random.default_rng(seed)).tobytes() for seed in (0, 0, 1))
    assert same == again != other
