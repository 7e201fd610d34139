from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from tests.models.harmful import Harmful
from tests.models.small import TINY, VIT
from thresher.data.images.decode import decode
from thresher.errors import InputError
from thresher.models.towers import (
    embed_images,
    embed_texts,
    embed_tokens,
    load_towers,
    resolve_precision,
    to_input,
)
from thresher.pipeline.scenes import draw_scene, render

CAPTIONS = ["a red house", "a dog on a bridge", "two birds"]
IMAGES = np.random.default_rng(0).integers(0, 256, size=(3, 32, 32, 3), dtype=np.uint8)


def test_a_seed_gives_the_same_weights_and_another_one_others() -> None:
    first, again, other = (load_towers(TINY, seed=seed) for seed in (1, 1, 2))
    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_the_fingerprint_changes_with_a_single_weight(tmp_path: Path) -> None:
    towers = load_towers(TINY, seed=1)
    fingerprints = []
    for change in (0, 1e-3):
        with torch.no_grad():
            towers.model.logit_scale += change
        torch.save(towers.model.state_dict(), tmp_path / "a.pt")
        fingerprints.append(load_towers(TINY, pretrained=str(tmp_path / "a.pt")).fingerprint)
    assert fingerprints[0] == towers.fingerprint != fingerprints[1]


def test_embeddings_have_unit_length_and_are_float32() -> None:
    towers = load_towers(TINY, seed=0)
    for embeddings in (embed_images(towers, IMAGES), embed_texts(towers, CAPTIONS)):
        assert embeddings.dtype == np.float32
        assert embeddings.shape == (3, 64)
        assert np.linalg.norm(embeddings, axis=1) == pytest.approx(1, abs=1e-5)


def test_captions_and_their_tokens_have_the_same_embedding() -> None:
    towers = load_towers(TINY, seed=0)
    assert np.array_equal(embed_texts(towers, CAPTIONS), embed_tokens(towers, towers.tokenize(CAPTIONS)))


@pytest.mark.parametrize("name", [TINY, VIT])
def test_images_and_captions_are_embedded_as_open_clip_does(name: str, tmp_path: Path) -> None:
    """From the stored bytes of an image and the text of a caption, each with its own preprocessing."""
    towers = load_towers(name, seed=4)
    torch.manual_seed(4)
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    model.eval()
    tokenizer = open_clip.get_tokenizer(name)
    random = np.random.default_rng(0)
    picture = render(draw_scene(random), random)
    picture.resize((90, 64)).save(tmp_path / "a.png")
    with torch.no_grad():
        image = model.encode_image(preprocess(Image.open(tmp_path / "a.png"))[None], normalize=True).numpy()
        texts = model.encode_text(tokenizer(CAPTIONS), normalize=True).numpy()
    pixels = decode((tmp_path / "a.png").read_bytes(), towers.spec)
    assert embed_images(towers, pixels[None], precision="fp32") == pytest.approx(image, abs=1e-6)
    assert embed_texts(towers, CAPTIONS, precision="fp32") == pytest.approx(texts, abs=1e-6)


def test_input_is_what_to_tensor_and_normalise_give() -> None:
    towers = load_towers(TINY)
    mean, std = np.asarray(towers.mean), np.asarray(towers.std)
    expected = ((IMAGES / 255 - mean) / std).transpose(0, 3, 1, 2)
    assert to_input(towers, IMAGES).numpy() == pytest.approx(expected, abs=1e-5)


def test_an_unknown_model_is_answered_with_near_ones() -> None:
    with pytest.raises(
        InputError, match="model 'thresher-tny-32' is not in open_clip; near: thresher-tiny-32"
    ):
        load_towers("thresher-tny-32")


def test_a_model_with_nothing_near_says_where_to_look() -> None:
    with pytest.raises(InputError, match=r"near: none; see open_clip.list_models\(\)"):
        load_towers("??")


def test_an_unknown_tag_of_weights_is_one_sentence() -> None:
    with pytest.raises(
        InputError, match=r"^model 'thresher-tiny-32' with weights 'laion7b' cannot be loaded: .*"
    ):
        load_towers(TINY, pretrained="laion7b")


def test_a_folder_that_is_no_model_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^model 'local-dir:.*' cannot be loaded: .*$"):
        load_towers(f"local-dir:{tmp_path / 'absent'}")


def test_weights_of_another_model_are_refused_in_one_sentence(tmp_path: Path) -> None:
    torch.save(load_towers(VIT, seed=0).model.state_dict(), tmp_path / "vit.pt")
    with pytest.raises(
        InputError, match=r"vit.pt' cannot be loaded: the weights are of another model"
    ) as refusal:
        load_towers(TINY, pretrained=str(tmp_path / "vit.pt"))
    assert "\n" not in str(refusal.value)


def test_weights_with_code_are_refused_and_the_code_not_run(tmp_path: Path) -> None:
    torch.save({"state_dict": {"x": Harmful(tmp_path / "harm")}}, tmp_path / "a.pt")
    with pytest.raises(InputError, match="holds more than tensors"):
        load_towers(TINY, pretrained=str(tmp_path / "a.pt"))
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("content", [b"", b"nothing", b"\x80\x02]q\x00."])
def test_files_that_are_no_weights_are_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"a.pt' cannot be loaded: ") as refusal:
        load_towers(TINY, pretrained=str(tmp_path / "a.pt"))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("wish", "used"),
    [("fp32", "fp32"), ("bf16", "bf16"), ("auto", resolve_precision(torch.device("cpu"), "auto"))],
)
def test_a_precision_is_what_was_wished(wish: str, used: str) -> None:
    assert resolve_precision(torch.device("cpu"), wish) == used in {"fp32", "bf16"}


def test_an_unknown_precision_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="precision 'fp8' is unknown; take one of auto, fp32, bf16"):
        resolve_precision(torch.device("cpu"), "fp8")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_the_name_of_the_tensor(
    tmp_path: Path, value: float
) -> None:
    state = load_towers(VIT, seed=0).model.state_dict()
    state["text_projection"][3, 4] = value
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(
        InputError, match=r"a\.pt' are not finite \(tensor text_projection\); .* an earlier one"
    ):
        load_towers(VIT, pretrained=str(tmp_path / "a.pt"))
