"""Bad input from the shards to the report, through the command line: a sentence or a row for each case."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from tests.data.bad_pool import (
    HOSTILE_KEY,
    OK,
    jpeg,
    pair_members,
    write_bad_images,
    write_bad_pool,
    write_refused,
    write_tar,
)
from tests.report.reading import Page
from tests.small_pool import contents, write_shards
from thresher.cli import app

SECONDS = 600  # a command that takes longer hangs; each of them takes a few on a free core
NUM_GOOD = 40

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")

REFUSED = {
    # tar files
    "empty.tar": "the tar file is empty (0 bytes)",
    "no_members.tar": "the shard holds no pairs",
    "not_a_tar.tar": "this is not a tar file",
    "unfinished.tar": "ends without its end mark, so it was probably cut",
    "pipe.tar": "is a pipe",
    "at_cut": "the tar file is cut: it ends inside the member at_cut.jpg",
    # members
    "../escape": "the member name '../escape.jpg' points outside the archive",
    "/absolute": "points outside the archive",
    "inner/../../escape": "points outside the archive",
    "linked": "is a link, not a file",
    "device": "is a device, not a file",
    "folder_member": "is a folder, not a file",
    "split": "not adjacent: they stand in 2 places",
    "missing_txt": "no .txt member beside .jpg",
    HOSTILE_KEY: "no .txt member beside .jpg",
    "missing_image": "no image among the members .txt",
    "twin_second": "duplicate uid",
    "bad_json": "the json does not parse",
    # images
    "zero_byte_image": "the image is empty (0 bytes)",
    "truncated_jpeg": "cannot be decoded: image file is truncated",
    "png_bomb": "more pixels than the 64000000 that are decoded",
    "not_an_image": "no image of a known format",
    # captions
    "invalid_utf8": "the caption is not valid UTF-8 (byte 3)",
    "huge_caption": "the caption has 1000000 bytes; at most 10000 characters are taken",
    "long_caption": "the caption has 10001 characters; at most 10000 are taken",
    "empty_caption": "the caption is empty",
    # a folder of images
    "directory": "the member .jpg is a folder, not a file",
    "pipe": "a pipe or a broken link",
    "broken_link": "a pipe or a broken link",
    "no_caption": "no .txt member beside .jpg",
    "no_image": "no image among the members .txt",
    "latin": "not valid UTF-8 (byte 3)",
}
"""Case (key, or file name of a shard) -> part of the reason that its one row in the quarantine gives."""

USABLE = {
    "plain": "a photo of a field",
    "emoji": "a cat 🐈‍⬛ and a 🌈",
    "right_to_left": "صورة قطة على سجادة",
    "html": "<script>alert('caption')</script> & <b>bold</b>",
    "control": "a dog and a [2J cat",
    "wordy": "wordy " * 19 + "wordy…",
    "cmyk": "ink on paper",
    "sixteen_bit": "a deep grey scan",
    "animated": "a moving picture",
    "palette": "few colours",
    "exif_rotated": "a photo taken upright",
    "twin_first": "one of two",
    "between": "in the way",
    "before_cut": "the pair before",
    "before_end": "the pair before the end",
    "whole": "the words of whole",
}
"""Case -> its caption as the report shows it."""

UNREADABLE = {"empty.tar", "no_members.tar", "not_a_tar.tar", "pipe.tar"}


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The whole bad folder with a few dozen good pairs, scored, cut and reported by three commands."""
    root = tmp_path_factory.mktemp("bad")
    expected = write_bad_pool(root / "in") | write_bad_images(root / "images")
    write_tar(root / "in/unfinished.tar", pair_members("before_end", jpeg(40), USABLE["before_end"]))
    end = (root / "in/unfinished.tar").read_bytes().rindex(USABLE["before_end"].encode()) + 512
    os.truncate(root / "in/unfinished.tar", end // 512 * 512)
    os.mkfifo(root / "in/pipe.tar")
    expected |= {"unfinished.tar": "without its end mark", "before_end": OK, "pipe.tar": "is a pipe"}
    write_shards(root / "good", (24, NUM_GOOD - 24))
    (root / "here").mkdir()
    before = _files(root)
    scorers = ("--scorer", "clip:model=thresher-tiny-32", "--scorer", "caption", "--device", "cpu")
    made = SimpleNamespace(root=root, expected=expected, before=before)
    made.score = _call(root, "score", "../in", "../good", "../images", *scorers, "--out", "../work/scores")
    cut = ("cut", "../work/scores", "--by", "clip", "--edges", "0.5,1", "--out", "../work/pools")
    made.cut = _call(root, *cut)
    made.report = _call(root, "report", "../work", "--gallery", "100")
    made.after = _files(root)
    assert made.report.returncode == 0, made.report.stderr
    made.page = (root / "work/report.html").read_text(encoding="utf-8")
    tables = sorted((root / "work").rglob("*quarantine.parquet"))
    made.quarantine = [row for path in tables for row in pq.read_table(path).to_pylist()]
    made.pools = pq.read_table(root / "work/pools/pools.parquet").to_pylist()
    return made


def _call(root: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.run(
        [sys.executable, "-m", "thresher.cli", *arguments],
        cwd=root / "here",
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def _files(root: Path) -> dict[str, int]:
    """Every file and folder below `root` but for the workdir, with the time of its last change."""
    found = sorted(root.rglob("*"))
    names = {path.relative_to(root).as_posix(): path.lstat().st_mtime_ns for path in found}
    return {name: time for name, time in names.items() if name.partition("/")[0] != "work"}


@pytest.mark.slow
def test_every_bad_case_is_one_row_of_the_quarantine(walked: SimpleNamespace) -> None:
    assert set(walked.expected) == REFUSED.keys() | USABLE.keys(), "a case that the tables above do not name"
    reasons = {_case(row): row["reason"] for row in walked.quarantine}
    assert Counter(map(_case, walked.quarantine)) == Counter(REFUSED.keys())
    assert {case for case, reason in REFUSED.items() if reason not in reasons[case]} == set()
    assert {row["stage"] for row in walked.quarantine} == {"read", "score"}


@pytest.mark.slow
def test_every_usable_pair_lands_in_a_pool(walked: SimpleNamespace) -> None:
    keys = Counter(row["key"] for row in walked.pools)
    assert keys == Counter([*USABLE, *(f"{number:09d}" for number in range(NUM_GOOD))])
    assert {row["pool"] for row in walked.pools} == {0, 1}


@pytest.mark.slow
def test_each_command_ends_with_its_code_and_without_a_traceback(walked: SimpleNamespace) -> None:
    codes = [done.returncode for done in (walked.score, walked.cut, walked.report)]
    assert codes == [1, 0, 0], "1: shards that cannot be read leave something undone"
    said = walked.score.stderr + walked.cut.stderr + walked.report.stderr
    assert "Traceback" not in said
    lines = walked.score.stderr.splitlines()
    assert len([line for line in lines if not line.startswith("score: ")]) == 2, "but for the progress"
    assert f"{len(UNREADABLE)} of 10 shards gave no pairs, the first is ../in/empty.tar" in said
    assert f"{NUM_GOOD + len(USABLE)} pairs of 10 shards have scores" in walked.score.stdout
    assert f"{len(REFUSED)} in quarantine:" in walked.score.stdout
    unreadable = json.loads((walked.root / "work/scores/scores.json").read_text())["unreadable"]
    assert {Path(row["shard"]).name: row["reason"] for row in unreadable}.keys() == UNREADABLE
    assert all(REFUSED[Path(row["shard"]).name] in row["reason"] for row in unreadable)


@pytest.mark.slow
def test_nothing_is_written_but_the_workdir(walked: SimpleNamespace) -> None:
    assert walked.after == walked.before
    names = [path.name for path in (walked.root / "work").rglob("*")]
    assert not [name for name in names if "escape" in name or "absolute" in name]
    assert not Path("/absolute.jpg").exists()


@pytest.mark.slow
def test_the_report_shows_captions_as_text(walked: SimpleNamespace) -> None:
    read = Page(walked.page)
    for case, shown in USABLE.items():
        assert shown in read.text, case
    assert "cut, 9,000 characters in all" in read.text
    assert "wordy " * 21 not in walked.page
    assert "word word" not in walked.page, "the caption of 1 MB is in the quarantine and nowhere else"
    words = [attrs for attrs in read.named("p") if attrs.get("class") == "words"]
    assert [attrs["dir"] for attrs in words] == ["auto"] * (NUM_GOOD + len(USABLE))
    assert (
        "&lt;script&gt;alert(&#39;caption&#39;)&lt;/script&gt; &amp; &lt;b&gt;bold&lt;/b&gt;" in walked.page
    )
    assert not {"\0", "\x1b", "\u202e"} & set(walked.page)


@pytest.mark.slow
def test_the_report_is_one_page_without_foreign_markup(walked: SimpleNamespace) -> None:
    read = Page(walked.page)
    assert len(read.code) == 2
    assert read.named("b") == []
    assert all(not name.startswith("on") for _, attrs in read.tags for name in attrs)
    images = [str(attrs["src"]) for attrs in read.named("img")]
    assert len(images) == NUM_GOOD + len(USABLE)
    addresses = [attrs[key] for _, attrs in read.tags for key in ("src", "href", "action") if key in attrs]
    assert all(str(address).startswith(("data:image/jpeg;base64,", "#")) for address in addresses)
    library = max(read.code, key=len)
    assert "http" not in walked.page.replace(library, "").replace("http-equiv", "")
    assert len(walked.page) - len(library) < 500_000


@pytest.mark.slow
def test_the_report_counts_the_quarantine(walked: SimpleNamespace) -> None:
    text = Page(walked.page).text
    of_shards = [row for row in walked.quarantine if not row["key"]]
    assert {Path(row["shard"]).name for row in of_shards} == UNREADABLE | {"unfinished.tar"}
    num_pairs = len(REFUSED) - len(of_shards)
    assert f"{num_pairs} pairs were set aside, and {len(of_shards)} shards in whole or in part" in text
    assert "read the member name '...' points outside the archive 3 " in text
    assert f"00000.tar {HOSTILE_KEY} read no .txt member beside .jpg" in text
    assert "the caption is not valid UTF-8 (byte 3)" in text


def test_pairs_that_are_refused_leave_nothing_undone(tmp_path: Path) -> None:
    write_bad_images(tmp_path / "images")
    done = _invoke("score", tmp_path / "images", "--scorer", "caption", "--out", tmp_path / "out", "--json")
    result = json.loads(done.stdout)
    assert (done.exit_code, result["pairs"], result["quarantined"]) == (0, 1, 6)
    assert result["unreadable"] == {}


def test_shards_without_any_pair_end_in_sentences(tmp_path: Path) -> None:
    (tmp_path / "empty.tar").write_bytes(b"")
    scores = tmp_path / "work/scores"
    scored = _invoke("score", tmp_path / "empty.tar", "--scorer", "caption", "--out", scores)
    assert [line.partition(",")[0] for line in scored.stderr.splitlines()] == [
        "warning: 1 of 1 shards gave no pairs",
        "warning: no pair was scored; look at the quarantine for the reasons",
    ]
    cut = _invoke("cut", scores, "--by", "caption", "--edges", "1", "--out", tmp_path / "work/pools")
    assert (cut.stderr.count("\n"), cut.stdout, scored.exit_code, cut.exit_code) == (1, "", 1, 2)
    assert _invoke("report", tmp_path / "work").exit_code == 0
    text = Page((tmp_path / "work/report.html").read_text(encoding="utf-8")).text
    assert "0 pairs were set aside, and 1 shard in whole or in part" in text
    assert "read the tar file is empty (0 bytes) 1" in text


def test_one_folder_among_tar_files_is_named_before_anything_is_scored(tmp_path: Path) -> None:
    write_shards(tmp_path / "in", (3,))
    (tmp_path / "in/00001.tar").mkdir()
    done = _invoke("score", tmp_path / "in", "--scorer", "caption", "--out", tmp_path / "out")
    assert done.stderr == (
        f"thresher: {tmp_path}/in/00001.tar is a folder, not a file; rename it, or name the files in it\n"
    )
    assert done.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_a_link_to_a_tar_file_is_read_and_a_broken_one_is_named(tmp_path: Path) -> None:
    write_shards(tmp_path / "elsewhere", (3,))
    (tmp_path / "in").mkdir()
    (tmp_path / "in/00000.tar").symlink_to(tmp_path / "elsewhere/00000.tar")
    (tmp_path / "in/00001.tar").symlink_to(tmp_path / "nowhere.tar")
    (tmp_path / "in/00002.tar").symlink_to(tmp_path / "in/00002.tar")
    done = _invoke("score", tmp_path / "in", "--scorer", "caption", "--out", tmp_path / "out", "--json")
    result = json.loads(done.stdout)
    assert (done.exit_code, result["pairs"]) == (1, 3)
    assert {Path(shard).name: reason for shard, reason in result["unreadable"].items()} == {
        "00001.tar": "cannot be read: No such file or directory",
        "00002.tar": "cannot be read: Too many levels of symbolic links",
    }


@needs_bash
@pytest.mark.parametrize("pattern", ["in/{00000..00002}.tar", "in/{00000,00001,00002}.tar", "in/*.tar"])
def test_a_pattern_without_quotes_means_the_same_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_shards(Path("in"), (2, 3, 1))
    for out, word in (("quoted", f"'{pattern}'"), ("bare", pattern), ("partly", f"'in/'{pattern[3:]}")):
        words = _words(word)
        assert len(words) == (1 if out == "quoted" else 3)
        assert _invoke("score", *words, "--scorer", "caption", "--out", out).exit_code == 0
        assert contents(Path(out)) == contents(Path("quoted"))


@needs_bash
@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        ("in/{00000..00002}.tar", "1 of the 3 shards named are missing, the first is in/00001.tar"),
        ("'in/{00000..00002'}.tar", "1 of the 3 shards named are missing, the first is in/00001.tar"),
        ("in/{00000..00002.tar", "'in/{00000..00002.tar' opens a brace that it never closes"),
        ("in/{00000.. 00002}.tar", "'in/{00000..' opens a brace that it never closes"),
        ("in/00000..00002}.tar", "closes a brace that it never opened; put patterns in quotes"),
        ('"in/{00000..$NO_SUCH_VARIABLE}.tar"', "{00000..} in 'in/{00000..}.tar' is neither a range"),
        ("in/0*.tgz", "the pattern in/0*.tgz matches nothing"),
        ("in/d*.tar", "in/directory.tar is a folder, not a tar file"),
        ("in/notes.md", "in/notes.md is no shard"),
        ("in/hollow", "the folder in/hollow holds no tar file, image or table"),
    ],
)
def test_a_pattern_that_the_shell_or_a_typo_spoiled_is_answered_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, part: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_refused(Path("in"))
    done = _invoke("score", *_words(pattern), "--scorer", "caption", "--out", "out")
    assert part in done.stderr
    assert done.stderr.startswith("thresher: ")
    assert (done.stderr.count("\n"), done.stdout, done.exit_code) == (1, "", 2)
    assert not Path("out").exists()


def _case(row: dict[str, str]) -> str:
    return row["key"] or Path(row["shard"]).name


def _invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="thresher")


def _words(text: str) -> list[str]:
    """What bash makes of the text as arguments of a command."""
    command = ["bash", "-c", f"printf '%s\\n' {text}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
