"""Mirrored and shifted images, from pixels to model input."""

import numpy as np
import numpy.typing as npt
import torch

from thresher.models.towers import Towers, to_input
from thresher.train.recipe import Recipe


def augment(
    towers: Towers, images_BHWC: npt.NDArray[np.uint8], recipe: Recipe, random: np.random.Generator
) -> torch.Tensor:
    """Model input [B, 3, H, W] with half of the images mirrored and each shifted, as the recipe says."""
    if recipe.crop:
        images_BHWC = _shift(images_BHWC, recipe.crop, random)
    if recipe.flip:
        mirrored = random.random(len(images_BHWC)) < 0.5
        images_BHWC = np.where(mirrored[:, None, None, None], images_BHWC[:, :, ::-1], images_BHWC)
    return to_input(towers, images_BHWC)


def _shift(
    images_BHWC: npt.NDArray[np.uint8], most: int, random: np.random.Generator
) -> npt.NDArray[np.uint8]:
    height, width = images_BHWC.shape[1:3]
    down, right = random.integers(-most, most + 1, size=(2, len(images_BHWC), 1))
    rows = np.clip(np.arange(height) + down, 0, height - 1)
    columns = np.clip(np.arange(width) + right, 0, width - 1)
    shifted: npt.NDArray[np.uint8] = images_BHWC[
        np.arange(len(images_BHWC))[:, None, None], rows[:, :, None], columns[:, None, :]
    ]
    return shifted
