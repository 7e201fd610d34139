import json
from collections import Counter
from pathlib import Path

import pytest

from tests.small_pool import contents
from thresher.data.pairs import Pair
from thresher.data.shards import read_pairs
from thresher.pipeline.scenes import classes
from thresher.pipeline.synthetic import QUALITIES, draw_pairs, write_demo_pool, write_shards


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    write_demo_pool(folder, pool=400, curated=30, test=20, seed=0)
    return folder


def pairs(folder: Path) -> list[Pair]:
    found = [item for shard in sorted(folder.glob("*.tar")) for item in read_pairs(str(shard))]
    assert all(isinstance(item, Pair) for item in found)
    return found


def test_every_pair_can_be_read_and_has_a_planted_quality(pool: Path) -> None:
    planted = json.loads((pool / "planted.json").read_text())
    found = pairs(pool / "pool")
    assert len(found) == len({pair.uid for pair in found}) == 400
    assert {pair.uid for pair in found} == set(planted)


def test_nothing_in_a_pair_tells_its_quality(pool: Path) -> None:
    for pair in pairs(pool / "pool"):
        assert set(pair.meta) == {"uid", "key", "class", "captions"}
        assert not any(quality in pair.uid + pair.key for quality in QUALITIES)


def test_the_qualities_have_their_shares(pool: Path) -> None:
    planted = Counter(json.loads((pool / "planted.json").read_text()).values())
    total = sum(QUALITIES.values())
    for quality, share in QUALITIES.items():
        expected = 400 * share / total
        assert abs(planted[quality] - expected) < 4 * expected**0.5, quality


def test_curated_and_test_pairs_are_clean(pool: Path) -> None:
    for name in ("curated", "test"):
        for pair in pairs(pool / name):
            assert pair.meta["class"] in pair.caption.split()
            assert pair.caption in pair.meta["captions"]
            assert pair.meta["class"] in classes()


def test_captions_are_right_vague_or_of_another_thing_as_planted() -> None:
    for pair in draw_pairs(300, 1, QUALITIES):
        names_it = pair.label in pair.caption.split()
        if pair.quality in {"clean", "degraded", "repeated"}:
            assert names_it
        if pair.quality in {"wrong", "text"}:
            assert not names_it
        if pair.quality == "vague":
            assert pair.caption not in pair.captions


def test_a_repeated_pair_is_an_earlier_clean_one_under_a_uid_of_its_own() -> None:
    seen = []
    num_repeated = 0
    for pair in draw_pairs(300, 1, QUALITIES):
        if pair.quality == "repeated":
            num_repeated += 1
            assert (pair.image, pair.caption) in seen
        if pair.quality == "clean":
            seen.append((pair.image, pair.caption))
    assert num_repeated > 3


def test_the_same_seed_writes_the_same_bytes_and_another_one_others(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_shards(tmp_path / name, draw_pairs(30, seed, QUALITIES), prefix="pool", pairs_per_shard=12)
    assert contents(tmp_path / "a") == contents(tmp_path / "b") != contents(tmp_path / "c")
    assert sorted(contents(tmp_path / "a")) == ["00000.tar", "00001.tar", "00002.tar"]


def test_pool_curated_and_test_pairs_are_not_the_same(pool: Path) -> None:
    images = [{pair.image_bytes for pair in pairs(pool / name)} for name in ("pool", "curated", "test")]
    assert not images[0] & images[1]
    assert not images[1] & images[2]
