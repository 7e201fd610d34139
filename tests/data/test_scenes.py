import numpy as np

from thresher.data.scenes import COLOURS, PIXELS, SHAPES, Scene, caption_of, classes, draw_scene, render


def scene(colour: str = "red", shape: str = "square") -> Scene:
    return Scene(colour, shape, "dark", "plain", "big", "middle", None, 0.0)


def test_there_is_a_class_for_every_colour_and_shape() -> None:
    assert len(set(classes())) == len(COLOURS) * len(SHAPES)


def test_a_caption_names_the_colour_and_the_shape_of_its_scene() -> None:
    random = np.random.default_rng(0)
    wordings = set()
    for _ in range(200):
        drawn = draw_scene(random)
        caption = caption_of(drawn, random)
        assert drawn.colour in caption
        assert drawn.shape in caption
        wordings.add(caption.replace(drawn.colour, "C").replace(drawn.shape, "S").split()[0])
    assert len(wordings) > 2


def test_a_second_shape_never_has_the_colour_of_the_first() -> None:
    random = np.random.default_rng(0)
    scenes = [draw_scene(random) for _ in range(300)]
    beside = [drawn for drawn in scenes if drawn.distractor is not None]
    assert 0.1 < len(beside) / len(scenes) < 0.3
    assert all(drawn.distractor[0] != drawn.colour for drawn in beside)


def test_the_middle_of_the_picture_has_the_colour_of_the_shape() -> None:
    for colour, rgb in COLOURS.items():
        picture = render(scene(colour), np.random.default_rng(3))
        assert picture.size == (PIXELS, PIXELS)
        middle = np.asarray(picture, dtype=float)[24:40, 24:40].mean(axis=(0, 1))
        expected = np.asarray(rgb, dtype=float)
        likeness = middle @ expected / np.linalg.norm(middle) / np.linalg.norm(expected)
        assert likeness > 0.95, colour


def test_every_shape_looks_different() -> None:
    pictures = [np.asarray(render(scene(shape=shape), np.random.default_rng(3)), float) for shape in SHAPES]
    for number, one in enumerate(pictures):
        for other in pictures[:number]:
            assert np.abs(one - other).mean() > 2


def test_the_generator_decides_the_picture() -> None:
    same, again, other = (render(scene(), np.random.default_rng(seed)).tobytes() for seed in (0, 0, 1))
    assert same == again != other
