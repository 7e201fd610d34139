from pathlib import Path

import numpy as np
import pytest

from tests.data.bad_pool import jpeg, pair_members, write_tar
from tests.models.small import TINY, VIT
from tests.small_pool import caption, uid, write_shards
from thresher.errors import InputError
from thresher.models.towers import Towers, load_towers
from thresher.train.dataset import describe_dataset, open_dataset


@pytest.fixture(scope="module")
def towers() -> Towers:
    return load_towers(TINY)


def test_places_have_the_image_and_the_tokens_of_their_uid(towers: Towers, tmp_path: Path) -> None:
    shards = write_shards(tmp_path, (6, 5))
    wanted = [uid(n) for n in (9, 2, 4)]
    dataset = describe_dataset(shards, towers, cache=tmp_path / "cache", uids=wanted)
    with open_dataset(dataset) as opened:
        assert opened.uids.to_pylist() == wanted
        assert opened.tokens_nT.tolist() == towers.tokenize([caption(n) for n in (9, 2, 4)]).tolist()
        assert opened.images.submit(np.arange(3))().shape == (3, 32, 32, 3)
        assert opened.places([uid(4), uid(7), uid(9)]).tolist() == [2, 0]  # uid(7) is not among them


def test_all_pairs_are_taken_but_for_excluded_ones(towers: Towers, tmp_path: Path) -> None:
    shards = write_shards(tmp_path, (6,))
    dataset = describe_dataset(shards, towers, cache=tmp_path / "cache", exclude=frozenset({uid(3)}))
    with open_dataset(dataset) as opened:
        assert opened.uids.to_pylist() == [uid(n) for n in (0, 1, 2, 4, 5)]


def test_a_pair_whose_image_does_not_decode_is_a_reject_and_has_no_place(
    towers: Towers, tmp_path: Path
) -> None:
    members = pair_members("good", jpeg(1), "a red house", uid(1))
    members += pair_members("bad", jpeg(2)[:200], "a dog", uid(2))
    members += pair_members("fine", jpeg(3), "a bridge", uid(3))
    write_tar(tmp_path / "0.tar", members)
    dataset = describe_dataset([str(tmp_path / "0.tar")], towers, cache=tmp_path / "cache")
    with open_dataset(dataset) as opened:
        assert opened.uids.to_pylist() == [uid(1), uid(3)]
        assert opened.tokens_nT.tolist() == towers.tokenize(["a red house", "a bridge"]).tolist()
        assert [(reject.uid, reject.stage) for reject in opened.rejects] == [(uid(2), "decode")]


def test_what_is_prepared_is_not_prepared_again(towers: Towers, tmp_path: Path) -> None:
    shards = write_shards(tmp_path, (6,))
    first = describe_dataset(shards, towers, cache=tmp_path / "cache")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")}
    assert describe_dataset(shards, towers, cache=tmp_path / "cache") == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")} == before


def test_a_changed_caption_is_tokenised_anew(towers: Towers, tmp_path: Path) -> None:
    for text in ("a red house", "a blue house and a bridge"):
        write_tar(tmp_path / "0.tar", pair_members("only", jpeg(1), text, uid(1)))
        dataset = describe_dataset([str(tmp_path / "0.tar")], towers, cache=tmp_path / "cache")
        with open_dataset(dataset) as opened:
            assert opened.tokens_nT.tolist() == towers.tokenize([text]).tolist()


def test_tokens_of_two_models_are_kept_apart(towers: Towers, tmp_path: Path) -> None:
    shards = write_shards(tmp_path, (3,))
    for model in (towers, load_towers(VIT), towers):
        with open_dataset(describe_dataset(shards, model, cache=tmp_path / "cache")) as opened:
            assert opened.tokens_nT.tolist() == model.tokenize([caption(n) for n in range(3)]).tolist()


def test_shards_without_a_pair_that_can_be_used_are_refused(towers: Towers, tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", pair_members("bad", jpeg(2)[:200], "a dog", uid(2)))
    with pytest.raises(InputError, match=r"no pair of .*0\.tar can be used"):
        describe_dataset([str(tmp_path / "0.tar")], towers, cache=tmp_path / "cache")


def test_what_cannot_be_used_is_listed_whether_read_or_decoded(towers: Towers, tmp_path: Path) -> None:
    members = pair_members("good", jpeg(1), "a red house", uid(1))
    members += pair_members("bad", jpeg(2)[:200], "a dog", uid(2))
    write_tar(tmp_path / "0.tar", [*members, ("bare.jpg", jpeg(3))])
    with open_dataset(
        describe_dataset([str(tmp_path / "0.tar")], towers, cache=tmp_path / "cache")
    ) as opened:
        rows = opened.quarantine.to_pylist()
        assert {(row["key"], row["stage"]) for row in rows} == {("bad", "decode"), ("bare", "read")}
        assert opened.find([uid(2), uid(1)]).tolist() == [-1, 0]
