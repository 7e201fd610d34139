import itertools
import os
import re
import uuid
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.bad_pool import jpeg, pair_members, write_refused, write_tar
from thresher.data.braces import expand_braces
from thresher.data.patterns import expand, expand_files
from thresher.data.shard_index import index_shard
from thresher.errors import InputError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


@given(
    st.lists(
        st.one_of(
            st.tuples(st.integers(0, 30), st.integers(0, 30)),
            st.lists(st.sampled_from(["a", "b", "c/d", ""]), min_size=2, max_size=3),
        ),
        max_size=3,
    )
)
def test_braces_expand_to_the_product_of_their_choices(parts):
    text, choices = "x", [["x"]]
    for part in parts:
        if isinstance(part, tuple):
            first, last = part
            text += f"{{{first:03d}..{last:03d}}}-"
            step = 1 if last >= first else -1
            choices.append([f"{number:03d}-" for number in range(first, last + step, step)])
        else:
            text += "{" + ",".join(part) + "}-"
            choices.append([choice + "-" for choice in part])
    assert list(expand_braces(text)) == ["".join(chosen) for chosen in itertools.product(*choices)]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("{8..11}", ["8", "9", "10", "11"]),
        ("{08..10}", ["08", "09", "10"]),
        ("{0..4..2}", ["0", "2", "4"]),
        ("{a..c}", ["a", "b", "c"]),
        ("{x,{1..2}}", ["x", "1", "2"]),
        ("plain", ["plain"]),
    ],
)
def test_braces_read_like_those_of_a_shell(pattern, names):
    assert list(expand_braces(pattern)) == names


def test_a_range_without_end_is_refused_before_it_fills_the_memory():
    with pytest.raises(InputError, match="more than"):
        list(expand_braces("{0..99999999999}.tar"))
    with pytest.raises(InputError, match="neither a range"):
        list(expand_braces("{0..%s}.tar" % ("9" * 5000)))


def test_inputs_that_are_no_shards_get_one_sentence_that_names_them(tmp_path):
    for pattern, fragment in write_refused(tmp_path).items():
        with pytest.raises(InputError, match=r".") as caught:
            expand(pattern)
        assert fragment in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_list_that_the_shell_expanded_names_the_first_missing_shard_and_their_number(tmp_path):
    touch(tmp_path, "0.tar", "1.tar")
    with pytest.raises(
        InputError, match=r"2 of the 4 shards named are missing, the first is .*2\.tar.*quotes"
    ):
        expand([str(tmp_path / f"{number}.tar") for number in range(4)])


def test_sources_keep_their_order_and_each_shard_comes_once(tmp_path):
    touch(tmp_path, "b/0.tar", "a/0.tar", "a/1.tar")
    assert expand(f"{tmp_path}/b/0.tar::{tmp_path}/a/{{0..1}}.tar") == [
        f"{tmp_path}/b/0.tar",
        f"{tmp_path}/a/0.tar",
        f"{tmp_path}/a/1.tar",
    ]
    assert expand([f"{tmp_path}/a/1.tar", f"{tmp_path}/a"]) == [f"{tmp_path}/a/1.tar", f"{tmp_path}/a/0.tar"]


def test_tables_and_counts_beside_tar_files_are_not_taken_for_shards(tmp_path):
    touch(tmp_path, "00000.tar", "00000.parquet", "00000_stats.json", "00001.tar", "sizes.json", ".00002.tar")
    tars = [f"{tmp_path}/00000.tar", f"{tmp_path}/00001.tar"]
    assert expand(str(tmp_path)) == tars
    assert expand(f"{tmp_path}/*") == tars
    assert expand(f"{tmp_path}/0000?.tar") == tars
    assert expand(f"{tmp_path}/00000.parquet") == [f"{tmp_path}/00000.parquet"]


def test_a_folder_of_images_is_one_shard_and_a_folder_of_tables_is_its_tables(tmp_path):
    touch(
        tmp_path,
        "photos/in/a.jpg",
        "photos/notes.csv",
        "tables/b.parquet",
        "tables/a.csv",
        "tables/readme.md",
    )
    assert expand(f"{tmp_path}/photos") == [f"{tmp_path}/photos"]
    assert expand(f"{tmp_path}/tables/") == [f"{tmp_path}/tables/a.csv", f"{tmp_path}/tables/b.parquet"]


def test_a_folder_that_pretends_to_be_a_tar_file_stops_its_parent_too(tmp_path):
    touch(tmp_path, "0.tar", "1.tar/inner.txt")
    with pytest.raises(InputError, match=r"1\.tar is a folder"):
        expand(str(tmp_path))
    with pytest.raises(InputError, match=r"1\.tar is a folder"):
        expand(f"{tmp_path}/*.tar")


def test_a_name_with_braces_that_exists_is_taken_as_it_is(tmp_path):
    touch(tmp_path, "{a,b}.tar")
    assert expand(f"{tmp_path}/{{a,b}}.tar") == [f"{tmp_path}/{{a,b}}.tar"]


def test_nothing_and_half_patterns_are_refused():
    for patterns, fragment in (([], "no shards"), (["a.tar::"], "one side"), (["filecache::"], "one side")):
        with pytest.raises(InputError, match=fragment):
            expand(patterns)


def test_urls_expand_like_paths(tmp_path):
    root = f"memory://{uuid.uuid4().hex}"
    write_tar(tmp_path / "x.tar", pair_members("a", jpeg(1), "a"))
    for number in range(3):
        fsspec.filesystem("memory").pipe(f"{root}/{number}.tar", (tmp_path / "x.tar").read_bytes())
    urls = [f"{root}/{number}.tar" for number in range(3)]
    assert expand(f"{root}/{{0..2}}.tar") == urls
    assert [url.replace(":///", "://") for url in expand(f"{root}/*.tar")] == urls
    assert [url.replace(":///", "://") for url in expand(root)] == urls
    with pytest.raises(InputError, match=r"1 of the 4 shards named are missing, the first is .*/3\.tar"):
        expand(f"{root}/{{0..3}}.tar")
    with pytest.raises(InputError, match="there is no file or folder"):
        expand(f"{root}/nowhere/0.tar")
    with pytest.raises(InputError, match="unknownproto"):
        expand("unknownproto://bucket/0.tar")


def test_files_of_one_ending_are_found_in_folders_globs_and_urls(tmp_path):
    root = f"memory://{uuid.uuid4().hex}"
    for name in ("b.parquet", "a.PARQUET", "c.npz", ".d.parquet"):
        (tmp_path / name).write_bytes(b"x")
    for name in ("b.parquet", "c.parquet", "c.npz"):
        fsspec.filesystem("memory").pipe(f"{root}/{name}", b"x")
    (tmp_path / "e.parquet").mkdir()
    found = [f"{tmp_path}/a.PARQUET", f"{tmp_path}/b.parquet"]
    assert expand_files(str(tmp_path), ".parquet") == found
    assert expand_files([f"{tmp_path}/b.parquet", f"{tmp_path}/*.P*", found[0]], ".parquet") == found[::-1]
    urls = [f"{root}/{name}.parquet" for name in "bc"]
    assert expand_files(f"{root}/{{b,c}}.parquet::{urls[0]}", ".parquet") == urls
    for pattern in (root, f"{root}/*"):
        assert [url.replace(":///", "://") for url in expand_files(pattern, ".parquet")] == urls
    with pytest.raises(InputError, match=r"holds no \.csv file; of files below it write"):
        expand_files(str(tmp_path), ".csv")
    with pytest.raises(InputError, match=r"1 of the 3 files named are missing, the first is .*/d\.parquet"):
        expand_files(f"{root}/{{b,c,d}}.parquet", ".parquet")


def test_a_name_that_is_not_utf8_is_refused_with_its_bytes(tmp_path):
    write_tar(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.tar")), [])
    with pytest.raises(
        InputError, match=r"caf\\udce9\.tar is not valid UTF-8, as shards' names have to be; rename"
    ):
        expand(str(tmp_path / "*.tar"))


def test_a_shard_with_a_very_long_name_can_be_indexed(tmp_path):
    name = str(tmp_path / ("ä" * 120 + ".tar"))
    write_tar(Path(name), [("0.jpg", jpeg(0)), ("0.txt", b"a caption")])
    for _ in range(2):
        assert index_shard(name, tmp_path / "index").pairs.num_rows == 1


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        ("pipe:aws s3 cp 's3://bucket/{000..009}.tar' -", "addresses s3://bucket/{000..009}.tar themselves"),
        ("pipe:cat 000.tar", "name the files or addresses themselves"),
        ("x.tar::pipe:curl -s https://example.org/0.tar", "https://example.org/0.tar themselves"),
    ],
)
def test_messages_that_mislead_a_pipe_is_refused_with_what_it_reads(pattern, named):
    for expanded in (expand, lambda text: expand_files(text, ".parquet")):
        with pytest.raises(InputError, match=f"not read through a command; .*{re.escape(named)}"):
            expanded(pattern)


@pytest.mark.parametrize("folder", ["[v2]", "what?", "a*b", "{v2}", "in/[v2]/{a,b}"])
def test_messages_that_mislead_what_exists_is_no_pattern(tmp_path, monkeypatch, folder):
    touch(tmp_path, f"{folder}/0.tar", f"{folder}/1.tar", "v/0.tar", "2/0.tar")
    monkeypatch.chdir(tmp_path)
    both = [f"{folder}/0.tar", f"{folder}/1.tar"]
    for pattern in (folder, f"{folder}/*.tar", f"{folder}/{{0..1}}.tar", "::".join(both)):
        assert expand(pattern) == both
    assert expand(f"{folder}/[1].tar") == both[1:]
    memory = fsspec.filesystem("memory")
    for name in both:
        memory.pipe(f"/{tmp_path.name}/{name}", b"x")
    if "{" not in folder:
        found = expand(f"memory://{tmp_path.name}/{folder}/*.tar")
        assert [name.rpartition("/")[2] for name in found] == ["0.tar", "1.tar"]


def test_messages_that_mislead_a_shard_named_twice_counts_once_and_this_is_said(
    tmp_path, monkeypatch, caplog
):
    touch(tmp_path, "a.tar", "b.tar")
    (tmp_path / "link.tar").symlink_to("a.tar")
    monkeypatch.chdir(tmp_path)
    assert expand(["a.tar", "b.tar", "./a.tar", str(tmp_path / "b.tar"), "link.tar"]) == ["a.tar", "b.tar"]
    assert "3 of the files named stand there twice, the first is ./a.tar; each counts once" in caplog.text
