import contextlib
import io
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from tests.data.bad_pool import encoded, exif_rotated, jpeg, noise
from thresher.data.images import jpeg as module
from thresher.data.images.decode import BadImage, ImageSpec, decode, open_rgb
from thresher.data.images.jpeg import decode_plain, fast_decoder

ALL = 1 << 30
KINDS = [{"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}, {"progressive": True}, {"mode": "L"}]


@pytest.fixture
def decoder() -> None:
    pytest.importorskip("simplejpeg")
    assert fast_decoder() is not None, "simplejpeg is installed and gives other pixels than Pillow"


@contextlib.contextmanager
def no_decoder() -> Iterator[None]:
    """As where the extra is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "simplejpeg", None)
        fast_decoder.cache_clear()
        yield
    fast_decoder.cache_clear()


def stored(size: tuple[int, int], quality: int, seed: int, *, mode: str = "RGB", **options: object) -> bytes:
    """A JPEG of noise over a smooth picture."""
    smooth = noise(seed, (5, 4)).resize(size, Image.Resampling.BICUBIC)
    return encoded(
        Image.blend(smooth, noise(seed, size), 0.2).convert(mode), "JPEG", quality=quality, **options
    )


def by_pillow(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (16, 16), (17, 33), (64, 64), (131, 37)])
def test_pixels_are_those_of_pillow_bit_for_bit(decoder, monkeypatch, size, kind):
    monkeypatch.setattr(ImageFile, "MAXBLOCK", 1 << 20)  # progressive noise needs room to be written
    for quality in (1, 30, 75, 90, 95, 100):
        for restart in ({}, {"restart_marker_blocks": 2}):
            data = stored(size, quality, quality, **kind, **restart)
            ours = decode_plain(data, max_pixels=ALL)
            assert ours is not None
            np.testing.assert_array_equal(ours, by_pillow(data))


def test_profiles_and_comments_change_nothing(decoder):
    data = encoded(noise(1), "JPEG", icc_profile=bytes(300), comment=b"a comment")
    np.testing.assert_array_equal(decode_plain(data, max_pixels=ALL), by_pillow(data))


def test_what_may_be_turned_or_coloured_otherwise_is_left_to_pillow(decoder):
    exif = exif_rotated(1)
    adobe = jpeg(1)[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0" + jpeg(1)[2:]
    others = [encoded(noise(1), kind) for kind in ("PNG", "GIF", "WEBP")]
    for data in (
        exif,
        adobe,
        encoded(noise(1, mode="CMYK"), "JPEG"),
        jpeg(1)[:500],
        b"",
        b"\xff\xd8",
        *others,
    ):
        assert decode_plain(data, max_pixels=ALL) is None
    found = np.asarray(open_rgb(exif))
    with no_decoder():
        np.testing.assert_array_equal(found, np.asarray(open_rgb(exif)))


def test_an_image_with_too_many_pixels_is_refused_as_before(decoder):
    assert decode_plain(jpeg(1), max_pixels=1000) is None
    with pytest.raises(BadImage, match="at most 1000"):
        open_rgb(jpeg(1), max_pixels=1000)


@settings(max_examples=200)
@given(
    kind=st.sampled_from(KINDS),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=3),
    cut=st.one_of(st.just(1.0), st.floats(0, 1)),
    end=st.sampled_from([b"", b"\xff\xd9", b"\0" * 9]),
)
def test_damaged_images_get_the_verdict_that_pillow_gives(kind, changes, cut, end):
    data = bytearray(stored((24, 17), 80, 3, **kind))
    for place, value in changes:
        data[int(place * len(data))] = value
    damaged = bytes(data[: int(cut * len(data))]) + end
    found = verdict(damaged)
    with no_decoder():
        np.testing.assert_array_equal(found, verdict(damaged))


def verdict(data: bytes) -> np.ndarray:
    """The pixels, or why there are none."""
    try:
        return np.asarray(open_rgb(data, max_pixels=ALL))
    except BadImage as error:
        return np.frombuffer(str(error).encode(), dtype=np.uint8)


def test_without_the_extra_pixels_are_the_same():
    data = jpeg(1, (64, 64))
    with no_decoder():
        assert decode_plain(data, max_pixels=ALL) is None
        np.testing.assert_array_equal(decode(data, ImageSpec(64)), by_pillow(data))
        np.testing.assert_array_equal(np.asarray(open_rgb(data)), by_pillow(data))


def test_a_decoder_with_other_pixels_is_not_used(decoder, monkeypatch):
    simplejpeg = pytest.importorskip("simplejpeg")
    real = simplejpeg.decode_jpeg
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda data: real(data) ^ 1)
    fast_decoder.cache_clear()
    assert fast_decoder() is None
    monkeypatch.undo()
    fast_decoder.cache_clear()
    assert fast_decoder() is real


def test_every_kind_that_is_let_through_was_compared():
    assert all(module._plain_size(data) == (27, 41) for data in module._samples())
    samplings = {data[data.index(b"\xff\xc0") + 11] for data in module._samples() if b"\xff\xc0" in data}
    assert samplings == module._SAMPLINGS
