"""Text found in pictures, and the scorers that cover it or count it."""

import importlib.util
import socket
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import open_clip
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from tests.data.bad_pool import encoded
from tests.killing import kill_when_ready
from tests.scores import covering
from tests.scores.written import SIZE, meadow, with_text, write_written
from tests.small_pool import contents
from thresher.data.images.decode import ImageSpec, fit
from thresher.errors import InputError, MissingExtra
from thresher.models.towers import embed_images, embed_texts, load_towers
from thresher.scores.registry import open_scorers, parse_scorer
from thresher.scores.score import score_shards
from thresher.sharded import text_detection as lettering
from thresher.sharded.decode import DecodeTask, decode_images
from thresher.sharded.masking import Masked, TextFree, cover_text
from thresher.sharded.parts import list_parts
from thresher.sharded.text_detection import TextFinder, find_text

MODEL = "model=thresher-tiny-32,device=cpu,precision=fp32,batch_size=8"
READ = TextFinder()


def columns(folder: Path) -> dict[str, np.ndarray]:
    (part,) = list_parts(folder)
    table = pq.read_table(part, partitioning=None)
    return {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    folder = tmp_path_factory.mktemp("written")
    write_written(folder / "00000.tar")
    named = (f"clip:{MODEL}", f"tmars:{MODEL}", "text_free")
    specs = [parse_scorer(text) for text in named]
    score_shards([str(folder / "00000.tar")], folder / "out", specs, workers=0)
    return folder, columns(folder / "out")


@pytest.mark.parametrize("size", [(100, 60), SIZE, (900, 540)])
def test_text_is_found_where_it_stands(size: tuple[int, int]) -> None:
    large = with_text(meadow())
    boxes = find_text(large.resize(size, Image.Resampling.LANCZOS), READ)
    assert boxes.shape == (1, 4, 2)
    written = np.nonzero(np.asarray(large)[:, :, 0] > 240)
    low, high = boxes[0].min(axis=0), boxes[0].max(axis=0)
    scale = np.divide(size, SIZE)
    for axis, places in ((0, written[1]), (1, written[0])):
        assert low[axis] / scale[axis] <= places.min() + 2
        assert high[axis] / scale[axis] >= places.max() - 2
        assert high[axis] - low[axis] < scale[axis] * (np.ptp(places) + 40)


def test_no_letter_is_left_once_text_is_covered() -> None:
    written = with_text(meadow())
    covered = np.asarray(cover_text(written, find_text(written, READ)))
    assert covered[:, :, 0].max() <= 140  # the brightest of the meadow
    assert np.abs(covered.astype(int) - np.asarray(meadow())).mean() < 2


def test_shapes_are_no_text_unless_all_boxes_are_asked_for() -> None:
    from thresher.pipeline.scenes import draw_scene, render

    random = np.random.default_rng(1)
    found = {"read": 0, "all": 0}
    for _ in range(8):
        picture = render(draw_scene(random), random)
        for kind in found:
            found[kind] += len(find_text(picture, TextFinder(kind)))
    assert found["read"] == 0
    assert found["all"] > 0


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 2), (40, 700)])
def test_pictures_of_every_shape_can_be_searched(size: tuple[int, int]) -> None:
    assert find_text(Image.new("RGB", size, (90, 90, 90)), READ).shape == (0, 4, 2)


def test_pictures_without_text_have_the_score_of_clip_to_the_bit(scored: tuple) -> None:
    _, rows = scored
    without = rows["text_free"] == 1
    assert without.tolist() == [True, False, True, False, False]
    assert (rows["tmars"][without] == rows["clip"][without]).all()
    assert (rows["tmars"][~without] != rows["clip"][~without]).all()


def test_the_score_with_text_is_the_cosine_of_the_covered_picture(scored: tuple) -> None:
    _, rows = scored
    written = with_text(meadow((SIZE[0] + 8, SIZE[1])))
    model = load_towers("thresher-tiny-32", seed=0)
    pixels = fit(cover_text(written, find_text(written, READ)), model.spec)
    image = embed_images(model, np.asarray(pixels)[None], precision="fp32")
    text = embed_texts(model, [str(rows["caption"][1])], precision="fp32")
    assert rows["tmars"][1] == pytest.approx((image * text).sum(), abs=1e-5)


def test_an_image_that_does_not_decode_is_quarantined(scored: tuple) -> None:
    folder, rows = scored
    assert "000000004" not in rows["key"]
    (rejects,) = (folder / "out" / "parts").glob("*.quarantine.parquet")
    assert pq.read_table(rejects)["key"].to_pylist() == ["000000004"]


def test_text_is_looked_for_once_for_all_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    rapidocr = pytest.importorskip("rapidocr")
    look = rapidocr.RapidOCR.__call__
    monkeypatch.setattr(
        rapidocr.RapidOCR, "__call__", lambda *of, **named: looked.append(of) or look(*of, **named)
    )
    forms = (ImageSpec(8), Masked(ImageSpec(8), READ), TextFree(READ), Masked(ImageSpec(16), READ))
    decoded = decode_images(DecodeTask((encoded(with_text(meadow()), "PNG"), b"no image"), forms))
    assert len(looked) == 1
    assert [array.shape for array in decoded.pixels] == [(1, 8, 8, 3), (1, 8, 8, 3), (1, 1), (1, 16, 16, 3)]
    assert decoded.reasons[0] is None
    assert "no image of a known format" in str(decoded.reasons[1])


def test_scorers_of_one_model_load_it_once_and_embed_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, embedded = [], []
    real = open_clip.create_model

    def create(*given: object, **options: object) -> torch.nn.Module:
        loaded.append(given)
        model = real(*given, **options)
        for name in ("encode_image", "encode_text"):
            encode = getattr(model, name)
            counted = lambda of, name=name, encode=encode: embedded.append(name) or encode(of)  # noqa: E731
            monkeypatch.setattr(model, name, counted)
        return model

    monkeypatch.setattr(open_clip, "create_model", create)
    specs = [parse_scorer(text) for text in (f"clip:{MODEL}", f"tmars:{MODEL}", f"clip:{MODEL},as=other")]
    clip, tmars, other = open_scorers(specs).values()
    assert len(loaded) == 1
    for captions in (["a", "b", "c"], ["d", "e", "f"]):
        whole, covered = np.zeros((3, 32, 32, 3), dtype=np.uint8), np.ones((3, 32, 32, 3), dtype=np.uint8)
        done = [
            scorer.score(pixels, scorer.prepare(captions))()
            for scorer, pixels in ((clip, whole), (other, whole), (tmars, covered))
        ]
        assert (done[0] == done[1]).all()
        assert (done[0] != done[2]).all()
    assert sorted(embedded) == 4 * ["encode_image"] + 2 * ["encode_text"]
    open_scorers(specs[:1])
    assert len(loaded) == 2  # nothing is kept from one run to the next


def test_the_fingerprint_names_the_detector_and_its_settings() -> None:
    def mark(text: str) -> str:
        (scorer,) = open_scorers([parse_scorer(text)]).values()
        return scorer.fingerprint

    assert "rapidocr-" in mark("text_free")
    assert "onnxruntime-" in mark("text_free")
    assert mark("text_free:boxes=all") != mark("text_free")
    assert mark(f"tmars:{MODEL}") != mark(f"tmars:{MODEL},boxes=all")


def test_an_image_on_which_the_detector_fails_is_lost_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("no such thing")

    monkeypatch.setattr(pytest.importorskip("rapidocr").RapidOCR, "__call__", fail)
    decoded = decode_images(DecodeTask((encoded(meadow(), "PNG"),), (TextFree(READ),)))
    assert decoded.reasons == ("text cannot be looked for: no such thing",)


def test_a_package_without_its_models_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: found)
    with pytest.raises(InputError, match=r"has no PP-OCRv6_det_small.onnx in .*; install a version"):
        open_scorers([parse_scorer("text_free")])


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    lettering._engine.cache_clear()
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert len(find_text(with_text(meadow()), READ)) == 1


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("boxes=some", "boxes='some' is unknown; use one of read, all"),
        ("side=20", "side=20 is not from 32 to 2048 pixels"),
        ("side=9000", "side=9000 is not from 32 to 2048 pixels"),
    ],
)
def test_options_that_cannot_be_are_named(option: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        open_scorers([parse_scorer(f"text_free:{option}")])


def test_a_smaller_side_still_finds_large_text_and_is_another_score() -> None:
    written = with_text(meadow()).resize((900, 540))
    assert len(find_text(written, TextFinder(side=224))) == 1
    marks = [
        scorer.fingerprint
        for side in (224, 512)
        for scorer in open_scorers([parse_scorer(f"text_free:side={side}")]).values()
    ]
    assert marks[0] != marks[1]


def test_without_the_ocr_package_the_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "rapidocr" else real(name, *rest)
    )
    for text in ("tmars", "text_free"):
        with pytest.raises(MissingExtra, match=rf'the scorer {text} needs .* pip install "thresher\[ocr\]"'):
            open_scorers([parse_scorer(text)])


@pytest.mark.soak  # three runs, each with a process that loads the detector
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    pool, whole, out = tmp_path / "pool", tmp_path / "whole", tmp_path / "out"
    pool.mkdir()
    for shard in range(3):
        write_written(pool / f"{shard:05d}.tar", first=10 * shard)
    covering.score(pool, whole)
    kill_when_ready("tests.scores.covering", 2, pool, out)
    done = {path: path.stat().st_mtime_ns for path in list_parts(out)}
    assert 0 < len(done) < 3
    covering.score(pool, out)
    assert contents(out) == contents(whole)
    assert {path: path.stat().st_mtime_ns for path in done} == done  # nothing finished was done again
