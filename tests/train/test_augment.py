import dataclasses

import numpy as np
import pytest
import torch

from tests.train.small import RECIPE
from thresher.models.towers import Towers, load_towers, to_input
from thresher.train.pairs import augment

random = np.random.default_rng(1)
IMAGES = random.integers(0, 256, size=(64, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def towers() -> Towers:
    return load_towers(RECIPE.model)


def augmented(towers: Towers, *, seed: int = 0, **settings: object) -> torch.Tensor:
    return augment(towers, IMAGES, dataclasses.replace(RECIPE, **settings), np.random.default_rng(seed))


def test_without_settings_images_are_only_normalised(towers: Towers) -> None:
    assert torch.equal(augmented(towers), to_input(towers, IMAGES))


def test_flip_mirrors_about_half_of_the_images_and_leaves_the_others(towers: Towers) -> None:
    plain, mirrored = to_input(towers, IMAGES), to_input(towers, IMAGES[:, :, ::-1])
    seen = augmented(towers, flip=True)
    is_plain = [torch.equal(a, b) for a, b in zip(seen, plain, strict=True)]
    is_mirrored = [torch.equal(a, b) for a, b in zip(seen, mirrored, strict=True)]
    assert [a != b for a, b in zip(is_plain, is_mirrored, strict=True)] == [True] * 64
    assert 16 < sum(is_mirrored) < 48


def test_crop_shifts_each_image_on_its_own_and_repeats_the_edge(towers: Towers) -> None:
    seen = augmented(towers, crop=2)
    shifts = []
    for image, shifted in zip(IMAGES, seen, strict=True):
        wide = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="edge")
        found = [
            (down, right)
            for down in range(5)
            for right in range(5)
            if torch.equal(to_input(towers, wide[None, down : down + 32, right : right + 32])[0], shifted)
        ]
        assert len(found) == 1
        shifts += found
    assert len(set(shifts)) > 12


def test_the_generator_decides_everything(towers: Towers) -> None:
    same, again, other = (augmented(towers, seed=seed, flip=True, crop=2) for seed in (0, 0, 1))
    assert torch.equal(same, again)
    assert not torch.equal(same, other)
