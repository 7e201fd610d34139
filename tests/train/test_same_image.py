from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.small_pool import write_shards
from tests.train.small import BATCH, JOINT, flat_pairs, pixels, random_reference, run
from thresher.data.images.decode import ImageSpec
from thresher.data.index import build_index
from thresher.errors import InputError
from thresher.executor.local import WorkerPool
from thresher.selection.keys import uid_keys
from thresher.train import picks
from thresher.train.images import WORKER, DecodedImages, MappedImages
from thresher.train.pairs import first_of_image, selection_keys

IMAGE_OF = np.arange(96) % 24


def test_pairs_of_one_image_share_the_key_of_the_first() -> None:
    pairs = flat_pairs()
    assert selection_keys(pairs).tolist() == uid_keys(pairs.uids).tolist()
    repeated = replace(pairs, images=MappedImages(pixels(24)[IMAGE_OF]))
    assert selection_keys(repeated).tolist() == uid_keys(pairs.uids[:24]).tolist() * 4


def test_a_chosen_batch_holds_no_image_twice(tmp_path: Path) -> None:
    pairs = flat_pairs(model=JOINT.model)
    repeated = replace(pairs, images=MappedImages(pixels(24)[IMAGE_OF]))
    run(tmp_path, repeated, 5 * BATCH, recipe=JOINT, reference=random_reference(pairs))
    for pick in picks.read(tmp_path):
        assert len(set(IMAGE_OF[pick.rows].tolist())) == BATCH


def test_too_few_different_images_are_said_to_be_that(tmp_path: Path) -> None:
    """At the start where no batch can be filled, and at the step where a super-batch falls short."""
    pairs = flat_pairs(model=JOINT.model)
    for images, sentence in (
        (BATCH - 1, "batch_size 16 is more than the 15 different images of the 96 pairs"),
        (BATCH, r"step \d+ cannot be selected: size is 16; take from 1 to .* raise filter_ratio, or lower"),
    ):
        repeated = replace(pairs, images=MappedImages(pixels(images)[np.arange(96) % images]))
        recipe = replace(JOINT, filter_ratio=0.5)
        with pytest.raises(InputError, match=sentence):
            run(tmp_path / str(images), repeated, BATCH, recipe=recipe, reference=random_reference(pairs))


def test_images_that_are_decoded_on_the_way_are_told_apart_by_their_place_in_a_file(tmp_path: Path) -> None:
    write_shards(tmp_path, (6,))
    index = build_index([str(tmp_path / "00000.tar")], cache=None)
    spec = ImageSpec(size=32, resize="squash", interpolation="bicubic")
    with WorkerPool(WORKER, workers=0, settings=index) as pool:
        images = DecodedImages(index, np.array([0, 1, 2, 1, 0]), spec, pool)
        assert first_of_image(images, np.array([0, 1, 2, 3, 4])).tolist() == [0, 1, 2, 1, 0]


def test_only_pairs_that_are_drawn_count() -> None:
    pairs = flat_pairs()
    rows = np.arange(24, 48)
    some = replace(pairs, images=MappedImages(pixels(24)[IMAGE_OF]), rows=rows, repeats=np.ones_like(rows))
    assert selection_keys(some).tolist() == uid_keys(pairs.uids).tolist()
