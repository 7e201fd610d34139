import json
import os
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.bad_pool import jpeg, pair_members, write_tar
from tests.scores.imported.published import clip_score, metadata, write_metadata
from tests.small_pool import caption, uid, write_shards
from thresher.curate.pools.cut import cut
from thresher.data.files.quarantine import read_quarantine
from thresher.errors import InputError
from thresher.scores.imported import scores as score_tables
from thresher.scores.imported.scores import import_scores
from thresher.scores.imported.shard_pairs import ShardPairs
from thresher.scores.registry import parse_scorer
from thresher.scores.score import score_shards
from thresher.sharded.parts import list_parts, list_quarantines

L14 = "clip_l14_similarity_score"
B32 = "clip_b32_similarity_score"


def rows_of(out: Path) -> list[dict[str, object]]:
    return [row for part in list_parts(out) for row in pq.read_table(part).to_pylist()]


def refused(out: Path) -> dict[str | None, str]:
    """Uid -> reason."""
    tables = [read_quarantine(path) for path in list_quarantines(out)]
    return {row["uid"]: row["reason"] for table in tables for row in table.to_pylist()}


def one_file(folder: Path, table: pa.Table, name: str = "00.parquet") -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / name)
    return [str(folder / name)]


def test_every_row_has_the_scores_that_were_published_for_its_uid(tmp_path: Path) -> None:
    source = write_metadata(tmp_path / "metadata", [5, 3, 9, 0], [8, 1])
    made = import_scores([str(source)], tmp_path / "scores")
    rows = rows_of(tmp_path / "scores")
    assert [row["uid"] for row in rows] == [uid(number) for number in (5, 3, 9, 0, 8, 1)]
    for row, number in zip(rows, (5, 3, 9, 0, 8, 1), strict=True):
        assert row[L14] == np.float32(clip_score(number))
        assert row[B32] == np.float32(clip_score(number) / 2)
        assert row["caption"] == caption(number)
        assert row["shard"] == str(source / ("00.parquet" if number in (5, 3, 9, 0) else "01.parquet"))
    assert (made.filled.summary.num_pairs, made.filled.summary.num_quarantined, made.status) == (6, 0, ())
    assert made.columns == (B32, L14)
    scorers = json.loads((tmp_path / "scores/scores.json").read_text())["scorers"]
    assert [scorer["fingerprint"] for scorer in scorers] == [
        "imported clip_b32_similarity_score (OpenAI ViT-B-32)",
        "imported clip_l14_similarity_score (OpenAI ViT-L-14)",
    ]


def test_pools_are_cut_from_imported_scores(tmp_path: Path) -> None:
    source = write_metadata(tmp_path / "metadata", range(60))
    import_scores([str(source)], tmp_path / "scores", columns=[f"clip={L14}"])
    for by in ("clip", L14):  # by the column, or by what it was called
        pools = cut(tmp_path / "scores", by=by, edges=(0.25, 1.0), out=tmp_path / by)
        table = pq.read_table(tmp_path / by / "pools.parquet").to_pylist()
        best = {row["uid"] for row in table if row["pool"] == 0}
        expected = sorted(range(60), key=clip_score, reverse=True)[:15]
        assert best == {uid(number) for number in expected}
        assert [pool.num_samples for pool in pools.pools] == [15, 45]


def test_the_order_of_rows_changes_no_score(tmp_path: Path) -> None:
    for name, numbers in (("up", range(40)), ("down", range(39, -1, -1))):
        import_scores([str(write_metadata(tmp_path / name, numbers))], tmp_path / f"{name}-scores")
    up, down = (
        {row["uid"]: row[L14] for row in rows_of(tmp_path / f"{name}-scores")} for name in ("up", "down")
    )
    assert up == down


def test_with_shards_the_pools_hold_what_is_in_the_tar_files_and_the_difference_is_said(
    tmp_path: Path,
) -> None:
    shards = write_shards(tmp_path / "shards", (6, 4))
    order = [11, 3, 9, 0, 7, 10, 5, 2, 4, 12]  # 1, 6 and 8 have no row; 10 to 12 did not download
    source = write_metadata(tmp_path / "metadata", order[:6], order[6:], text=None)
    made = import_scores([str(source)], tmp_path / "scores", shards=shards)
    rows = rows_of(tmp_path / "scores")
    assert {row["uid"] for row in rows} == {uid(number) for number in (0, 2, 3, 4, 5, 7, 9)}
    for row in rows:
        number = int(str(row["key"]))
        assert (row["uid"], row["caption"]) == (uid(number), caption(number))
        assert row["shard"] == shards[0 if number < 6 else 1]
    reasons = refused(tmp_path / "scores")
    assert {reasons[uid(number)] for number in (10, 11, 12)} == {"no pair of the shards has this uid"}
    assert {reasons[uid(number)] for number in (1, 6, 8)} == {"no row of the tables is about this pair"}
    assert made.filled.missing == 3
    assert made.status[0].startswith("3 of 10 rows (30.0%) are about pairs that the shards do not hold")
    assert made.status[1].startswith("3 of 10 pairs of the shards have no row in the tables")
    imported = json.loads((tmp_path / "scores/scores.json").read_text())["imported"]
    assert imported == {
        "rows": 10,
        "rows_of_an_earlier_uid": 0,
        "pairs_in_shards": 10,
        "pairs_without_a_row": 3,
    }
    assert not made.filled.incomplete


def test_a_pair_whose_row_was_refused_stands_once_in_the_quarantine(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", (3,))
    table = metadata([0, 1], clip_l14_similarity_score=[0.5, None], key=[7, 8])  # the keys are no text
    made = import_scores(one_file(tmp_path / "t", table), tmp_path / "out", columns=[L14], shards=shards)
    rows = [row for path in list_quarantines(tmp_path / "out") for row in read_quarantine(path).to_pylist()]
    assert {(row["uid"], row["reason"]) for row in rows} == {
        (uid(1), f"the score '{L14}' is missing (NaN)"),
        (uid(2), "no row of the tables is about this pair"),
    }
    assert (len(rows), made.filled.summary.num_quarantined, made.filled.missing) == (2, 2, 1)


def test_a_key_or_an_image_path_is_resolved_by_the_shards(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", (5, 5))
    names = ["000000007", "images/000000002.jpg", "/data/x/000000009", "000000099", "000000000.png"]
    table = pa.table({"image_path": names, "score": pa.array([0.1, 0.2, 0.3, 0.4, 0.5], pa.float16())})
    import_scores(one_file(tmp_path / "t", table), tmp_path / "scores", shards=shards)
    rows = rows_of(tmp_path / "scores")
    assert [row["uid"] for row in rows] == [uid(number) for number in (7, 2, 9, 0)]
    assert [row["score"] for row in rows] == [np.float32(np.float16(value)) for value in (0.1, 0.2, 0.3, 0.5)]
    (reject,) = (row for row in read_quarantine(list_quarantines(tmp_path / "scores")[0]).to_pylist())
    assert (reject["key"], reject["uid"], reject["offset"]) == ("000000099", None, 3)


def test_a_key_that_two_pairs_have_is_taken_for_neither(tmp_path: Path) -> None:
    shards = [*write_shards(tmp_path / "a", (3,))]
    (tmp_path / "b").mkdir()
    write_tar(tmp_path / "b/0.tar", pair_members("000000001", jpeg(9), "another", uid(50)))
    table = pa.table({"key": ["000000000", "000000001"], "score": [0.5, 0.6]})
    import_scores(
        one_file(tmp_path / "t", table), tmp_path / "out", shards=[*shards, str(tmp_path / "b/0.tar")]
    )
    assert [row["uid"] for row in rows_of(tmp_path / "out")] == [uid(0)]
    assert refused(tmp_path / "out")[None].startswith("several pairs of the shards have this key")


@pytest.mark.parametrize("files", [1, 2])
def test_a_pair_that_paths_of_two_folders_end_in_is_taken_for_neither(tmp_path: Path, files: int) -> None:
    """The shards are those of the dogs alone; `0001` of the cats is another picture."""
    shards = write_shards(tmp_path / "shards", (3,))
    names = [f"{folder}/{number:09d}.jpg" for folder in ("cats", "dogs") for number in (0, 1)]
    names += ["dogs/000000002.jpg"]
    (tmp_path / "t").mkdir()
    table = pa.table({"image_path": names, "score": np.arange(5) / 8})
    for number in range(files):
        pq.write_table(
            table.slice(number * 2, 2 if number + 1 < files else 6), tmp_path / f"t/{number}.parquet"
        )
    import_scores([str(tmp_path / "t")], tmp_path / "out", shards=shards)
    assert {row["uid"] for row in rows_of(tmp_path / "out")} == {uid(2)}


def test_a_row_whose_caption_is_not_that_of_the_pair_is_refused(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", (3,))
    captions = [caption(number) for number in range(3)]
    told = [f" {captions[0]}\n", "a picture of somebody else", None]
    names = [f"dogs/{number:09d}.jpg" for number in range(3)]
    table = pa.table({"image_path": names, "caption": told, "score": [0.5, 0.6, 0.7]})
    import_scores(one_file(tmp_path / "t", table), tmp_path / "out", shards=shards)
    assert [row["uid"] for row in rows_of(tmp_path / "out")] == [uid(0), uid(2)]
    assert "another caption than the row" in refused(tmp_path / "out")[uid(1)]


@pytest.mark.parametrize(
    "uids",
    [
        pa.array([uid(0).upper(), uid(1)]),
        pa.array([uid(0), uid(1)], pa.large_string()),
        pa.array([uid(0), uid(1)]).dictionary_encode(),
        pa.array([uid(0).encode(), uid(1).encode()], pa.binary()),
        pa.array([bytes.fromhex(uid(0)), bytes.fromhex(uid(1))], pa.binary(16)),
        pa.array([uid(0), uid(1)], pa.string_view()),
    ],
    ids=["upper case", "large", "dictionary", "text as bytes", "16 bytes", "view"],
)
def test_uids_may_be_stored_in_any_form(tmp_path: Path, uids: pa.Array) -> None:
    sources = one_file(tmp_path / "t", metadata([0, 1], uid=uids))
    import_scores(sources, tmp_path / "out")
    assert [row["uid"] for row in rows_of(tmp_path / "out")] == [uid(0), uid(1)]


def test_a_row_without_a_uid_or_a_score_goes_to_the_quarantine_alone(tmp_path: Path) -> None:
    nan = float("nan")
    table = metadata(
        range(8),
        uid=[uid(0), None, "not a uid", "g" * 32, uid(4), uid(5), uid(6), uid(7)],
        clip_l14_similarity_score=pa.array([0.1, 0.1, 0.1, 0.1, nan, float("inf"), None, nan], pa.float64()),
        clip_b32_similarity_score=pa.array([0.2, 0.2, 0.2, 0.2, nan, nan, nan, 0.3], pa.float32()),
    )
    made = import_scores(one_file(tmp_path / "t", table), tmp_path / "out")
    rows = read_quarantine(list_quarantines(tmp_path / "out")[0]).to_pylist()
    assert [(row["offset"], row["reason"]) for row in rows] == [
        (1, "the row has no uid"),
        (2, "the uid 'not a uid' is not 32 hexadecimal digits"),
        (3, f"the uid '{'g' * 32}' is not 32 hexadecimal digits"),
        (4, f"the score '{B32}' is missing (NaN)"),
        (5, f"the score '{B32}' is missing (NaN)"),
        (6, f"the score '{B32}' is missing (NaN)"),
        (7, f"the score '{L14}' is missing (NaN)"),
    ]
    assert {row["stage"] for row in rows} == {"import-scores"}
    assert [row["uid"] for row in rows_of(tmp_path / "out")] == [uid(0), uid(7)]
    assert (made.filled.summary.num_pairs, made.filled.summary.num_quarantined) == (2, 7)
    assert [
        pool.num_samples for pool in cut(tmp_path / "out", by=B32, edges=(1.0,), out=tmp_path / "p").pools
    ] == [2]
    pools = cut(tmp_path / "out", by=L14, edges=(1.0,), out=tmp_path / "p")
    assert (pools.pools[0].num_samples, {drop.reason: drop.count for drop in pools.dropped}) == (
        1,
        {"no score, and already in the quarantine": 1},
    )


def test_captions_that_are_not_utf_8_are_refused_alone(tmp_path: Path) -> None:
    raw = [b"a cat", b"caf\xe9", "\N{CAT FACE} 猫".encode()]
    text = pa.Array.from_buffers(
        pa.string(),
        3,
        [None, pa.py_buffer(np.cumsum([0, *map(len, raw)]).astype(np.int32)), pa.py_buffer(b"".join(raw))],
    )
    import_scores(one_file(tmp_path / "t", metadata(range(3), text=text)), tmp_path / "out")
    assert [row["caption"] for row in rows_of(tmp_path / "out")] == ["a cat", "\N{CAT FACE} 猫"]
    assert refused(tmp_path / "out") == {uid(1): "the caption is not valid UTF-8"}


def test_rows_that_img2dataset_could_not_download_are_left_out(tmp_path: Path) -> None:
    status = ["success", "failed_to_download", "success", "failed_to_resize"]
    import_scores(one_file(tmp_path / "t", metadata(range(4), status=status)), tmp_path / "out")
    assert [row["uid"] for row in rows_of(tmp_path / "out")] == [uid(0), uid(2)]
    assert refused(tmp_path / "out")[uid(1)] == "its status is 'failed_to_download'"


def test_of_equal_rows_the_first_stays(tmp_path: Path) -> None:
    source = write_metadata(tmp_path / "t", [0, 1, 0, 2], [1, 3])
    made = import_scores([str(source)], tmp_path / "out")
    assert refused(tmp_path / "out") == {uid(0): "duplicate uid: row 0 of this file has it"}
    assert made.repeats.rows == 1
    assert "rows whose uid stands in an earlier part: 1; `cut` takes the first" in made.status[0]
    pools = cut(tmp_path / "out", by=L14, edges=(1.0,), out=tmp_path / "pools")
    assert pools.pools[0].num_samples == 4


@pytest.mark.parametrize("apart", [False, True], ids=["in one file", "in two files"])
def test_one_uid_with_two_scores_is_refused_unless_the_first_is_asked_for(
    tmp_path: Path, apart: bool
) -> None:
    folder = tmp_path / "t"
    one = metadata([0, 1], clip_b32_similarity_score=None)
    other = metadata([2, 0], clip_b32_similarity_score=None, clip_l14_similarity_score=[0.5, 0.75])
    if apart:
        one_file(folder, one, "0.parquet")
        one_file(folder, other, "1.parquet")
    else:
        one_file(folder, pa.concat_tables([one, other.cast(one.schema)]), "0.parquet")
    with pytest.raises(InputError) as caught:
        import_scores([str(folder)], tmp_path / "out")
    last = f"in {folder}/0.parquet and 0.75 in {folder}/1.parquet (rows that disagree so: 1)"
    assert str(caught.value) == (
        f"uid {uid(0)} has {L14} 0.1 {last if apart else f'and 0.75 in {folder}/0.parquet'}; leave one of "
        "them out, or take the first of such rows with --first"
    )
    assert not (tmp_path / "out/scores.json").exists()
    made = import_scores([str(folder)], tmp_path / "out", first=True)
    assert made.repeats.differing == int(apart)
    pools = cut(tmp_path / "out", by=L14, edges=(1.0,), out=tmp_path / "pools")
    assert pools.pools[0].num_samples == 3
    assert pools.pools[0].score_max == 0.5


def test_published_rules_and_further_columns_come_along(tmp_path: Path) -> None:
    language = ["en" if number != 5 else "fr" for number in range(8)]
    sources = one_file(tmp_path / "t", metadata(range(8), language=language))
    import_scores(sources, tmp_path / "out", columns=[L14], rules=["basic"], carry=["sha256", "face_bboxes"])
    rows = rows_of(tmp_path / "out")
    assert [row["basic"] for row in rows] == [0, 1, 1, 1, 0, 0, 1, 1]  # 0 and 4 are narrow, 5 is French
    assert [row["sha256"] for row in rows] == [f"{number:064x}" for number in range(8)]
    assert rows[3]["face_bboxes"] == [[0.1, 0.2, 0.3, 0.4]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"columns": ["clip_l14_similarity"]}, f"did you mean '{L14}'? known: uid, url, text"),
        ({"columns": ["text"]}, f"is string, not a number; columns of numbers are {B32}, {L14}"),
        ({"columns": [f"caption={L14}"]}, "'caption' cannot be the name of a score column"),
        ({"columns": [L14, f"{L14}={B32}"]}, f"two columns are to be called '{L14}'"),
        ({"rules": ["basics"]}, "there is no rule 'basics'; did you mean 'basic'?"),
        ({"carry": ["sha265"]}, "has no column 'sha265'; did you mean 'sha256'?"),
        ({"carry": ["uid"]}, "'uid' is written already"),
        ({"uid": "UIDS"}, "has no column 'UIDS'"),
        ({"uid": "url"}, "holds no uids: its first value is 'http://example.org/0.jpg'"),
        ({"uid": "original_width"}, "is int64, not text"),
        ({"key": "url"}, "names its pairs by 'url' alone, which only their shards resolve to uids"),
    ],
)
def test_what_cannot_be_taken_is_said_in_a_sentence(
    tmp_path: Path, options: dict[str, object], said: str
) -> None:
    source = write_metadata(tmp_path / "t", range(3))
    with pytest.raises(InputError) as caught:
        import_scores([str(source)], tmp_path / "out", **options)  # type: ignore[arg-type]
    assert said in str(caught.value)
    assert not (tmp_path / "out/parts").exists()


def test_a_table_without_uids_keys_or_numbers_says_what_it_has(tmp_path: Path) -> None:
    sources = one_file(tmp_path / "t", pa.table({"url": ["a"], "score": [0.1]}))
    with pytest.raises(InputError, match="has no column 'uid' among url, score; name it with --uid COLUMN"):
        import_scores(sources, tmp_path / "out")
    sources = one_file(tmp_path / "t", pa.table({"uid": [uid(0)], "width": [3]}))
    with pytest.raises(InputError, match="no column of floating-point numbers among uid, width"):
        import_scores(sources, tmp_path / "out")


def bad_files(folder: Path) -> None:
    """What stands beside good files when a download broke off, or a file system did."""
    (folder / "zero.parquet").write_bytes(b"")
    whole = (folder / "00.parquet").read_bytes()
    (folder / "cut.parquet").write_bytes(whole[:-200])
    (folder / "page.parquet").write_text("<html>404</html>", encoding="utf-8")
    (folder / "link.parquet").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe.parquet")
    (folder / "folder.parquet").mkdir()


def test_damaged_files_are_named_and_do_not_stop_the_others(tmp_path: Path) -> None:
    folder = write_metadata(tmp_path / "t", range(4), range(4, 6))
    bad_files(folder)
    made = import_scores([str(folder)], tmp_path / "out")
    assert made.filled.summary.num_pairs == 6
    assert {Path(path).name for path in made.filled.summary.unreadable} == {
        *("zero.parquet", "cut.parquet", "page.parquet", "link.parquet", "pipe.parquet")
    }  # a folder that is called like a file is no file
    assert made.filled.incomplete
    assert "5 of 7 files were not taken, or not whole" in made.status[0]
    (folder / "link.parquet").unlink()
    pq.write_table(metadata([6]), folder / "link.parquet")
    again = import_scores([str(folder)], tmp_path / "out")
    assert (
        again.filled.summary.num_pairs,
        again.filled.summary.new_pairs,
        len(again.filled.summary.unreadable),
    ) == (7, 1, 4)


def test_what_stands_before_a_damaged_page_is_kept_and_the_rest_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_tables, "ROWS_A_PART", 8)
    whole = tmp_path / "whole.parquet"
    pq.write_table(metadata(range(24)), whole, row_group_size=8, compression="zstd")
    group = pq.read_metadata(whole).row_group(1)
    places = [group.column(number).data_page_offset for number in range(group.num_columns)]
    data = bytearray(whole.read_bytes())
    for place in places:
        data[place : place + 24] = bytes(24)
    (tmp_path / "m").mkdir()
    (tmp_path / "m/00.parquet").write_bytes(data)
    made = import_scores([str(tmp_path / "m")], tmp_path / "out")
    (reason,) = made.filled.summary.unreadable.values()
    assert reason.startswith("cannot be read")
    assert [row["uid"] for row in rows_of(tmp_path / "out")] == [uid(number) for number in range(8)]
    assert json.loads((tmp_path / "out/scores.json").read_text())["unreadable"][0]["reason"] == reason


def test_tables_are_read_from_any_file_system(tmp_path: Path) -> None:
    root = f"memory://{tmp_path.name}"
    folder = write_metadata(tmp_path / "m", range(4), range(4, 6))
    for path in folder.iterdir():
        fsspec.filesystem("memory").pipe(f"{root}/{path.name}", path.read_bytes())
    for source in (f"{root}/{{00..01}}.parquet", f"{root}/*.parquet", root):
        made = import_scores([source], tmp_path / str(len(source)))
        assert (made.filled.summary.num_pairs, made.filled.summary.unreadable) == (6, {})


def test_a_link_to_a_file_is_the_file(tmp_path: Path) -> None:
    folder = write_metadata(tmp_path / "t", range(4))
    (tmp_path / "links").mkdir()
    (tmp_path / "links/a.parquet").symlink_to(folder / "00.parquet")
    assert import_scores([str(tmp_path / "links")], tmp_path / "out").filled.summary.num_pairs == 4


def test_where_nothing_can_be_read_nothing_is_begun(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"none of the 1 files can be taken; the first is .*a.parquet"):
        import_scores([str(tmp_path / "a.parquet")], tmp_path / "out")
    for source, said in (
        (tmp_path / "absent", "there is no file or folder"),
        (tmp_path / "*.parq", "matches nothing"),
        (tmp_path, "cannot be read as Parquet"),
    ):
        with pytest.raises(InputError, match=said):
            import_scores([str(source)], tmp_path / "out")
    (tmp_path / "t.csv").write_text("uid,score\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"t.csv is no Parquet file"):
        import_scores([str(tmp_path / "t.csv")], tmp_path / "out")


def test_a_large_file_becomes_several_parts_whatever_its_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_tables, "ROWS_A_PART", 7)
    made = {}
    for rows_a_group in (3, 10, 100):
        folder = tmp_path / str(rows_a_group)
        folder.mkdir()
        pq.write_table(metadata(range(30)), folder / "m.parquet", row_group_size=rows_a_group)
        import_scores([str(folder)], folder / "out")
        made[rows_a_group] = [
            pq.read_table(part).drop_columns("shard") for part in list_parts(folder / "out")
        ]
        assert [table.num_rows for table in made[rows_a_group]] == [7, 7, 7, 7, 2]
    assert made[3] == made[10] == made[100]


def test_a_finished_file_is_not_read_again_and_new_ones_are_added(tmp_path: Path) -> None:
    folder = write_metadata(tmp_path / "t", range(5))
    import_scores([str(folder)], tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in list_parts(tmp_path / "out")}
    pq.write_table(metadata([7, 8]), folder / "01.parquet")
    made = import_scores([str(folder)], tmp_path / "out")
    assert (made.filled.summary.num_pairs, made.filled.summary.new_pairs) == (7, 2)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_other_columns_shards_or_a_changed_file_are_refused(tmp_path: Path) -> None:
    folder = write_metadata(tmp_path / "t", range(5))
    import_scores([str(folder)], tmp_path / "out")
    with pytest.raises(InputError, match=f"has the scores {B32}, {L14}, this run imports {L14}"):
        import_scores([str(folder)], tmp_path / "out", columns=[L14])
    with pytest.raises(InputError, match="was joined to other shards"):
        import_scores([str(folder)], tmp_path / "out", shards=write_shards(tmp_path / "s", (3,)))
    with pytest.raises(InputError, match="which has no such place among the 1 files"):
        import_scores(one_file(tmp_path / "u", metadata([1]), "zz.parquet"), tmp_path / "out")
    pq.write_table(metadata(range(6)), folder / "00.parquet")
    with pytest.raises(InputError, match="changed since it was imported"):
        import_scores([str(folder)], tmp_path / "out")


def test_scores_computed_here_and_imported_in_another_order_make_the_same_pools(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (20, 17))
    score_shards(shards, tmp_path / "ours", [parse_scorer("caption")])
    table = pa.concat_tables([pq.read_table(part) for part in list_parts(tmp_path / "ours")])
    shuffled = table.take(pa.array(np.random.default_rng(0).permutation(len(table))))
    published = shuffled.select(["uid", "caption_score"]).rename_columns(["uid", "quality"])
    import_scores(one_file(tmp_path / "t", published), tmp_path / "theirs", shards=shards)
    pools = {}
    for name, by in (("ours", "caption"), ("theirs", "quality")):
        cut(tmp_path / name, by=by, thresholds=(0.6, 0.4), out=tmp_path / f"{name}-pools")
        found = pq.read_table(tmp_path / f"{name}-pools/pools.parquet").sort_by("uid")
        pools[name] = found.select(["uid", "score", "pool", "key", "shard", "caption"]).to_pydict()
    assert pools["ours"] == pools["theirs"]
    assert len(set(pools["ours"]["pool"])) == 2


def test_an_import_by_name_looks_each_name_up_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = write_shards(tmp_path / "in", (4, 3))
    keys = [f"{number:09d}" for number in range(7)]
    source = one_file(tmp_path / "t", pa.table({"key": keys, "clip": pa.array(np.arange(7.0))}))
    looked_up: list[str] = []
    of_name = ShardPairs._of_name
    monkeypatch.setattr(
        ShardPairs, "_of_name", lambda self, name: (looked_up.append(name), of_name(self, name))[1]
    )
    import_scores(source, tmp_path / "scores", columns=["clip"], shards=shards)
    assert looked_up == keys
    assert [row["clip"] for row in rows_of(tmp_path / "scores")] == list(range(7))


@pytest.mark.parametrize(
    "captions", [[{"text": "red"}] * 3, [["red"]] * 3, pa.array([1, 2, 3], pa.timestamp("ns"))]
)
def test_captions_that_are_no_text_are_left_out(tmp_path: Path, captions: object) -> None:
    write_metadata(tmp_path / "in", [0, 1, 2], text=captions)
    made = import_scores([str(tmp_path / "in")], tmp_path / "out")
    assert made.filled.summary.num_pairs == 3


def test_views_of_text_are_carried_as_text(tmp_path: Path) -> None:
    sums = pa.array([f"{number:064x}" for number in (0, 1, 2)], pa.string_view())
    write_metadata(tmp_path / "in", [0, 1, 2], sha256=sums)
    import_scores([str(tmp_path / "in")], tmp_path / "out", carry=("sha256",))
    (part,) = list_parts(tmp_path / "out")
    assert pq.read_table(part).column("sha256").to_pylist() == sums.to_pylist()
