"""Scores of the image, and the published filters as scorers, from one decoding."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageFilter

from tests.data.bad_pool import write_tar
from thresher.curate.pools.cut import cut
from thresher.errors import InputError
from thresher.scores.image import FEATURES
from thresher.scores.registry import parse_scorer
from thresher.scores.score import score_shards
from thresher.sharded.decode import DecodeTask, decode_images
from thresher.sharded.measure import Measure, entropy_bits, measure, sharpness, varied_share
from thresher.sharded.parts import list_parts

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8))
# image size, caption, json, value of the basic filter
PAIRS = [
    ((256, 256), "a red chair by a window", {"language": "en"}, 1.0),
    ((256, 80), "a red chair by a window", {"language": "en"}, 0.0),
    (
        (64, 64),
        "a red chair by a window",
        {"language": "en", "original_width": 640, "original_height": 480},
        1.0,
    ),
    ((64, 64), "a red chair by a window", {"language": "en"}, 0.0),
    ((256, 256), "ein roter Stuhl am Fenster", {"language": "de"}, 0.0),
    ((256, 256), "red chair", {"language": "en"}, 0.0),
]


def png(size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    NOISE.resize(size).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def shard(tmp_path: Path) -> str:
    members = []
    for number, (size, caption, meta, _) in enumerate(PAIRS):
        key = f"{number:09d}"
        members += [
            (f"{key}.png", png(size)),
            (f"{key}.txt", caption.encode()),
            (f"{key}.json", json.dumps({"uid": f"{number:032x}", **meta}).encode()),
        ]
    path = tmp_path / "00000.tar"
    write_tar(path, members)
    return str(path)


def scores(folder: Path) -> dict[str, list]:
    (part,) = list_parts(folder)
    return pq.read_table(part, partitioning=None).to_pydict()


def test_blur_lowers_sharpness_and_leaves_sizes() -> None:
    sharp, blurred = (
        measure(image, Measure()) for image in (NOISE, NOISE.filter(ImageFilter.GaussianBlur(2)))
    )
    assert sharp[:2].tolist() == blurred[:2].tolist() == [320, 240]
    assert blurred[2] < 0.1 * sharp[2]


def test_a_flat_image_has_no_detail() -> None:
    grey = np.full((40, 30), 128, dtype=np.uint8)
    assert (sharpness(grey), entropy_bits(grey), varied_share(grey)) == (0.0, 0.0, 0.0)


def test_entropy_is_that_of_the_shares_of_grey_levels() -> None:
    assert entropy_bits(np.repeat(np.arange(256, dtype=np.uint8), 3)) == pytest.approx(8.0)
    assert entropy_bits(np.array([[0, 0, 0, 9]], dtype=np.uint8)) == pytest.approx(0.8112781)


def test_the_varied_share_counts_blocks_that_are_not_near_uniform() -> None:
    grey = np.full((16, 32), 100, dtype=np.uint8)
    grey[0, 0], grey[8, 8] = 109, 108  # spans of 9 and of 8 levels
    assert varied_share(grey) == 1 / 8


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    grey = np.random.default_rng(1).integers(0, 256, (6, 5)).astype(np.uint8)
    rows, columns = grey.shape
    slow = []
    for row in range(rows):
        for column in range(columns):
            near = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
            levels = [int(grey[min(max(r, 0), rows - 1), min(max(c, 0), columns - 1)]) for r, c in near]
            slow.append(sum(levels) - 4 * int(grey[row, column]))
    assert sharpness(grey) == pytest.approx(np.var(slow))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 4000)])
def test_images_of_every_shape_can_be_measured(size: tuple[int, int]) -> None:
    assert np.isfinite(measure(NOISE.resize(size), Measure())).all()


def test_every_feature_is_a_column_and_sizes_are_the_stated_ones(shard: str, tmp_path: Path) -> None:
    specs = [parse_scorer(f"image:feature={name},as={name}") for name in FEATURES]
    score_shards([shard], tmp_path / "out", specs, workers=0)
    rows = scores(tmp_path / "out")
    assert rows["width"] == [256, 256, 640, 64, 256, 256]
    assert rows["height"] == [256, 80, 480, 64, 256, 256]
    assert (rows["short"][1], rows["aspect"][1]) == (80, pytest.approx(80 / 256))
    for row in range(len(PAIRS)):
        expected = min(rows["short"][row] / 200, 1) * min(3 * rows["aspect"][row], 1)
        expected *= rows["varied"][row] * rows["entropy"][row] / 8
        assert rows["quality"][row] == pytest.approx(expected, rel=1e-5)


def test_one_decoding_feeds_pixels_and_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    from thresher.data.images.decode import ImageSpec

    opened = []
    real = Image.open
    monkeypatch.setattr(Image, "open", lambda *given, **named: opened.append(1) or real(*given, **named))
    forms = (ImageSpec(8), Measure(), Measure(detail=False))
    decoded = decode_images(DecodeTask((png((20, 10)), b"no image", png((30, 40))), forms))
    assert len(opened) == 3
    assert [array.shape for array in decoded.pixels] == [(2, 8, 8, 3), (2, 5), (2, 2)]
    assert decoded.pixels[2].tolist() == [[20, 10], [30, 40]]


def test_the_basic_filter_is_a_column_that_cut_makes_a_pool_of(shard: str, tmp_path: Path) -> None:
    score_shards([shard], tmp_path / "out", [parse_scorer("basic:language=given")], workers=0)
    assert scores(tmp_path / "out")["basic"] == [pair[-1] for pair in PAIRS]
    pools = cut(tmp_path / "out", by="basic", out=tmp_path / "pools", thresholds=(1.0,))
    assert pools.uids(0).to_pylist() == [f"{n:032x}" for n, pair in enumerate(PAIRS) if pair[-1]]


def test_laion_is_the_similarity_of_english_pairs(shard: str, tmp_path: Path) -> None:
    options = "model=thresher-tiny-32,device=cpu,precision=fp32"
    specs = [parse_scorer(f"clip:{options}"), parse_scorer(f"laion:language=given,{options}")]
    score_shards([shard], tmp_path / "out", specs, workers=0)
    rows = scores(tmp_path / "out")
    english = [pair[2]["language"] == "en" for pair in PAIRS]
    assert rows["laion"] == [value if said else -1 for value, said in zip(rows["clip"], english, strict=True)]


def test_a_feature_that_is_none_is_named() -> None:
    from thresher.scores.registry import open_scorer

    with pytest.raises(InputError, match="no feature 'sharpnes'; did you mean 'sharpness'"):
        open_scorer(parse_scorer("image:feature=sharpnes"))
