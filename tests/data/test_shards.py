import io
import json
import os
import random
import tarfile
import uuid
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.bad_pool import DECODE_CASES, OK, jpeg, pair_members, write_tar
from thresher.data.pairs import Pair, Reject, uid_of
from thresher.data.patterns import expand
from thresher.data.shards import read_pairs

UID = "0123456789abcdef" * 2


def read(path: Path | str, **options) -> tuple[dict[str, Pair], dict[str, Reject]]:
    items = list(read_pairs(str(path), **options))
    return (
        {item.key: item for item in items if isinstance(item, Pair)},
        {item.key: item for item in items if isinstance(item, Reject)},
    )


def test_every_bad_input_is_a_pair_or_a_reject_with_its_reason(bad_pool):
    folder, expected = bad_pool
    outcomes = {}
    for shard in expand(str(folder)):
        for item in read_pairs(shard):
            if isinstance(item, Pair):
                outcomes[item.key] = OK
            else:
                outcomes[item.key or Path(shard).name] = item.reason
                assert item.stage == "read"
                assert 0 <= item.offset <= Path(shard).stat().st_size
    assert set(outcomes) == set(expected)
    for case, outcome in expected.items():
        assert (OK if case in DECODE_CASES else outcome) in outcomes[case], case


def test_captions_come_through_unchanged(bad_pool):
    pairs, _ = read(bad_pool[0] / "00000.tar")
    assert pairs["emoji"].caption == "a cat 🐈‍⬛ and a 🌈"
    assert pairs["right_to_left"].caption == "صورة قطة على سجادة"
    assert pairs["html"].caption == "<script>alert('caption')</script> & <b>bold</b>"


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # webdataset leaves the file open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_tar_file_that_webdataset_wrote_reads_alike(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    path = tmp_path / "00000.tar"
    with webdataset.TarWriter(str(path)) as writer:
        for number in range(5):
            writer.write(
                {
                    "__key__": f"{number:09d}",
                    "jpg": jpeg(number),
                    "txt": f"pair {number}",
                    "cls": number,
                    "json": {"n": number},
                }
            )
    pairs, rejects = read(path)
    assert not rejects
    theirs = list(webdataset.WebDataset(str(path), shardshuffle=False))
    assert [sample["__key__"] for sample in theirs] == list(pairs)
    for sample, pair in zip(theirs, pairs.values(), strict=True):
        assert sample["jpg"] == pair.image_bytes
        assert sample["txt"].decode() == pair.caption
        assert pair.meta == {"n": int(pair.key), "cls": int(pair.key)}


def test_members_point_at_the_bytes_of_the_unmodified_file(tmp_path):
    path = tmp_path / "x.tar"
    members = pair_members("deep/er/key", jpeg(1), "a caption", uid=UID)
    write_tar(path, [*members, ("deep/er/key.seg.png", b"mask")])
    pair = read(path)[0]["deep/er/key"]
    data = path.read_bytes()
    found = [(member.ext, data[member.offset :][: member.length]) for member in pair.members]
    assert found == [
        ("jpg", members[0][1]),
        ("txt", b"a caption"),
        ("json", members[2][1]),
        ("seg.png", b"mask"),
    ]
    assert pair.image == pair.members[0]
    assert {member.path for member in pair.members} == {str(path)}


def test_the_uid_is_the_json_s_or_else_comes_from_the_content(tmp_path):
    write_tar(
        tmp_path / "x.tar",
        [
            *pair_members("named", jpeg(1), "a", uid=UID.upper()),
            *pair_members("odd", jpeg(1), "a", uid="not hexadecimal"),
            *pair_members("other_caption", jpeg(1), "b"),
        ],
    )
    for with_images in (True, False):
        pairs, _ = read(tmp_path / "x.tar", with_images=with_images)
        assert pairs["named"].uid == UID
        assert pairs["odd"].uid == uid_of(jpeg(1), "a")
        assert pairs["other_caption"].uid == uid_of(jpeg(1), "b") != pairs["odd"].uid
        assert (pairs["named"].image_bytes is None) == (not with_images)


def test_equal_content_without_a_uid_is_a_duplicate(tmp_path):
    write_tar(tmp_path / "x.tar", [*pair_members("one", jpeg(1), "a"), *pair_members("two", jpeg(1), "a")])
    pairs, rejects = read(tmp_path / "x.tar")
    assert list(pairs) == ["one"]
    assert "duplicate uid" in rejects["two"].reason
    assert rejects["two"].uid == pairs["one"].uid


def test_excluded_pairs_leave_their_uid_and_the_stage(tmp_path):
    write_tar(
        tmp_path / "x.tar", [*pair_members("out", jpeg(1), "a", uid=UID), *pair_members("in", jpeg(2), "b")]
    )
    pairs, rejects = read(tmp_path / "x.tar", exclude=frozenset({UID}))
    assert list(pairs) == ["in"]
    assert (rejects["out"].stage, rejects["out"].uid) == ("exclude", UID)


def test_a_split_pair_is_refused_once_and_never_merged(tmp_path):
    one, two = pair_members("one", jpeg(1), "a", uid=UID), pair_members("two", jpeg(2), "b")
    for order in ([one[0], two[0], one[1], two[1]], [*one[:2], *two, one[2]], [one[0], *two, one[1], *two]):
        write_tar(tmp_path / "x.tar", order)
        items = list(read_pairs(str(tmp_path / "x.tar")))
        verdicts = [item for item in items if item.key == "one"]
        assert len(verdicts) == 1
        assert isinstance(verdicts[0], Reject)
        assert "not adjacent" in verdicts[0].reason


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([("a.jpg", b"x"), ("a.png", b"y"), ("a.txt", b"t")], "several images"),
        ([("a.jpg", b"x"), ("a.JPG", b"y"), ("a.txt", b"t")], "two members with the extension .jpg"),
        ([("a.jpg", b"x"), ("a.txt", b"t"), ("a.json", b"[1]")], "holds a list"),
        ([("a.jpg", b"x"), ("a.txt", b"t"), ("a.json", b"[" * 100_000)], "nested too deeply"),
        ([("a.jpg", b"x"), ("a.txt", b"t"), ("a.json", b"\xff\xfe\x00")], "json does not parse"),
        ([("a.jpg", b"x"), ("a.txt", b"t"), ("a.json", b" " * 5_000_000)], "the json has 5000000 bytes"),
        ([("a.json", b"{}")], "no image"),
        ([("a.jpg", b"x"), (f"a.{'x' * 256}", b"y")], "has 256 characters, more than 255"),
        ([("a\\..\\b.jpg", b"x")], "points outside"),
        ([("C:/b.jpg", b"x")], "points outside"),
        ([("caf\udce9.jpg", b"x")], "not valid UTF-8"),
    ],
)
def test_a_pair_that_is_none_gets_its_reason(tmp_path, members, reason):
    with_bytes = tmp_path / "x.tar"
    write_tar(with_bytes, members)
    (item,) = read_pairs(str(with_bytes))
    assert isinstance(item, Reject)
    assert reason in item.reason
    item.key.encode("utf-8")


def test_a_folder_whose_name_ends_in_a_colon_is_no_drive(tmp_path):
    write_tar(tmp_path / "x.tar", pair_members("Notes:/a", jpeg(1), "one"))
    (pair,) = read_pairs(str(tmp_path / "x.tar"))
    assert (pair.key, pair.caption) == ("Notes:/a", "one")


def test_a_name_with_a_nul_is_refused(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        for name, path, data in (("a.jpg", "a.jpg", b"x"), ("a.txt", "a.txt\0", b"t")):
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = len(data), {"path": path}
            tar.addfile(info, io.BytesIO(data))
    (item,) = read_pairs(str(tmp_path / "x.tar"))
    assert isinstance(item, Reject)
    assert item.reason == "the member name holds a NUL byte"


def test_what_no_reader_takes_for_data_is_passed_over(tmp_path):
    members = [
        ("README", b"x"),
        ("__len__", b"1"),
        ("._a.jpg", b"mac"),
        *pair_members("./a", jpeg(1), "\ufeffone\r\n"),
    ]
    write_tar(tmp_path / "x.tar", members)
    (pair,) = read_pairs(str(tmp_path / "x.tar"))
    assert isinstance(pair, Pair)
    assert (pair.key, pair.caption) == ("a", "one")


def test_a_shard_that_cannot_be_opened_is_one_reject(tmp_path):
    (tmp_path / "folder.tar").mkdir()
    os.mkfifo(tmp_path / "pipe.tar")
    for name, reason in (("absent.tar", "No such file"), ("folder.tar", "folder"), ("pipe.tar", "a pipe")):
        (item,) = read_pairs(str(tmp_path / name))
        assert isinstance(item, Reject)
        assert item.key == ""
        assert reason in item.reason


def test_a_remote_shard_reads_like_a_local_one(bad_pool):
    url = f"memory://{uuid.uuid4().hex}/00000.tar"
    path = bad_pool[0] / "00000.tar"
    fsspec.filesystem("memory").pipe(url, path.read_bytes())
    for local, remote in zip(read_pairs(str(path)), read_pairs(url), strict=True):
        assert local.key == remote.key
        assert local.uid == remote.uid
        assert getattr(local, "image_bytes", None) == getattr(remote, "image_bytes", None)
    (item,) = read_pairs("memory://nowhere/0.tar")
    assert isinstance(item, Reject)


PIECES = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["jpg", "txt", "json", "png"])), max_size=7
)


@given(pieces=PIECES, seed=st.integers(0, 99))
def test_each_key_gets_exactly_one_verdict(tmp_path_factory, pieces, seed):
    data = {"txt": b"words", "json": json.dumps({"seed": seed}).encode(), "jpg": b"image", "png": b"image"}
    path = tmp_path_factory.getbasetemp() / "pieces.tar"
    write_tar(path, [(f"{key}.{ext}", data[ext] + key.encode() * (ext == "jpg")) for key, ext in pieces])
    items = list(read_pairs(str(path)))
    assert sorted(item.key for item in items) == (sorted({key for key, _ in pieces}) or [""])
    runs = [key for place, (key, _) in enumerate(pieces) if place == 0 or pieces[place - 1][0] != key]
    for item in items:
        if isinstance(item, Pair):
            assert runs.count(item.key) == 1
            exts = [ext for key, ext in pieces if key == item.key]
            assert "txt" in exts
            assert len(exts) == len(set(exts))
            assert ("jpg" in exts) != ("png" in exts)


def test_a_shard_cut_at_any_place_never_raises(tmp_path):
    path = tmp_path / "x.tar"
    write_tar(
        path,
        [member for n in range(3) for member in pair_members(f"{n}", jpeg(n), "some words", uid=f"{n:032x}")],
    )
    data = path.read_bytes()
    whole, _ = read(path)
    for keep in random.Random(0).sample(range(len(data)), 60):
        path.write_bytes(data[:keep])
        pairs, rejects = read(path)
        assert all(pair.image_bytes == whole[key].image_bytes for key, pair in pairs.items())
        end = whole["2"].members[-1]
        assert rejects or keep >= end.offset + end.length
