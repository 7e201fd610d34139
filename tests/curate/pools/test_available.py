"""Plans built on the metadata while a tenth of the pool no longer downloads (datacomp #3, #39, #68)."""

from pathlib import Path

import pytest

from tests.curate.pools.scores import write_scores
from tests.data.bad_pool import jpeg, pair_members, write_tar
from tests.small_pool import caption, contents, uid
from thresher.curate.pools.cut import cut
from thresher.curate.pools.record import Pools, missing_pairs
from thresher.curate.subset.manifest import manifest
from thresher.curate.subset.write import write_subset
from thresher.data.files.quarantine import read_quarantine
from thresher.errors import InputError

GONE = (1, 4, 5, 12)


@pytest.fixture
def shards(tmp_path: Path) -> list[str]:
    """Pairs 0 to 19 but for those that no longer download."""
    found = []
    for number, start in enumerate((0, 10)):
        path = tmp_path / f"{number}.tar"
        here = [n for n in range(start, start + 10) if n not in GONE]
        write_tar(
            path, [member for n in here for member in pair_members(f"{n:09d}", jpeg(n), caption(n), uid(n))]
        )
        found.append(str(path))
    return found


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """A table of all 20 pairs, as the metadata names them; pair n has the score -n."""
    return write_scores(tmp_path / "s", [[-n for n in range(12)], [-n for n in range(12, 20)]])


def cut_by(scores: Path, shards: list[str], out: Path) -> Pools:
    return cut(scores, by="clip", edges=(0.25, 0.5), out=out, shards=shards, index_cache=out / "index")


def test_pools_are_sized_by_what_is_in_the_shards_not_by_the_metadata(
    scores: Path, shards: list[str], tmp_path: Path
) -> None:
    pools = cut_by(scores, shards, tmp_path / "p")
    names = {uid(n): n for n in range(20)}
    assert [names[found] for found in pools.uids(0).to_pylist()] == [0, 2, 3, 6]
    assert [names[found] for found in pools.uids(1).to_pylist()] == [7, 8, 9, 10]
    assert pools.sizes == {"0-25%": 4, "25-50%": 4}
    assert {drop.reason: drop.count for drop in pools.dropped} == {
        "below the last edge (0.5)": 8,
        "the pair is in no shard": 4,
    }
    drawn = manifest(pools, {"0-25%": 0.75, "25-50%": 0.25}).table().to_pydict()
    assert set(drawn["repeats"]) == {1, 3}
    summary = write_subset(manifest(pools, ["0-25%"]), tmp_path / "out", format="shards", shards=shards)
    assert summary.num_rows == 4


def test_what_is_missing_is_counted_for_each_pool_and_listed(
    scores: Path, shards: list[str], tmp_path: Path
) -> None:
    pools = cut_by(scores, shards, tmp_path / "p")
    assert [pool.absent for pool in pools.pools] == [3, 0]
    assert pools.missing == (
        "3 of the 7 pairs that the scores name for pool 0-25% (42.9%) are in no shard; the pool is the other "
        "4",
    )
    assert missing_pairs(tmp_path / "p") == missing_pairs(tmp_path / "p" / "pools.json") == pools.missing
    listed = read_quarantine(tmp_path / "p/quarantine.parquet").to_pylist()
    assert [(row["uid"], row["offset"], row["reason"]) for row in listed] == [
        (uid(n), offset, "the pair is in no shard") for n, offset in ((1, 1), (4, 4), (5, 5), (12, 0))
    ]


def test_pools_are_cut_anew_when_the_shards_change(scores: Path, shards: list[str], tmp_path: Path) -> None:
    cut_by(scores, shards, tmp_path / "p")
    before = contents(tmp_path / "p")
    cut_by(scores, shards, tmp_path / "p")
    assert contents(tmp_path / "p") == before
    whole = [n for n in range(10) if n != 4]
    members = [member for n in whole for member in pair_members(f"{n:09d}", jpeg(n), caption(n), uid(n))]
    write_tar(Path(shards[0]), members)
    assert [pool.absent for pool in cut_by(scores, shards, tmp_path / "p").pools] == [0, 1]
    assert cut_by(scores, shards[:1], tmp_path / "p").sizes == {"0-25%": 2, "25-50%": 2}


def test_without_shards_nobody_looks_and_a_subset_says_what_it_lacks(
    scores: Path, shards: list[str], tmp_path: Path
) -> None:
    pools = cut(scores, by="clip", edges=(0.25, 0.5), out=tmp_path / "p")
    assert [pool.absent for pool in pools.pools] == [None, None]
    assert pools.missing == ()
    with pytest.raises(InputError, match=r"\(0-25%: 2 of 5, 25-50%: 1 of 5\).*cut again with the shards"):
        write_subset(manifest(pools, list(pools.names)), tmp_path / "out", format="shards", shards=shards)


def test_a_repeat_of_a_missing_pair_is_missing_too(shards: list[str], tmp_path: Path) -> None:
    uids = [uid(n) for n in (0, 1, 1, 2, 2)]
    scores = write_scores(tmp_path / "s", [[5, 4, 3, 2, 1]], uids=uids)
    pools = cut(scores, by="clip", edges=(1.0,), out=tmp_path / "p", shards=shards)
    assert pools.sizes == {"0-100%": 2}
    assert {drop.reason: drop.count for drop in pools.dropped} == {
        "duplicate uid": 1,
        "the pair is in no shard": 2,
    }


def test_shards_that_hold_none_of_the_pairs_are_refused(scores: Path, tmp_path: Path) -> None:
    write_tar(tmp_path / "other.tar", pair_members("a", jpeg(99), caption(99), uid(99)))
    with pytest.raises(
        InputError, match=r"no pair is left to cut \(20: the pair is in no shard\); name the shards that"
    ):
        cut_by(scores, [str(tmp_path / "other.tar")], tmp_path / "p")
    with pytest.raises(InputError, match=r"absent.tar cannot be read"):
        cut_by(scores, [str(tmp_path / "absent.tar")], tmp_path / "q")
