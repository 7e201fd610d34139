"""Two-tower models from open_clip, with what is needed to feed them.

Shapes: B images or captions, H x W pixels, T tokens, D embedding dimensions.

A model may be saved as the folder that stock open_clip loads as `local-dir:FOLDER`.
"""

import difflib
import functools
import logging
import math
import pickle
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import open_clip
import torch

from thresher.data.digests import hasher
from thresher.data.images.decode import ImageSpec
from thresher.errors import InputError
from thresher.models.attention import lay_by_place
from thresher.models.weights import bare_weights
from thresher.settings import PRECISIONS

CONFIGS = Path(__file__).parent / "configs"
SIGLIP_START = {"init_logit_scale": math.log(10), "init_logit_bias": -10.0}
Triple = tuple[float, float, float]
Resize = Literal["shortest", "squash"]
Interpolation = Literal["bicubic", "bilinear"]


@dataclass(frozen=True, slots=True)
class Towers:
    """A model with its tokenizer and the preprocessing that belongs to it."""

    name: str
    model: torch.nn.Module
    tokenize: Callable[[Sequence[str]], torch.Tensor]
    spec: ImageSpec
    mean: Triple
    std: Triple
    device: torch.device
    fingerprint: str


def register_configs() -> None:
    """Make the models of this package known to open_clip under their names."""
    if "thresher-tiny-32" not in open_clip.list_models():
        open_clip.add_model_config(CONFIGS)


def load_towers(
    name: str,
    *,
    pretrained: str | None = None,
    device: str = "cpu",
    seed: int | None = None,
    sigmoid: bool = False,
) -> Towers:
    """The model called `name`, on `device`, in eval mode.

    Args:
        name: an open_clip registry name, one of this package's (`thresher-tiny-32`), or
            `local-dir:PATH` / `hf-hub:...` as open_clip understands them.
        pretrained: an open_clip tag or the path of a checkpoint (ours or open_clip's); None leaves
            random weights.
        device: where the model lives.
        seed: seed of random weights; None uses torch's current state.
        sigmoid: give the model the bias and scale that the sigmoid loss starts from.

    Raises:
        InputError: the name or the weights are unknown or do not fit each other.
    """
    register_configs()
    folder = Path(name.removeprefix("local-dir:")) if name.startswith("local-dir:") else None
    if folder is None and ":" not in name and name not in open_clip.list_models():
        raise InputError(f"model {name!r} is not in open_clip; near: {_near(name)}")
    if seed is not None:
        torch.manual_seed(seed)
    # open_clip warns that a model without weights is random; here that is what was asked for.
    logging.getLogger().addFilter(_not_random_weights)
    try:
        with tempfile.TemporaryDirectory() as own:
            weights, has_bias = pretrained, False
            if pretrained is not None and Path(pretrained).is_file():
                weights, has_bias = bare_weights(pretrained, Path(own))
            start = _start(name, sigmoid=sigmoid or has_bias)
            model = open_clip.create_model(name, pretrained=weights, device=device, **start)
        tokenizer = _tokenizer(name) if folder is None else open_clip.get_tokenizer(name)
    except InputError:
        raise
    except Exception as error:  # damaged weights, or those of another model, raise anything
        given = f" with weights {pretrained!r}" if pretrained else ""
        raise InputError(f"model {name!r}{given} cannot be loaded: {_reason(error)}") from error
    finally:
        logging.getLogger().removeFilter(_not_random_weights)
    if pretrained is not None or ":" in name:
        _check_finite(name, pretrained, model)
    model.visual.to(memory_format=torch.channels_last)
    lay_by_place(model)
    model.eval()
    spec, mean, std = _preprocessing(name, open_clip.get_model_preprocess_cfg(model))
    return Towers(
        name=name,
        model=model,
        tokenize=tokenizer,
        spec=spec,
        mean=mean,
        std=std,
        device=torch.device(device),
        fingerprint=_fingerprint(model, spec, mean, std, tokenizer),
    )


def _check_finite(name: str, pretrained: str | None, model: torch.nn.Module) -> None:
    """Refuse weights that are NaN or infinite: every score and loss would be NaN."""
    for key, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor.sum(dtype=torch.float64)):
            raise InputError(
                f"the weights of model {pretrained or name!r} are not finite (tensor {key}); a training that "
                "diverged leaves such a checkpoint, take an earlier one"
            )


@functools.lru_cache(maxsize=8)
def _tokenizer(name: str) -> Callable[[Sequence[str]], torch.Tensor]:
    """The tokenizer of a registry name, made once: reading its vocabulary takes longer than a small model."""
    tokenizer: Callable[[Sequence[str]], torch.Tensor] = open_clip.get_tokenizer(name)
    return tokenizer


def _not_random_weights(record: logging.LogRecord) -> bool:
    return "No pretrained weights loaded" not in record.getMessage()


def _start(name: str, *, sigmoid: bool) -> dict[str, float]:
    """Arguments that give the model a bias: asked for, or because its checkpoint holds one."""
    config = {} if ":" in name else model_config(name, sigmoid=False)
    return dict(SIGLIP_START) if sigmoid and "init_logit_bias" not in config else {}


def model_config(name: str, *, sigmoid: bool) -> dict[str, Any]:
    """open_clip's configuration of `name`; with `sigmoid`, with SigLIP's bias and scale at the start."""
    register_configs()
    config = dict(open_clip.get_model_config(name) or {})
    return {**SIGLIP_START, **config} if sigmoid else config


def _reason(error: Exception) -> str:
    """One line for what torch and open_clip say in many."""
    first, *more = str(error).splitlines() or [type(error).__name__]
    if isinstance(error, pickle.UnpicklingError):
        return "the file is damaged, or holds more than tensors (which is not read, since it could run code)"
    if "loading state_dict" in first:
        first = "; ".join(line.strip() for line in more)[:160].strip()
    elif isinstance(error, KeyError):
        first = f"there is no {first}"
    elif not isinstance(error, AssertionError):  # with which open_clip answers embeddings of another width
        return first
    return f"the weights are of another model ({first})"


def _near(name: str) -> str:
    names = difflib.get_close_matches(name, open_clip.list_models(), n=3, cutoff=0.3)
    return ", ".join(names) or "none; see open_clip.list_models()"


def _preprocessing(name: str, config: dict[str, Any]) -> tuple[ImageSpec, Triple, Triple]:
    """What is done to images, from open_clip's configuration, which may stand in a file."""
    try:
        spec, mean, std = _image_spec(name, config), _triple(config["mean"]), _triple(config["std"])
        if not all(map(math.isfinite, mean)) or not all(0 < value < math.inf for value in std):
            raise ValueError(f"mean {mean}, std {std}")
    except InputError:
        raise
    except (TypeError, ValueError, LookupError) as error:
        raise InputError(
            f"the preprocess_cfg of model {name!r} is no preprocessing ({str(error)[:100]})"
        ) from error
    return spec, mean, std


def _triple(values: Sequence[float]) -> Triple:
    red, green, blue = (float(v) for v in values)
    return red, green, blue


def _image_spec(name: str, preprocess: dict[str, Any]) -> ImageSpec:
    size = preprocess["size"]
    height, width = (size, size) if isinstance(size, int) else size
    if height != width:
        shown = f"{height} x {width}"[:60]
        raise InputError(f"model {name!r} takes images of {shown}; only square input is supported")
    resize: Resize = preprocess.get("resize_mode") or "shortest"
    interpolation: Interpolation = preprocess.get("interpolation") or "bicubic"
    if resize not in get_args(Resize) or interpolation not in get_args(Interpolation):
        shown = f"{str(resize)[:40]!r} with {str(interpolation)[:40]!r}"
        raise InputError(f"model {name!r} wants resize {shown}, which is not supported")
    return ImageSpec(size=int(height), resize=resize, interpolation=interpolation)


def _fingerprint(model: torch.nn.Module, spec: ImageSpec, *rest: object) -> str:
    mean, std, tokenizer = rest
    context = getattr(tokenizer, "context_length", None)
    digest = hasher(repr((spec, mean, std, context)).encode())
    for key, tensor in sorted(model.state_dict().items()):
        digest.update(key.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def context_length(towers: Towers) -> int:
    """Tokens of a caption."""
    return int(getattr(towers.tokenize, "context_length", 77))


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Mixed precision for `device`: `auto` is bf16 where the hardware has it, else fp32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=resolve_precision(device, precision) == "bf16")


def resolve_precision(device: torch.device, precision: str) -> str:
    """`fp32` or `bf16` for a wish of `auto`, `fp32` or `bf16`."""
    if precision not in PRECISIONS:
        raise InputError(f"precision {precision!r} is unknown; take one of {', '.join(PRECISIONS)}")
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "fp32"


def to_input(towers: Towers, images_BHWC: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Pixels as the model wants them: float [B, 3, H, W], normalised, channels last in memory."""
    pixels = torch.from_numpy(np.require(images_BHWC, requirements=["C", "W"])).to(
        towers.device, non_blocking=True
    )
    mean = torch.tensor(towers.mean, device=towers.device).view(1, 3, 1, 1)
    std = torch.tensor(towers.std, device=towers.device).view(1, 3, 1, 1)
    return pixels.permute(0, 3, 1, 2).float().div_(255).sub_(mean).div_(std)


@torch.inference_mode()
def embed_images(
    towers: Towers, images_BHWC: npt.NDArray[np.uint8], *, precision: str = "auto"
) -> npt.NDArray[np.float32]:
    """Unit-length image embeddings, float32 [B, D]."""
    with autocast(towers.device, precision):
        features = towers.model.encode_image(to_input(towers, images_BHWC))  # type: ignore[operator]
    return _unit(features)


@torch.inference_mode()
def embed_tokens(
    towers: Towers, tokens_BT: torch.Tensor, *, precision: str = "auto"
) -> npt.NDArray[np.float32]:
    """Unit-length caption embeddings, float32 [B, D], of tokens from `towers.tokenize`."""
    with autocast(towers.device, precision):
        features = towers.model.encode_text(tokens_BT.to(towers.device))  # type: ignore[operator]
    return _unit(features)


def embed_texts(
    towers: Towers, captions: Sequence[str], *, precision: str = "auto"
) -> npt.NDArray[np.float32]:
    """Unit-length caption embeddings, float32 [B, D]."""
    return embed_tokens(towers, towers.tokenize(list(captions)), precision=precision)


def _unit(features: torch.Tensor) -> npt.NDArray[np.float32]:
    return torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy()


def resolve_device(name: str) -> str:
    """`cpu` or `cuda[:n]`; `auto` takes a GPU when there is one.

    Raises:
        InputError: there is no such device, or not here.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.partition(":")[0] not in ("cpu", "cuda", "mps", "xpu"):
        raise InputError(f"device {name!r} is unknown; take auto, cpu, cuda or cuda:0")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device {name!r}: torch sees no CUDA device here; take cpu")
    return name
