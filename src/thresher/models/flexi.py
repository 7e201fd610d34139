"""Two patch sizes in one vision transformer: fewer, larger patches where a rough embedding will do.

After FlexiViT (arXiv 2212.08013). Shapes: B images of H x W pixels, p the model's own patch size, P the
larger one, in pixels; D embedding dimensions.

Enlarging a patch x from p to P pixels is linear, `B x`. The patch embedding of the larger patch should give
for `B x` what the model's own weights w give for x: `(B x)·w' = x·w` for every x, whose solution of least
norm is `w' = pinv(B)ᵀ w`. Enlarging the weights like a picture instead would multiply every token's length
by about (P/p)². Since `y·w' = (pinv(B) y)·w`, an image seen by w' is the same as a smaller image, every
patch shrunk by `pinv(B)`, seen by w. That is how it is computed here: the model itself runs, unchanged, on
the smaller image with its position embeddings resized, so gradients reach its own weights, nothing is ever
resized twice, and the larger patch costs no more in the patch embedding either.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from open_clip.model import CLIP, CustomTextCLIP
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from timm.models.vision_transformer import VisionTransformer as TimmTransformer
from torch.func import functional_call
from torch.nn.functional import interpolate, normalize

from thresher.errors import InputError
from thresher.models.towers import Towers


@lru_cache(maxsize=64)
def resize_matrix(old: int, new: int, mode: str = "bilinear") -> torch.Tensor:
    """The matrix that resizes a row of `old` pixels to `new`, float64 [new, old]; a picture's is its square.

    Half-pixel centres, and antialiased where `new` is smaller, as FlexiViT and open_clip resize.

    >>> resize_matrix(2, 4).tolist()
    [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]
    """
    with torch.inference_mode(False):  # kept for passes with a gradient too
        # Columns stand side by side and are resized alone: the width stays as it is.
        columns = torch.eye(old, dtype=torch.float64, device="cpu")[None, None]
        resized: torch.Tensor = interpolate(columns, (new, old), mode=mode, antialias=True)
    return resized[0, 0]


@lru_cache(maxsize=64)
def _shrinking(old: int, new: int, device: torch.device) -> torch.Tensor:
    """The pseudo-inverse of enlarging a row from `old` to `new` pixels, float32 [old, new]."""
    with torch.inference_mode(False):
        return torch.from_numpy(np.linalg.pinv(resize_matrix(old, new).numpy())).float().to(device)


@lru_cache(maxsize=64)
def _regridding(old: int, new: int, device: torch.device) -> torch.Tensor:
    """The bicubic resize of one side of a grid of position embeddings, float32 [new, old]."""
    with torch.inference_mode(False):
        return resize_matrix(old, new, "bicubic").float().to(device)


def shrink_patches(images_B3HW: torch.Tensor, own: int, patch: int) -> torch.Tensor:
    """Smaller images, each patch of `patch` pixels shrunk to `own` by the pseudo-inverse of enlarging.

    What weights for `own` pixels give on the result is what these weights, resized by the same matrix, give
    on the images.
    """
    with _full_precision(images_B3HW.device):
        shrinking = _shrinking(own, patch, images_B3HW.device).T
        image = images_B3HW.float()
        for _ in ("width", "height"):
            patches = image.reshape(*image.shape[:-1], -1, patch)
            image = (patches @ shrinking).flatten(-2).transpose(-1, -2)
    return image.to(images_B3HW.dtype)


def _full_precision(device: torch.device) -> AbstractContextManager[Any]:
    available = torch.amp.is_autocast_available(device.type)  # it is not where FLOPs are counted on no device
    return torch.autocast(device.type, enabled=False) if available else nullcontext()


def resize_positions(positions_ND: torch.Tensor, grid: int, own_grid: int) -> torch.Tensor:
    """Position embeddings for `grid` x `grid` patches, differentiable; those before the grid's are kept.

    Args:
        positions_ND: one a token: of class and register tokens first, then of the grid, row by row.
        grid: patches a side that are wanted.
        own_grid: patches a side that there are.
    """
    if grid == own_grid:
        return positions_ND
    first = len(positions_ND) - own_grid**2
    side = _regridding(own_grid, grid, positions_ND.device)
    with _full_precision(positions_ND.device):
        own = positions_ND[first:].float().T.reshape(-1, own_grid, own_grid)
        resized = (side @ own @ side.T).flatten(1).T
    return torch.cat([positions_ND[:first], resized.to(positions_ND.dtype)])


@dataclass(frozen=True, slots=True)
class _Vision:
    """What resizing needs to know of an image tower."""

    module: torch.nn.Module
    positions_name: str
    positions: torch.Tensor  # [N, D] or [1, N, D]
    patch: int
    image_size: int

    @property
    def grid(self) -> int:
        return self.image_size // self.patch


def check_flexi(towers: Towers, patch: int) -> None:
    """Nothing, if the model can work with patches of `patch` pixels beside its own.

    Raises:
        InputError: its image tower is no plain vision transformer of open_clip or timm, or the patches do not
            cover the image or are no larger than its own.
    """
    _vision(towers.model, patch, f"model {towers.name!r}")


def _vision(model: torch.nn.Module, patch: int, name: str = "this model") -> _Vision:
    """The image tower, if it serves with patches of `patch` pixels too."""
    visual = model.visual if isinstance(model, CLIP | CustomTextCLIP) else model
    if isinstance(visual, VisionTransformer):
        positions_name, positions = "positional_embedding", visual.positional_embedding
        kernel, sizes = visual.conv1.kernel_size, visual.image_size
    elif isinstance(visual, TimmModel) and _is_plain(visual.trunk):
        positions_name, positions = "trunk.pos_embed", visual.trunk.pos_embed
        kernel, sizes = visual.trunk.patch_embed.proj.kernel_size, visual.trunk.patch_embed.img_size
    else:
        found = type(getattr(visual, "trunk", visual)).__name__
        raise InputError(
            f"{name} cannot work with two patch sizes, since its image tower ({found}) is no transformer of "
            "one convolution and learned positions; take ViT-B-16 or ViT-B-16-SigLIP, or leave flexi at 0"
        )
    (own, _), (size, _) = kernel, sizes
    possible = [larger for larger in range(own + 1, size + 1) if size % larger == 0]
    if kernel != (own, own) or tuple(sizes) != (size, size) or size % own or patch not in possible:
        raise InputError(
            f"{name} has patches of {own} pixels on images of {size}, which larger patches of {patch} do not "
            f"cover; take one of {', '.join(map(str, possible)) or 'none'}"
        )
    return _Vision(visual, positions_name, positions, own, size)


def _is_plain(trunk: torch.nn.Module) -> bool:
    """Whether it is timm's plain transformer: learned positions, one convolution as the patch embedding."""
    plain = type(trunk) is TimmTransformer and trunk.pos_embed is not None and not trunk.dynamic_img_size
    return plain and isinstance(getattr(trunk.patch_embed, "proj", None), torch.nn.Conv2d)


def encode_image_low(model: torch.nn.Module, images_B3HW: torch.Tensor, patch: int) -> torch.Tensor:
    """Embeddings [B, D] from patches of `patch` pixels; like `model.encode_image`'s, not of unit length.

    The images are those of the full pass, at the same size; the tokens are `(p / patch)²` as many. Gradients
    reach the model's own weights.

    Raises:
        InputError: as `check_flexi`.
    """
    vision = _vision(model, patch)
    own = vision.positions
    resized = resize_positions(own.flatten(0, -2), vision.image_size // patch, vision.grid)
    positions = resized.reshape(*own.shape[:-2], *resized.shape)
    small = shrink_patches(images_B3HW, vision.patch, patch)
    with _any_size(vision.module):
        features: torch.Tensor = functional_call(vision.module, {vision.positions_name: positions}, small)
    return features


@contextmanager
def _any_size(visual: torch.nn.Module) -> Iterator[None]:
    """Let a timm transformer take images of another size than it was made for."""
    if not isinstance(visual, TimmModel):
        yield
        return
    patch_embed = visual.trunk.patch_embed
    strict, patch_embed.strict_img_size = patch_embed.strict_img_size, False
    try:
        yield
    finally:
        patch_embed.strict_img_size = strict


class FlexiForward(torch.nn.Module):
    """A forward pass with some rows at low and the others at full resolution.

    To be wrapped by DistributedDataParallel in place of the model: every parameter takes part, however many
    rows are low. The model stays the ordinary one, and its `state_dict` too.
    """

    def __init__(self, model: torch.nn.Module, patch: int) -> None:
        super().__init__()
        _vision(model, patch)
        self.model = model
        self.patch = patch
        self.training = model.training

    def forward(
        self, images_B3HW: torch.Tensor, tokens_BT: torch.Tensor, num_low: int | None = None
    ) -> dict[str, torch.Tensor]:
        """What open_clip's models return as a dictionary: unit-length embeddings, scale and, if any, bias.

        Args:
            images_B3HW: all at full size.
            tokens_BT: their captions.
            num_low: the first `num_low` rows are embedded at low resolution; None takes all.
        """
        model: torch.nn.Module = self.model
        num_low = len(images_B3HW) if num_low is None else num_low
        parts = []
        if num_low:
            parts.append(encode_image_low(model, images_B3HW[:num_low], self.patch))
        if num_low < len(images_B3HW):
            parts.append(model.encode_image(images_B3HW[num_low:]))  # type: ignore[operator]
        output = {
            "image_features": normalize(torch.cat(parts), dim=-1),
            "text_features": model.encode_text(tokens_BT, normalize=True),  # type: ignore[operator]
            "logit_scale": model.logit_scale.exp(),  # type: ignore[operator]
        }
        if model.logit_bias is not None:
            output["logit_bias"] = model.logit_bias
        return output
