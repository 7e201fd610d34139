import dataclasses
from collections.abc import Callable
from pathlib import Path

import open_clip
import pytest
import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg, CustomTextCLIP
from torch.nn.functional import conv2d, interpolate, normalize
from torch.utils.flop_counter import FlopCounterMode

from tests.models.small import TINY
from thresher.errors import InputError
from thresher.models.flexi import (
    FlexiForward,
    check_flexi,
    encode_image_low,
    resize_matrix,
    resize_positions,
    shrink_patches,
)
from thresher.models.flops import forward_flops
from thresher.models.saved import save_model
from thresher.models.towers import Towers, load_towers

VIT = "thresher-tiny-vit-32"
LOW = 8
TEXT = CLIPTextCfg(context_length=8, vocab_size=50, width=16, heads=1, layers=1)
Build = Callable[[], torch.nn.Module]


def images(count: int = 3, size: int = 32) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def tokens(count: int = 3) -> torch.Tensor:
    return torch.randint(1, 50, (count, 20), generator=torch.Generator().manual_seed(0))


def weights(patch: int = 4, channels: int = 5) -> torch.Tensor:
    return torch.randn(channels, 3, patch, patch, generator=torch.Generator().manual_seed(1))


def make(**vision: object) -> torch.nn.Module:
    """A CLIP of one small layer with patches of 4 on 32 pixels."""
    torch.manual_seed(0)
    settings: dict[str, object] = {
        "image_size": 32,
        "layers": 1,
        "width": 16,
        "head_width": 8,
        "patch_size": 4,
    }
    model: torch.nn.Module = CLIP(8, CLIPVisionCfg(**(settings | vision)), TEXT).eval()
    return model


def make_timm() -> torch.nn.Module:
    """A CLIP whose image tower is timm's, pooled by attention and without a class token, as in SigLIP."""
    torch.manual_seed(0)
    vision = CLIPVisionCfg(
        timm_model_name="vit_tiny_patch16_224",
        timm_pool="map",
        timm_proj="none",
        timm_model_pretrained=False,
    )
    model: torch.nn.Module = CustomTextCLIP(8, vision, TEXT)
    del model.visual.trunk.blocks[1:]
    return model.eval()


def resize_patch_weight(weight_C3pp: torch.Tensor, patch: int) -> torch.Tensor:
    """The weights that give on an image enlarged by `patch / p` what these give on the image."""
    enlarging = resize_matrix(weight_C3pp.shape[-1], patch).double()
    shrinking = torch.linalg.pinv(enlarging).to(weight_C3pp.dtype)
    return shrinking.T @ weight_C3pp @ shrinking


@pytest.mark.parametrize("larger", [8, 12, 10])
def test_resized_weights_give_on_an_enlarged_image_what_the_weights_give_on_the_image(larger: int) -> None:
    patch = images(size=4)
    enlarged = interpolate(patch, size=larger, mode="bilinear", antialias=True)
    expected = conv2d(patch, weights())
    assert torch.allclose(conv2d(enlarged, resize_patch_weight(weights(), larger)), expected, atol=1e-5)


def test_weights_enlarged_like_a_picture_would_give_tokens_of_another_size() -> None:
    patch = images(size=4)
    enlarged = interpolate(patch, size=8, mode="bilinear", antialias=True)
    as_picture = conv2d(enlarged, interpolate(weights(), size=8, mode="bilinear"))
    assert as_picture.norm() > 2 * conv2d(patch, weights()).norm()


def test_a_smaller_image_is_to_the_weights_what_the_image_is_to_the_resized_weights() -> None:
    expected = conv2d(images(), resize_patch_weight(weights(), 8), stride=8)
    assert torch.allclose(conv2d(shrink_patches(images(), 4, 8), weights(), stride=4), expected, atol=1e-5)


def test_the_resize_matrix_is_made_once() -> None:
    assert resize_matrix(4, 8) is resize_matrix(4, 8)


def test_a_pass_without_gradients_leaves_no_matrix_that_a_later_one_with_gradients_cannot_use() -> None:
    model = make(patch_size=8)
    with torch.inference_mode():
        encode_image_low(model, images(), 16)
    encode_image_low(model, images(), 16).sum().backward()
    assert model.visual.conv1.weight.grad.abs().sum() > 0
    with torch.inference_mode():
        shrink_patches(images(size=14), 6, 14)
    own = images(size=14).requires_grad_()
    shrink_patches(own, 6, 14).sum().backward()
    assert own.grad.abs().sum() > 0


def test_position_embeddings_are_resized_as_open_clip_resizes_them() -> None:
    model = make()
    positions = model.visual.positional_embedding.detach()
    state = {"visual.positional_embedding": positions.clone()}
    open_clip.model.resize_pos_embed(state, make(patch_size=8))
    resized = resize_positions(positions, 4, 8)
    assert torch.allclose(resized, state["visual.positional_embedding"], atol=1e-6)
    assert torch.equal(resized[0], positions[0])


@pytest.mark.parametrize("patch", [8, 16, 32])
@pytest.mark.parametrize(
    "vision",
    [
        {},
        {"pool_type": "avg", "final_ln_after_pool": True},
        {"no_ln_pre": True, "pos_embed_type": "sin_cos_2d"},
        {"attentional_pool": True, "attn_pooler_queries": 4, "attn_pooler_heads": 2},
    ],
)
def test_the_low_pass_is_that_of_a_model_made_for_larger_patches(
    patch: int, vision: dict[str, object]
) -> None:
    """Of the weights resized by hand, in an open_clip model that has these patches itself."""
    model, larger = make(**vision), make(patch_size=patch, **vision)
    state = model.state_dict()
    state["visual.conv1.weight"] = resize_patch_weight(state["visual.conv1.weight"], patch)
    state["visual.positional_embedding"] = resize_positions(
        state["visual.positional_embedding"], 32 // patch, 8
    )
    larger.load_state_dict(state)
    expected = larger.encode_image(images())  # type: ignore[operator]
    assert torch.allclose(encode_image_low(model, images(), patch), expected, atol=1e-5)


def test_the_low_pass_of_a_timm_transformer_is_that_of_one_made_for_larger_patches() -> None:
    model, larger = make_timm(), make_timm()
    larger.visual.trunk.set_input_size(patch_size=32)  # resizes positions as here, weights by another filter
    embedding = larger.visual.trunk.patch_embed.proj
    embedding.weight.data = resize_patch_weight(model.visual.trunk.patch_embed.proj.weight.detach(), 32)
    expected = larger.encode_image(images(size=224))  # type: ignore[operator]
    assert torch.allclose(encode_image_low(model, images(size=224), 32), expected, atol=1e-4)


def test_a_timm_transformer_refuses_images_of_another_size_after_a_low_pass_as_before() -> None:
    model = make_timm()
    encode_image_low(model, images(size=224), 32)
    with pytest.raises(AssertionError, match="112"):
        model.encode_image(images(size=112))  # type: ignore[operator]


@pytest.mark.parametrize(("build", "size", "patch"), [(make, 32, 8), (make_timm, 224, 32)])
def test_gradients_reach_the_models_own_weights_and_positions(build: Build, size: int, patch: int) -> None:
    model = build()
    encode_image_low(model, images(size=size), patch).square().sum().backward()
    for name, parameter in model.visual.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.norm() > 0 or "bias" in name, name


def test_the_gradient_is_that_of_resized_weights_in_the_convolution() -> None:
    own = weights().requires_grad_()
    by_weights = conv2d(images(), resize_patch_weight(own, 8), stride=8).square().sum()
    by_images = conv2d(shrink_patches(images(), 4, 8), own, stride=4).square().sum()
    first, second = (torch.autograd.grad(loss, own)[0] for loss in (by_weights, by_images))
    assert torch.allclose(first, second, rtol=1e-4, atol=1e-4)


def test_the_low_pass_has_a_quarter_of_the_tokens() -> None:
    model, lengths = make(), []
    model.visual.transformer.register_forward_hook(lambda _, given, __: lengths.append(given[0].shape[1] - 1))
    model.encode_image(images())  # type: ignore[operator]
    encode_image_low(model, images(), LOW)
    assert lengths == [64, 16]


def test_rows_at_low_and_at_full_resolution_stay_in_their_order() -> None:
    model = load_towers(VIT, seed=0).model
    both = FlexiForward(model, LOW)(images(), tokens(), 2)
    assert set(both) == {"image_features", "text_features", "logit_scale", "logit_bias"}
    low = normalize(encode_image_low(model, images(), LOW), dim=-1)
    full, text, scale, bias = model(images(), tokens())
    assert torch.allclose(both["image_features"], torch.cat([low[:2], full[2:]]), atol=1e-5)
    assert torch.equal(both["text_features"], text)
    assert (both["logit_scale"], both["logit_bias"]) == (scale, bias)


@pytest.mark.parametrize("num_low", [0, 1, 3])
def test_every_parameter_takes_part_however_many_rows_are_low(num_low: int) -> None:
    model = load_towers(VIT, seed=0).model
    output = FlexiForward(model, LOW)(images(), tokens(), num_low)
    sum(value.square().sum() for value in output.values()).backward()  # type: ignore[union-attr]
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_low_rows_under_autocast_are_near_those_in_full_precision() -> None:
    model = load_towers(VIT, seed=0).model
    exact = FlexiForward(model, LOW)(images(), tokens(), 2)["image_features"]
    with torch.autocast("cpu", torch.bfloat16):
        rounded = FlexiForward(model, LOW)(images(), tokens(), 2)["image_features"]
    assert (exact * rounded).sum(dim=1).detach() == pytest.approx(1, abs=1e-2)


def test_a_model_trained_at_two_resolutions_is_an_ordinary_checkpoint(tmp_path: Path) -> None:
    towers = load_towers(VIT, seed=0)
    names = list(towers.model.state_dict())
    wrapped = FlexiForward(towers.model, LOW).train()
    optimizer = torch.optim.SGD(wrapped.parameters(), lr=0.1)
    wrapped(images(), tokens(), 2)["image_features"].sum().backward()
    optimizer.step()
    towers.model.eval()
    save_model(towers, tmp_path, sigmoid=True, samples_seen=3)
    stock, _, _ = open_clip.create_model_and_transforms(f"local-dir:{tmp_path}")
    assert list(stock.state_dict()) == names
    expected = towers.model.encode_image(images())  # type: ignore[operator]
    assert torch.allclose(stock.eval().encode_image(images()), expected, atol=1e-6)


def test_wrapping_leaves_the_mode_of_the_model_as_it_was() -> None:
    model = make()
    assert not FlexiForward(model, LOW).training
    assert not model.training


def test_a_residual_network_is_refused_in_one_sentence() -> None:
    with pytest.raises(
        InputError, match=r"^model 'thresher-tiny-32' cannot .* tower \(ResNet\) .* flexi at 0$"
    ):
        check_flexi(load_towers(TINY), LOW)


@pytest.mark.parametrize("patch", [2, 4, 7, 64])
def test_patches_that_do_not_cover_the_image_are_refused_with_those_that_do(patch: int) -> None:
    with pytest.raises(InputError, match=f"larger patches of {patch} do not cover; take one of 8, 16, 32"):
        check_flexi(load_towers(VIT), patch)
    check_flexi(load_towers(VIT), LOW)


@pytest.mark.parametrize(
    ("name", "patch", "ratio", "image_ratio"),
    [(VIT, 8, 0.301, 0.239), ("ViT-B-32", 56, 0.606, 0.339), ("ViT-B-16", 32, 0.356, 0.246)],
)
def test_what_a_low_pass_costs_is_known(name: str, patch: int, ratio: float, image_ratio: float) -> None:
    """Measured with and without the captions, on models whose weights are not even made."""
    towers = on_meta(name)
    length = towers.model.context_length
    at_low = dataclasses.replace(towers, model=FlexiForward(towers.model, patch))
    full, low = forward_flops(towers, length), forward_flops(at_low, length)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        towers.model.encode_text(torch.ones(1, length, dtype=torch.long, device="meta"))  # type: ignore[operator]
    text = counter.get_total_flops()
    assert low / full == pytest.approx(ratio, abs=5e-3)
    assert (low - text) / (full - text) == pytest.approx(image_ratio, abs=5e-3)


def on_meta(name: str) -> Towers:
    meta = torch.device("meta")
    with meta:
        model = open_clip.create_model(name, device=meta).eval()
    return dataclasses.replace(
        load_towers(VIT),
        model=model,
        device=meta,
        spec=dataclasses.replace(load_towers(VIT).spec, size=model.visual.image_size[0]),
    )
