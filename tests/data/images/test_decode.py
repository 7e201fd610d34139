import io
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.data.bad_pool import animated, encoded, exif_rotated, jpeg, noise, png_bomb, sixteen_bit
from thresher.data.images import decode as decode_module
from thresher.data.images.decode import BadImage, ImageSpec, decode, fit, open_rgb

SPEC = ImageSpec(size=32)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("resize", ["shortest", "squash"])
@pytest.mark.parametrize("size", [(64, 64), (32, 32), (33, 97), (97, 33), (20, 31), (500, 333), (1, 40)])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_pixels_are_those_of_open_clip(mode, size, resize, interpolation):
    transform = pytest.importorskip("open_clip.transform").image_transform
    data = encoded(noise(1, size, mode), "JPEG", quality=90)
    theirs = transform(32, is_train=False, resize_mode=resize, interpolation=interpolation)
    image = Image.open(io.BytesIO(data)).convert("RGB")  # as webdataset's `pilrgb` hands it to open_clip
    for step in theirs.transforms[:-2]:  # up to the conversion to a tensor
        image = step(image)
    ours = decode(data, ImageSpec(32, resize, interpolation))
    assert ours.shape == (32, 32, 3)
    assert ours.dtype == np.uint8
    np.testing.assert_array_equal(ours, np.asarray(image))


def test_a_rotated_photo_is_turned_upright():
    upright = open_rgb(exif_rotated(1))
    np.testing.assert_array_equal(np.asarray(upright), np.rot90(np.asarray(open_rgb(jpeg(1))), k=-1))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_are_those_of_pillow(orientation):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    data = jpeg(1, exif=exif)
    theirs = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(np.asarray(open_rgb(data)), np.asarray(theirs))


def test_sixteen_bit_grey_keeps_its_high_byte():
    image = sixteen_bit(1)
    pixels = np.asarray(open_rgb(encoded(image, "PNG")))
    np.testing.assert_array_equal(pixels, np.repeat((np.asarray(image) >> 8)[..., None], 3, axis=2))


def tiff(values, bits, photometric, packed=None) -> bytes:
    """A grey TIFF of rows of `values`, little-endian, written tag by tag."""
    rows = np.asarray(values, dtype=np.uint16)
    data = packed if packed is not None else rows.astype("<u2").tobytes()
    tags = [
        (256, 3, rows.shape[1]),
        (257, 3, rows.shape[0]),
        (258, 3, bits),
        (259, 3, 1),
        (262, 3, photometric),
    ]
    tags += [(273, 4, 8 + 2 + 12 * 9 + 4), (277, 3, 1), (278, 3, rows.shape[0]), (279, 4, len(data))]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0) + data


def pack_12(values) -> bytes:
    return b"".join(
        bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255])
        for a, b in np.asarray(values).reshape(-1, 2).tolist()
    )


def test_grey_of_many_bits_keeps_its_brightness_and_its_polarity():
    high = np.arange(16 * 16).reshape(16, 16)  # 8 bits
    for bits in (12, 16):
        values = high << (bits - 8)
        packed = pack_12(values) if bits == 12 else None
        assert (np.asarray(open_rgb(tiff(values, bits, 1, packed)))[..., 0] == high).all(), bits
    assert (np.asarray(open_rgb(tiff(high << 8, 16, 0)))[..., 0] == 255 - high).all()


def test_a_jpeg_of_very_many_scans_is_refused_before_it_is_decoded(monkeypatch):
    data = encoded(noise(1, (64, 64)), "JPEG", progressive=True)
    monkeypatch.setattr(decode_module, "MAX_SCANNED_PIXELS", 64 * 64 * 9)
    monkeypatch.setattr("thresher.data.images.decode.decode_plain", lambda *_, **__: None)
    with pytest.raises(BadImage, match="10 scans of 64 x 64 pixels are too many"):
        open_rgb(data)


def test_the_largest_image_takes_less_than_a_gigabyte():
    """64 million pixels, which come in a few hundred kilobytes; most where they are turned and have alpha."""
    code = """
import io, resource
from PIL import Image
from thresher.data.images.decode import ImageSpec, decode
file = io.BytesIO()
exif = Image.Exif()
exif[0x0112] = 6
Image.new("RGBA", (8000, 8000)).save(file, "PNG", compress_level=1, exif=exif)
import os, sys
if os.fork() == 0:
    data = file.getvalue()
    decode(data, ImageSpec(32))
    os._exit(0)
os.wait()
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2**20  # in KiB


def test_of_an_animation_the_first_frame_counts():
    first = Image.open(io.BytesIO(animated(1)))
    np.testing.assert_array_equal(np.asarray(open_rgb(animated(1))), np.asarray(first.convert("RGB")))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "RGB", "I;16", "CMYK"])
def test_every_usual_mode_becomes_rgb(mode):
    image = sixteen_bit(1) if mode == "I;16" else noise(1).convert(mode)
    assert decode(encoded(image, "TIFF" if mode == "CMYK" else "PNG"), SPEC).shape == (32, 32, 3)


def test_a_palette_with_transparent_entries_keeps_its_colours():
    palette = noise(1).quantize(16)
    data = encoded(palette, "PNG", transparency=bytes(range(0, 256, 16)))
    np.testing.assert_array_equal(np.asarray(open_rgb(data)), np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes"),
        (b"<html>404</html>", "no image of a known format"),
        (jpeg(1, (200, 160), quality=95)[:4000], "truncated"),
        (jpeg(1)[:20], "cannot be decoded|no image of a known format"),
        (encoded(noise(1), "PNG")[:600], "cannot be decoded"),
        (encoded(noise(1), "GIF")[:600], "no image of a known format"),
        (encoded(noise(1), "GIF")[:-400], "truncated"),
        (encoded(noise(1), "WEBP")[:200], "cannot be decoded|no image"),
        (encoded(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"), "mode F"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image of a known format"),
    ],
)
def test_what_is_no_whole_image_is_refused(data, reason):
    with pytest.raises(BadImage, match=reason) as caught:
        decode(data, SPEC)
    assert " at 0x" not in str(caught.value)  # equal inputs leave equal reasons


def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch):
    def explode(self: Image.Image) -> None:
        raise AssertionError("decoded")

    bombs = {"pixels": png_bomb(), "10000 x 10000 pixels": png_bomb(10_000)}
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", explode)
    for reason, data in bombs.items():
        with pytest.raises(BadImage, match=reason):
            decode(data, SPEC)
    with pytest.raises(BadImage, match="48 x 40 pixels; at most 1000"):
        decode(jpeg(1), SPEC, max_pixels=1000)


def test_a_thread_of_an_image_is_refused_before_it_is_resized():
    with pytest.raises(BadImage, match="too long and thin"):
        decode(encoded(Image.new("RGB", (60_000, 1)), "PNG"), ImageSpec(224))
    assert decode(encoded(Image.new("RGB", (60_000, 1)), "PNG"), ImageSpec(224, "squash")).shape == (
        224,
        224,
        3,
    )


@settings(max_examples=150)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"]),
    cut=st.floats(0, 1),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
)
def test_damaged_bytes_give_pixels_or_a_reason(kind, cut, changes):
    data = bytearray(encoded(noise(1), kind))
    for place, value in changes:
        data[int(place * len(data))] = value
    try:
        pixels = decode(bytes(data[: int(cut * len(data))]), SPEC)
    except BadImage:
        return
    assert pixels.shape == (32, 32, 3)


def test_a_spec_that_means_nothing_is_refused():
    for bad, word in (
        ({"size": 0}, "size"),
        ({"resize": "longest"}, "longest"),
        ({"interpolation": "x"}, "'x'"),
    ):
        with pytest.raises(ValueError, match=word):
            ImageSpec(**{"size": 8, **bad})


def test_pixels_belong_to_the_caller():
    pixels = decode(jpeg(1), SPEC)
    assert pixels.flags.c_contiguous
    again = fit(open_rgb(jpeg(1)), SPEC)
    np.testing.assert_array_equal(pixels, np.asarray(again))
