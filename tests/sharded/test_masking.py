"""The rule by which boxes are filled, on pictures where the answer is plain."""

import numpy as np
import pytest
from PIL import Image

from thresher.sharded.masking import cover_text, text_free_share

RED, BLUE, WHITE = (200, 30, 30), (20, 40, 180), (255, 255, 255)


def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return np.asarray(corners, dtype=np.float32)


def picture(width: int = 80, height: int = 60) -> np.ndarray:
    """Red on the left, blue on the right of column 40, and white where text would stand."""
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    pixels[:, :40], pixels[:, 40:] = RED, BLUE
    return pixels


def covered(pixels: np.ndarray, *boxes: np.ndarray) -> np.ndarray:
    return np.asarray(cover_text(Image.fromarray(pixels), np.stack(boxes)))


def test_a_box_gets_the_colour_around_it_and_nothing_else_changes() -> None:
    pixels = picture()
    pixels[20:31, 10:26] = WHITE
    assert np.array_equal(covered(pixels, box(10, 20, 25, 30)), picture())


def test_the_colour_is_the_mean_of_the_ring() -> None:
    pixels = picture()
    pixels[20:30, 30:50] = WHITE
    found = covered(pixels, box(30, 20, 49, 29))
    # the ring lies as much on red as on blue
    assert found[25, 40] == pytest.approx(np.mean([RED, BLUE], axis=0), abs=2)
    assert (found[25, 31:49] == found[25, 40]).all()
    changed = (found != pixels).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (19, 30, 29, 50)  # a pixel around


def test_text_beside_a_box_does_not_colour_it() -> None:
    pixels = picture()
    pixels[10:21, 5:36] = WHITE
    pixels[22:33, 5:36] = WHITE
    found = covered(pixels, box(5, 10, 35, 20), box(5, 22, 35, 32))
    assert np.array_equal(found[15], picture()[15])
    assert np.array_equal(found[27], picture()[27])


def test_a_slanted_box_leaves_the_corners_of_its_frame() -> None:
    pixels = picture()
    slanted = np.asarray([(10, 30), (25, 15), (32, 22), (17, 37)], dtype=np.float32)
    pixels[20:33, 15:26] = WHITE
    found = covered(pixels, slanted)
    assert tuple(found[26, 21]) != WHITE
    assert np.array_equal(found[15:18, 10:15], pixels[15:18, 10:15])


def test_a_box_over_the_whole_picture_gets_the_mean_of_the_picture() -> None:
    found = covered(picture(), box(0, 0, 79, 59))
    assert found.reshape(-1, 3) == pytest.approx(np.tile(np.mean([RED, BLUE], axis=0), (4800, 1)), abs=0.5)


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (300, 3)])
def test_boxes_that_reach_over_the_edge_are_cut(size: tuple[int, int]) -> None:
    width, height = size
    found = covered(np.zeros((height, width, 3), dtype=np.uint8), box(-5, -5, width + 5, height / 2))
    assert found.shape == (height, width, 3)
    assert not found.any()


def test_a_picture_without_boxes_is_the_picture_itself() -> None:
    image = Image.fromarray(picture())
    assert cover_text(image, np.empty((0, 4, 2), dtype=np.float32)) is image


def test_the_free_share_counts_pixels_once() -> None:
    boxes = np.stack([box(0, 0, 39, 59), box(0, 0, 39, 29)])
    assert text_free_share((80, 60), boxes) == pytest.approx(0.5)
    assert text_free_share((80, 60), boxes[:0]) == 1.0
