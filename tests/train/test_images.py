from pathlib import Path

import numpy as np
import pytest

from tests.data.bad_pool import jpeg, pair_members, write_tar
from tests.small_pool import uid, write_shards
from thresher.data.images.decode import ImageSpec, decode
from thresher.data.index import Index, build_index
from thresher.errors import InputError
from thresher.sharded import decode as decoding
from thresher.train import images
from thresher.train.images import open_images

SPEC = ImageSpec(size=24, resize="shortest", interpolation="bicubic")
ALL = 1 << 30
PLACES = np.array([3, 0, 39, 17, 3])


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return build_index(write_shards(tmp_path_factory.mktemp("pool"), (25, 15)), cache=None)


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Pairs 1 and 3 of five have images that do not decode."""
    path = tmp_path_factory.mktemp("pool") / "0.tar"
    images = [jpeg(n)[:200] if n in (1, 3) else jpeg(n) for n in range(5)]
    write_tar(path, [part for n in range(5) for part in pair_members(str(n), images[n], "a dog", uid(n))])
    return build_index([str(path)], cache=None)


def fetched(
    index: Index, cache: Path, places: np.ndarray, *, limit_bytes: int = ALL, workers: int = 0
) -> np.ndarray:
    rows = np.arange(len(index))
    with open_images(index, rows, SPEC, cache=cache, limit_bytes=limit_bytes, workers=workers) as (
        opened,
        _,
        _,
    ):
        return np.asarray(opened.submit(places)())


def test_places_have_the_pixels_of_their_rows(index: Index, tmp_path: Path) -> None:
    expected = np.stack([decode(index.image_bytes(row), SPEC) for row in PLACES.tolist()])
    assert np.array_equal(fetched(index, tmp_path, PLACES), expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_images_decoded_on_the_way_are_those_that_were_kept(
    index: Index, tmp_path: Path, workers: int
) -> None:
    kept = fetched(index, tmp_path / "kept", PLACES)
    on_the_way = fetched(index, tmp_path / "way", PLACES, limit_bytes=1000, workers=workers)
    assert np.array_equal(kept, on_the_way)
    assert not list((tmp_path / "way").glob("*.npy"))


def test_worker_processes_keep_the_same_file(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched(index, tmp_path / "inline", PLACES)
    monkeypatch.setattr(images, "INLINE", 10)
    monkeypatch.setattr(images, "CHUNK", 7)
    fetched(index, tmp_path / "workers", PLACES, workers=2)
    inline, workers = (next((tmp_path / name).glob("*.npy")) for name in ("inline", "workers"))
    assert (inline.name, inline.read_bytes()) == (workers.name, workers.read_bytes())


@pytest.mark.parametrize("limit_bytes", [ALL, 100])
def test_an_image_that_does_not_decode_is_a_reject_and_has_no_place(
    damaged: Index, tmp_path: Path, limit_bytes: int
) -> None:
    for _ in range(2):  # the second time, from what was kept
        with open_images(damaged, np.arange(5), SPEC, cache=tmp_path, limit_bytes=limit_bytes, workers=0) as (
            opened,
            rows,
            rejects,
        ):
            assert rows.tolist() == [0, 2, 4]
            expected = np.stack([decode(damaged.image_bytes(row), SPEC) for row in (4, 0)])
            assert np.array_equal(opened.submit(np.array([2, 0]))(), expected)
        assert [(reject.uid, reject.stage) for reject in rejects] == [(uid(1), "decode"), (uid(3), "decode")]
        assert all(reject.reason and reject.shard.endswith("0.tar") for reject in rejects)


@pytest.mark.parametrize("limit_bytes", [ALL, 100])
def test_what_was_looked_at_is_not_decoded_again(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit_bytes: int
) -> None:
    calls = []
    monkeypatch.setattr(decoding, "decode", lambda data, spec: (calls.append(1), decode(data, spec))[1])
    for _ in range(2):
        with open_images(index, np.arange(40), SPEC, cache=tmp_path, limit_bytes=limit_bytes, workers=0):
            pass
        assert len(calls) == 40


def test_other_rows_or_sizes_have_files_of_their_own(index: Index, tmp_path: Path) -> None:
    for spec in (SPEC, ImageSpec(size=12, resize="shortest", interpolation="bicubic")):
        for rows in ([0, 1], [1, 0]):
            with open_images(index, np.array(rows), spec, cache=tmp_path, limit_bytes=ALL, workers=0) as (
                opened,
                _,
                _,
            ):
                found = opened.submit(np.array([0]))()[0]
            assert np.array_equal(found, decode(index.image_bytes(rows[0]), spec))


def test_a_half_written_cache_is_written_again(index: Index, tmp_path: Path) -> None:
    """As a kill between the pixels and the list beside them leaves it."""
    expected = fetched(index, tmp_path, PLACES)
    next(tmp_path.glob("pixels-*.json")).unlink()
    next(tmp_path.glob("pixels-*.npy")).write_bytes(b"half")
    assert np.array_equal(fetched(index, tmp_path, PLACES), expected)


def test_an_image_that_no_longer_decodes_ends_the_run_in_a_sentence(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise decoding.BadImage("truncated")

    with open_images(index, np.arange(40), SPEC, cache=tmp_path, limit_bytes=100, workers=0) as (
        opened,
        _,
        _,
    ):
        monkeypatch.setattr(decoding, "decode", fail)
        with pytest.raises(InputError, match="an image that decoded before no longer does: truncated"):
            opened.submit(PLACES)()


def test_an_image_that_kills_its_worker_is_refused_and_no_other(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "WORKER", "tests.train.deadly:row_decoder")
    with open_images(index, np.arange(4), SPEC, cache=tmp_path, limit_bytes=100, workers=1) as (
        opened,
        rows,
        rejects,
    ):
        assert rows.tolist() == [0, 1, 3]
        assert [reject.reason for reject in rejects] == [
            "decoding this image kills the worker process or never ends"
        ]
        expected = np.stack([decode(index.image_bytes(row), SPEC) for row in (3, 0)])
        assert np.array_equal(opened.submit(np.array([2, 0]))(), expected)
