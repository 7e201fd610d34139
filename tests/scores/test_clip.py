import io
from pathlib import Path

import numpy as np
import open_clip
import open_clip.transform
import pytest
import torch
from PIL import Image

from tests.data.bad_pool import jpeg
from thresher.data.images.decode import decode
from thresher.errors import InputError
from thresher.models.towers import load_towers
from thresher.scores.clip import clip_similarity
from thresher.scores.registry import open_scorer, parse_scorer

CAPTIONS = ["a red house", "two birds on the river", "x", "a dog with a bright small bridge"]
IMAGES = [jpeg(seed, (50 + 9 * seed, 44)) for seed in range(len(CAPTIONS))]


def scores_of(images: list[bytes], captions: list[str], **options: object) -> np.ndarray:
    scorer = clip_similarity(model="thresher-tiny-32", device="cpu", **options)
    assert scorer.spec is not None
    pixels = np.stack([decode(image, scorer.spec) for image in images])
    return scorer.score(pixels, scorer.prepare(captions))()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    towers = load_towers("thresher-tiny-32", seed=7)
    path = tmp_path_factory.mktemp("weights") / "tiny.pt"
    torch.save({"epoch": 1, "name": "tiny", "state_dict": towers.model.state_dict()}, path)
    return path


def test_scores_are_those_of_stock_open_clip(checkpoint: Path) -> None:
    found = scores_of(IMAGES, CAPTIONS, pretrained=str(checkpoint), precision="fp32")
    model = open_clip.create_model("thresher-tiny-32", pretrained=str(checkpoint)).eval()
    preprocess = open_clip.transform.PreprocessCfg(**open_clip.get_model_preprocess_cfg(model))
    transform = open_clip.transform.image_transform_v2(preprocess, is_train=False)
    tokens = open_clip.get_tokenizer("thresher-tiny-32")(CAPTIONS)
    pixels = torch.stack([transform(Image.open(io.BytesIO(image))) for image in IMAGES])
    with torch.no_grad():
        image_BD = model.encode_image(pixels, normalize=True)
        text_BD = model.encode_text(tokens, normalize=True)
    assert found == pytest.approx((image_BD * text_BD).sum(-1).numpy(), abs=1e-5)
    assert found.dtype == np.float32


def test_bf16_stays_near_fp32(checkpoint: Path) -> None:
    exact = scores_of(IMAGES, CAPTIONS, pretrained=str(checkpoint), precision="fp32")
    assert scores_of(IMAGES, CAPTIONS, pretrained=str(checkpoint), precision="bf16") == pytest.approx(
        exact, abs=0.03
    )


def test_a_batch_larger_than_the_model_takes_is_split() -> None:
    whole = scores_of(IMAGES, CAPTIONS, precision="fp32", batch_size=64)
    assert scores_of(IMAGES, CAPTIONS, precision="fp32", batch_size=3) == pytest.approx(whole, abs=1e-5)


def test_the_fingerprint_changes_with_weights_and_precision_and_with_nothing_else(checkpoint: Path) -> None:
    def mark(text: str) -> str:
        return open_scorer(parse_scorer(f"clip:model=thresher-tiny-32,device=cpu,{text}")).fingerprint

    plain = mark("precision=fp32")
    assert mark("precision=fp32,batch_size=3") == plain
    assert mark("precision=bf16") != plain
    assert mark(f"precision=fp32,pretrained={checkpoint}") != plain


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"device": "gpu"}, "device 'gpu' is unknown"),
        ({"precision": "fp8"}, "precision 'fp8' is unknown"),
        ({"model": "ViT-B-3"}, "'ViT-B-3'"),
        ({"pretrained": "absent.pt"}, "absent.pt"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_what_cannot_be_had_is_named(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        clip_similarity(**{"model": "thresher-tiny-32", "device": "cpu", **options})
