import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from tests.models.small import TINY, VIT
from thresher.errors import InputError
from thresher.models.saved import CONFIG_FILE, WEIGHTS_FILE, save_model
from thresher.models.towers import Towers, embed_images, embed_texts, load_towers, to_input

CAPTIONS = ["a red house", "a dog on a bridge", "two birds"]
IMAGES = np.random.default_rng(0).integers(0, 256, size=(3, 32, 32, 3), dtype=np.uint8)
MODELS = [(TINY, True), (TINY, False), (VIT, True), (VIT, False)]
"""Name and whether it was trained with the sigmoid loss; ViT has no bias in its own configuration."""


def saved(name: str, folder: Path, *, sigmoid: bool) -> Towers:
    """A model with random weights, statistics and scale, and its folder."""
    towers = load_towers(name, seed=7, sigmoid=sigmoid)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, buffer in towers.model.named_buffers():
            if "running" in key:
                buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
        for parameter in towers.model.parameters():
            parameter.add_(0.01 * torch.rand(parameter.shape, generator=generator))
    save_model(towers, folder, sigmoid=sigmoid, samples_seen=640)
    return towers


def assert_same(model: torch.nn.Module, tokenizer: open_clip.SimpleTokenizer, towers: Towers) -> None:
    model.eval()
    with torch.no_grad():
        images = model.encode_image(to_input(towers, IMAGES), normalize=True).numpy()
        texts = model.encode_text(tokenizer(CAPTIONS), normalize=True).numpy()
    assert embed_images(towers, IMAGES, precision="fp32") == pytest.approx(images, abs=1e-6)
    assert embed_texts(towers, CAPTIONS, precision="fp32") == pytest.approx(texts, abs=1e-6)
    assert torch.equal(model.logit_scale, towers.model.logit_scale)
    assert (model.logit_bias is None) == (towers.model.logit_bias is None)
    if model.logit_bias is not None:
        assert torch.equal(model.logit_bias, towers.model.logit_bias)


@pytest.mark.parametrize(("name", "sigmoid"), MODELS)
def test_stock_open_clip_loads_the_folder(name: str, sigmoid: bool, tmp_path: Path) -> None:
    towers = saved(name, tmp_path, sigmoid=sigmoid)
    source = f"local-dir:{tmp_path}"
    assert_same(open_clip.create_model(source), open_clip.get_tokenizer(source), towers)


@pytest.mark.parametrize(("name", "sigmoid"), MODELS)
def test_stock_open_clip_loads_the_weights_by_name(name: str, sigmoid: bool, tmp_path: Path) -> None:
    """The name of a model without a bias in its configuration needs the arguments that give it one."""
    towers = saved(name, tmp_path, sigmoid=sigmoid)
    bias = {"init_logit_bias": -10.0} if sigmoid and name == VIT else {}
    model = open_clip.create_model(name, pretrained=str(tmp_path / WEIGHTS_FILE), **bias)
    assert_same(model, open_clip.get_tokenizer(name), towers)


@pytest.mark.soak
def test_the_configurations_of_this_package_are_all_that_open_clip_needs(tmp_path: Path) -> None:
    """In a process that never heard of this package but for its folder of configurations."""
    import subprocess
    import sys

    from thresher.models.towers import CONFIGS

    towers = saved(TINY, tmp_path, sigmoid=True)
    np.save(tmp_path / "images.npy", to_input(towers, IMAGES).numpy())
    code = f"""
import numpy, open_clip, sys, torch
open_clip.add_model_config({str(CONFIGS)!r})
model = open_clip.create_model({TINY!r}, pretrained={str(tmp_path / WEIGHTS_FILE)!r}).eval()
with torch.no_grad():
    images = torch.from_numpy(numpy.load({str(tmp_path / "images.npy")!r}))
    numpy.save({str(tmp_path / "out.npy")!r}, model.encode_image(images, normalize=True).numpy())
assert not any(name.startswith("thresher") for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert np.load(tmp_path / "out.npy") == pytest.approx(
        embed_images(towers, IMAGES, precision="fp32"), abs=1e-6
    )


@pytest.mark.parametrize(("name", "sigmoid"), MODELS)
def test_it_loads_here_by_folder_and_by_name(name: str, sigmoid: bool, tmp_path: Path) -> None:
    towers = saved(name, tmp_path, sigmoid=sigmoid)
    by_folder = load_towers(f"local-dir:{tmp_path}")
    by_name = load_towers(name, pretrained=str(tmp_path / WEIGHTS_FILE))
    assert by_folder.fingerprint == by_name.fingerprint
    assert by_folder.spec == towers.spec
    assert (by_folder.mean, by_folder.std) == (towers.mean, towers.std)
    assert_same(by_name.model, by_name.tokenize, towers)


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("sigmoid", [False, True])
def test_a_checkpoint_of_open_clip_loads_here(prefix: str, sigmoid: bool, tmp_path: Path) -> None:
    """As its training script writes it, on one process or on several."""
    bias = {"init_logit_bias": -10.0} if sigmoid else {}
    model = open_clip.create_model(VIT, **bias)
    optimizer = torch.optim.AdamW(model.parameters())
    state = {prefix + key: value for key, value in model.state_dict().items()}
    content = {"epoch": 3, "name": "run", "state_dict": state, "optimizer": optimizer.state_dict()}
    torch.save(content, tmp_path / "epoch_3.pt")
    towers = load_towers(VIT, pretrained=str(tmp_path / "epoch_3.pt"))
    assert_same(model, open_clip.get_tokenizer(VIT), towers)


def test_the_same_model_is_saved_to_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        saved(TINY, tmp_path / folder, sigmoid=True)
    for file in (WEIGHTS_FILE, CONFIG_FILE):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_the_configuration_says_how_images_are_prepared(tmp_path: Path) -> None:
    towers = saved(TINY, tmp_path, sigmoid=True)
    preprocess = json.loads((tmp_path / CONFIG_FILE).read_text())["preprocess_cfg"]
    assert preprocess["size"] == towers.spec.size
    assert preprocess["mean"] == list(towers.mean)
    assert preprocess["resize_mode"] == towers.spec.resize


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mean", 0),
        ("mean", ["x", 0, 0]),
        ("mean", [float("nan")] * 3),
        ("std", [0.2, 0, 0.2]),
        ("std", "9" * 5000),
        ("resize_mode", "9" * 5000),
        ("interpolation", "lanczos"),
    ],
)
def test_a_folder_with_odd_preprocessing_is_refused_in_a_sentence(
    tmp_path: Path, key: str, value: object
) -> None:
    saved(VIT, tmp_path, sigmoid=False)
    config = json.loads((tmp_path / CONFIG_FILE).read_text())
    config["preprocess_cfg"][key] = value
    (tmp_path / CONFIG_FILE).write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"local-dir:") as refusal:
        load_towers(f"local-dir:{tmp_path}")
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 500
