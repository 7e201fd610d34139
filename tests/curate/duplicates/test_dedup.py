"""Deduplicating shards in which some images repeat others."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import Call, call
from tests.curate.duplicates.repeats import (
    FIRST_REPEAT,
    KINDS,
    embedded,
    jpeg_of,
    planted,
    repeat_of,
    scene,
    write_pool,
)
from tests.data.bad_pool import DECODE_CASES, OK, jpeg, write_bad_pool
from tests.small_pool import contents, uid
from tests.watching import watched
from thresher.curate.duplicates.dedup import deduplicate
from thresher.data.exclude import read_exclude
from thresher.data.files.atomic import write_json, write_table
from thresher.data.files.lock import folder_lock
from thresher.data.files.quarantine import read_quarantine
from thresher.data.patterns import expand
from thresher.errors import InputError
from thresher.sharded.parts import list_parts, list_quarantines

__all__ = ["call"]

NUM_SCENES = 60


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    root = tmp_path_factory.mktemp("repeats")
    images, repeats = planted(NUM_SCENES)
    # The scene ranks above what repeats it, but for the few whose repeats are the better ones.
    scores = {number: 1.0 - (number >= FIRST_REPEAT) - number * 1e-5 for number in images}
    for number in range(0, NUM_SCENES, 10):
        scores[number] = -5.0
    shards = write_pool(root / "in", images, list(images))
    write_scores(root / "scores", scores)
    out = root / "out"
    summary = deduplicate(shards, out, scores=root / "scores", by="clip", workers=0)
    return SimpleNamespace(
        root=root, images=images, repeats=repeats, scores=scores, shards=shards, out=out, summary=summary
    )


def write_scores(folder: Path, scores: dict[int, float]) -> None:
    """A score table with one column, as `thresher score` leaves it."""
    columns = {name: [f"{name} {number}" for number in scores] for name in ("key", "shard", "caption")}
    values = pa.array(list(scores.values()), pa.float32())
    table = pa.table({"uid": [uid(number) for number in scores], **columns, "clip": values})
    write_table(folder / "parts" / "00000-all.parquet", table)
    scorers = [{"column": "clip", "name": "clip"}]
    write_json(folder / "scores.json", {"scorers": scorers, "counts": {"pairs": len(scores)}})


def dropped(out: Path) -> dict[str, dict[str, object]]:
    return {row["uid"]: row for row in pq.read_table(out / "dropped.parquet").to_pylist()}


def groups(pool: SimpleNamespace) -> dict[str, int]:
    """uid -> the scene that it shows."""
    return {uid(number): number % FIRST_REPEAT for number in pool.images}


def test_planted_repeats_are_found_and_hardly_anything_else(pool: SimpleNamespace) -> None:
    rows, of = dropped(pool.out), groups(pool)
    right = [of[name] == of[row["kept_uid"]] for name, row in rows.items()]
    assert np.mean(right) >= 0.95
    for kind in ("exact", "resized", "encoded"):
        found = []
        for again, number in pool.repeats[kind].items():
            both = [uid(again), uid(number)]
            found.append(any(name in rows and of[rows[name]["kept_uid"]] == of[both[0]] for name in both))
        assert np.mean(found) >= 0.95, kind


def test_the_best_scored_of_a_group_stays(pool: SimpleNamespace) -> None:
    rows = dropped(pool.out)
    by_uid = {uid(number): score for number, score in pool.scores.items()}
    assert len(rows) > NUM_SCENES
    for name, row in rows.items():
        assert by_uid[row["kept_uid"]] > by_uid[name]
        assert row["kept_uid"] not in rows
    assert uid(0) in rows  # whose repeats are the better ones


def test_equal_bytes_are_told_from_equal_looks(pool: SimpleNamespace) -> None:
    rows = dropped(pool.out)
    for again in pool.repeats["exact"]:
        number = again % FIRST_REPEAT
        if number % 10:
            row = rows[uid(again)]
            assert (row["method"], row["distance"], row["similarity"]) == ("exact", 0, None)
            assert row["matched_uid"] == uid(number)
    assert {row["method"] for row in rows.values()} == {"exact", "perceptual"}
    assert all(row["distance"] <= 4 for row in rows.values())


def test_summary_and_lists_say_the_same(pool: SimpleNamespace) -> None:
    content = json.loads((pool.out / "dedup.json").read_text())
    rows = dropped(pool.out)
    assert (content["schema"], content["version"]) == ("thresher.dedup", 1)
    assert content["counts"]["pairs"] == len(pool.images)
    assert content["counts"]["dropped"] == len(rows) == sum(content["dropped"].values())
    assert content["counts"]["kept"] == len(pool.images) - len(rows) == pool.summary.num_kept
    assert read_exclude(pool.out / "exclude.npy") == read_exclude(pool.out / "dropped.parquet") == set(rows)


def test_the_order_of_shards_and_pairs_does_not_matter(pool: SimpleNamespace, tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(list(pool.images)).tolist()
    shards = write_pool(tmp_path / "in", pool.images, order, per_shard=23)
    scores = {"scores": pool.root / "scores", "by": "clip"}
    deduplicate(shards[::-1], tmp_path / "out", workers=0, **scores)
    for name in ("dropped.parquet", "exclude.npy"):
        assert (tmp_path / "out" / name).read_bytes() == (pool.out / name).read_bytes()


def test_a_second_run_hashes_nothing_and_a_stopped_one_goes_on(pool: SimpleNamespace, tmp_path: Path) -> None:
    scores = {"scores": pool.root / "scores", "by": "clip"}
    done = []

    def stop(*at: int) -> None:
        done.append(at)
        if len(done) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deduplicate(pool.shards, tmp_path, workers=0, progress=stop, **scores)
    assert len(list_parts(tmp_path)) == 2
    assert not (tmp_path / "dedup.json").exists()
    more: list[tuple[int, ...]] = []
    deduplicate(pool.shards, tmp_path, workers=2, progress=lambda *at: more.append(at), **scores)
    assert len(more) == len(pool.shards) - 2
    assert contents(tmp_path) == contents(pool.out)
    with watched("open") as opened:
        deduplicate(pool.shards, tmp_path, workers=0, **scores)
    assert not set(opened) & set(pool.shards)
    assert contents(tmp_path) == contents(pool.out)


def test_without_scores_the_largest_image_stays_and_at_a_tie_the_smallest_uid(tmp_path: Path) -> None:
    images = {0: repeat_of(scene(3), "resized"), 1: jpeg_of(scene(3)), 2: jpeg_of(scene(3))}
    deduplicate(write_pool(tmp_path / "in", images, [0, 1, 2]), tmp_path / "out", workers=0)
    first, second = sorted((uid(1), uid(2)))
    rows = dropped(tmp_path / "out")
    assert {name: row["kept_uid"] for name, row in rows.items()} == {uid(0): first, second: first}


def test_pairs_near_an_evaluation_image_go_and_their_number_is_said(tmp_path: Path) -> None:
    images = {number: jpeg_of(scene(number)) for number in range(12)}
    images[12] = images[5]
    shards = write_pool(tmp_path / "in", images, list(images))
    seen = {100: images[2], 101: repeat_of(scene(5), "encoded"), 102: jpeg_of(scene(77))}
    evaluation = write_pool(tmp_path / "evaluation", seen, list(seen))
    summary = deduplicate(shards, tmp_path / "out", exclude_near=evaluation, workers=0)
    rows = dropped(tmp_path / "out")
    assert set(rows) == {uid(2), uid(5), uid(12)}  # both repeats of scene 5, none of which may stay
    assert {row["method"] for row in rows.values()} == {"evaluation"}
    assert [rows[uid(n)]["matched_uid"] for n in (2, 5, 12)] == [uid(100), uid(101), uid(101)]
    assert all(row["kept_uid"] is None for row in rows.values())
    assert (summary.dropped["evaluation"], summary.num_evaluation) == (3, 3)


def test_pairs_near_an_embedding_of_the_evaluation_go_before_all_others(tmp_path: Path) -> None:
    images = {number: jpeg_of(scene(number)) for number in range(5)}
    shards = write_pool(tmp_path / "in", images, list(images))
    pool = {0: [1, 0, 0, 0], 1: [0, 1, 0, 0], 2: [0, 0, 1, 0], 3: [0, 0.1, 0.995, 0], 4: [0, 0, 0, 1]}
    seen = {50: [0.99, 0.1, 0.1, 0], 51: [0, 0.05, 1, 0], 52: [0.6, 0.8, 0, 0], 53: [1, 0, 0, 0]}
    evaluation = write_pool(tmp_path / "evaluation", {99: images[4]}, [99])
    given = {
        "embeddings": embedded(tmp_path / "e", pool),
        "exclude_near": evaluation,
        "exclude_near_embeddings": embedded(tmp_path / "v", seen),
    }
    summary = deduplicate(shards, tmp_path / "out", workers=0, **given)
    rows = dropped(tmp_path / "out")
    assert {name: row["matched_uid"] for name, row in rows.items()} == {
        uid(0): uid(53),
        uid(2): uid(51),
        uid(3): uid(51),
        uid(4): uid(99),
    }
    assert all(row["method"] == "evaluation" and row["kept_uid"] is None for row in rows.values())
    assert rows[uid(0)]["similarity"] == pytest.approx(1, abs=1e-3)
    assert rows[uid(0)]["distance"] is None
    assert rows[uid(4)]["distance"] == 0
    assert (summary.dropped["evaluation"], summary.num_evaluation, summary.num_kept) == (4, 5, 1)


def test_embeddings_of_the_evaluation_need_those_of_the_pool_by_the_same_model(tmp_path: Path) -> None:
    shards = write_pool(tmp_path / "in", {0: jpeg(0)}, [0])
    pool, other = embedded(tmp_path / "e", {0: [1, 0]}), embedded(tmp_path / "v", {1: [1, 0]}, model="g")
    with pytest.raises(InputError, match="give --embeddings as well"):
        deduplicate(shards, tmp_path / "out", exclude_near_embeddings=other, workers=0)
    with pytest.raises(InputError, match="holds embeddings of another model"):
        deduplicate(shards, tmp_path / "out", embeddings=pool, exclude_near_embeddings=other, workers=0)
    assert not (tmp_path / "out").exists()


def test_the_command_says_how_many_go_and_why(call: Call, tmp_path: Path) -> None:
    images = {0: jpeg_of(scene(0)), 1: jpeg_of(scene(0)), 2: jpeg_of(scene(1)), 3: jpeg_of(scene(2))}
    write_pool(tmp_path / "in", images, list(images))
    write_pool(tmp_path / "evaluation", {7: images[2]}, [7])
    arguments = ("dedup", tmp_path / "in", "--exclude-near", tmp_path / "evaluation", "--workers", "0")
    done = call(*arguments, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("2 of 4 pairs stay; ")
    assert "1  are near an image of the evaluation" in done.stdout
    assert "1  have the same bytes as a better pair" in done.stdout
    record = json.loads(call(*arguments, "--out", tmp_path / "out", "--json").stdout)
    assert record["dropped"] == {"evaluation": 1, "exact": 1, "perceptual": 0, "semantic": 0}
    done = call("dedup", tmp_path / "in", "--out", tmp_path / "new", "--executor", "slurm")
    assert (done.exit_code, "there is no executor 'slurm'" in done.stderr) == (2, True)


def test_a_pair_that_stands_in_two_shards_is_one_pair(tmp_path: Path) -> None:
    images = {number: jpeg_of(scene(number)) for number in range(4)}
    shards = write_pool(tmp_path / "in", images, list(images))
    shards += write_pool(tmp_path / "again", images, [3, 0])
    summary = deduplicate(shards, tmp_path / "out", workers=0)
    assert (summary.num_pairs, summary.num_kept, summary.num_repeated) == (4, 4, 2)
    assert not read_exclude(tmp_path / "out" / "exclude.npy")


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_pairs_go_to_the_quarantine_and_the_others_on(tmp_path: Path, workers: int) -> None:
    expected = write_bad_pool(tmp_path / "in")
    summary = deduplicate(expand([str(tmp_path / "in")]), tmp_path / "out", workers=workers)
    tables = [read_quarantine(path) for path in list_quarantines(tmp_path / "out")]
    rejected = {row["key"]: row["reason"] for table in tables for row in table.to_pylist()}
    for key in DECODE_CASES:
        assert expected[key] in rejected[key]
    kept = {key for key, fate in expected.items() if fate == OK and not key.endswith(".tar")}
    assert kept.isdisjoint(rejected)
    assert summary.num_pairs > 0
    assert {Path(shard).name for shard in summary.unreadable} == {
        "empty.tar",
        "no_members.tar",
        "not_a_tar.tar",
    }
    assert "3 shards gave no images" in summary.status[0]


def test_pairs_without_a_score_lose(pool: SimpleNamespace, tmp_path: Path) -> None:
    images = {0: jpeg_of(scene(8)), 1: jpeg_of(scene(8)), 2: jpeg_of(scene(9))}
    shards = write_pool(tmp_path / "in", images, [0, 1, 2])
    write_scores(tmp_path / "scores", {1: -3.0, 2: 0.5, 50: 9.0})
    summary = deduplicate(shards, tmp_path / "out", scores=tmp_path / "scores", by="clip", workers=0)
    assert {name: row["kept_uid"] for name, row in dropped(tmp_path / "out").items()} == {uid(0): uid(1)}
    assert summary.num_unscored == 1
    assert "1 of 3 pairs have no score" in summary.status[0]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"distance": 5}, "distance 5 is outside 0 to 4"),
        ({"similarity": 1.5}, "similarity 1.5 is not a cosine"),
        ({"by": "clip"}, "give both --scores and --by"),
        ({"scores": "nowhere", "by": "clip"}, "there are no scores in nowhere"),
        ({"embeddings": "nowhere"}, "nowhere holds no finished embeddings"),
    ],
)
def test_what_cannot_be_used_is_named(
    pool: SimpleNamespace, tmp_path: Path, options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        deduplicate(pool.shards[:1], tmp_path, workers=0, **options)


def test_a_changed_shard_and_a_second_run_at_once_are_refused(tmp_path: Path) -> None:
    shards = write_pool(tmp_path / "in", {0: jpeg(0), 1: jpeg(1)}, [0, 1])
    deduplicate(shards, tmp_path / "out", workers=0)
    os.utime(shards[0], ns=(1, 1))
    with pytest.raises(InputError, match="changed since it was hashed"):
        deduplicate(shards, tmp_path / "out", workers=0)
    with folder_lock(tmp_path / "other"), pytest.raises(InputError, match="another run is writing"):
        deduplicate(shards, tmp_path / "other", workers=0)


def test_no_shards_is_said() -> None:
    with pytest.raises(InputError, match="no shards are given"):
        deduplicate([], "out")


def test_every_kind_of_repeat_is_planted(pool: SimpleNamespace) -> None:
    assert all(len(pool.repeats[kind]) == NUM_SCENES // 2 for kind in KINDS)
