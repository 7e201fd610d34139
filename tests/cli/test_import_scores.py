"""`thresher import-scores` and `import-embeddings` from the command line: what they print and refuse."""

import json
import shlex
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import typer

from tests.cli.conftest import Call
from tests.scores.imported.published import write_clip_retrieval, write_metadata, write_npz
from tests.small_pool import uid, write_shards
from thresher.cli import app
from thresher.data.files.lock import folder_lock
from thresher.scores.rules import RULES


def test_the_commands_of_the_docs_are_calls_that_parse() -> None:
    text = (Path(__file__).parents[2] / "docs" / "importing.md").read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in text.split("```bash\n")[1:]]
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    for name, least in (("import-scores", 4), ("import-embeddings", 2)):
        commands = [shlex.split(line) for line in lines if line.startswith(f"thresher {name} ")]
        assert len(commands) >= least
        for words in commands:
            typer.main.get_command(app).commands[name].make_context(name, words[2:])


def test_the_page_names_every_rule(call: Call) -> None:
    assert "|".join(RULES) in call("import-scores", "--help").stdout


def test_what_was_imported_is_said_to_people_and_programs(call: Call, tmp_path: Path) -> None:
    write_metadata(tmp_path / "m", range(5), [5, 6, 5])
    command = ("import-scores", tmp_path / "m", "--column", "clip=clip_b32_similarity_score")
    done = call(*command, "--out", tmp_path / "out")
    first, _, *rest = done.stdout.splitlines()
    assert first == f"7 pairs of 2 files have scores (clip) in {tmp_path}/out"
    assert rest == ["1 in quarantine:", "  1  duplicate uid: row N of this file has it"]
    assert (done.exit_code, done.stderr) == (0, "")
    record = json.loads(call(*command, "--out", tmp_path / "out", "--json").stdout)
    assert (record["files"], record["rows"], record["pairs"], record["this_run"]["pairs"]) == (2, 8, 7, 0)
    assert record["columns"] == ["clip"]


def test_embeddings_of_clip_retrieval_come_in_through_options_alone(call: Call, tmp_path: Path) -> None:
    write_shards(tmp_path / "in", (3, 3))
    write_clip_retrieval(tmp_path / "e", [(4, "000000004"), (1, "000000001")])
    options = ("--model", "ViT-B-32", "--shards", f"{tmp_path}/in/{{00000..00001}}.tar")
    done = call("import-embeddings", tmp_path / "e", *options, "--out", tmp_path / "out")
    assert f"2 pairs of 1 files have embeddings of 16 dimensions by ViT-B-32 in {tmp_path}/out" in done.stdout
    assert "4 of 6 pairs of the shards have no row in the tables" in done.stderr
    assert done.exit_code == 0


def test_something_left_undone_ends_in_exit_code_1(call: Call, tmp_path: Path) -> None:
    write_metadata(tmp_path / "m", range(3), range(3, 6))
    write_npz(tmp_path / "m/00.npz", range(3))
    done = call("import-embeddings", tmp_path / "m", "--out", tmp_path / "e")
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    assert "1 of 2 files were not taken, or not whole; the first is" in done.stderr
    assert "01.npz: No such file or directory" in done.stderr
    (tmp_path / "m/01.parquet").write_bytes(b"")
    done = call("import-scores", tmp_path / "m", "--out", tmp_path / "s")
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("m/{00..02}.parquet", "1 of the 3 files named are missing, the first is m/02.parquet"),
        ("m/{00..01.parquet", "opens a brace that it never closes"),
        ("m/absent.parquet", "there is no file or folder m/absent.parquet; check the path"),
        ("m/*.pq", "the pattern m/*.pq matches nothing; check the path, and put patterns in quotes"),
        (".", "the folder . holds no .parquet file; of files below it write './**/*.parquet'"),
        ("in/00000.tar", "in/00000.tar is no Parquet file"),
        ("m --column clip_l14", "did you mean 'clip_l14_similarity_score'?"),
        ("m --shards in/00009.tar", "there is no file or folder in/00009.tar"),
    ],
)
def test_what_cannot_be_found_is_answered_in_one_sentence(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_metadata(Path("m"), range(3), range(3, 6))
    write_shards(Path("in"), (1,))
    done = call("import-scores", *words.split(), "--out", "out")
    assert said in done.stderr
    assert (done.stderr.count("\n"), done.stdout, done.exit_code) == (1, "", 2)
    assert not Path("out/parts").exists()


@pytest.mark.parametrize(
    "pattern", ["m/{00..01}.parquet", "m/*.parquet", "m", "m/00.parquet::m/01.parquet", "**/*.parquet"]
)
def test_files_are_named_as_shards_are(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_metadata(Path("m"), range(3), range(3, 6))
    assert call("import-scores", pattern, "--out", "out").exit_code == 0
    parts = [pq.read_table(part).column("uid").to_pylist() for part in sorted(Path("out/parts").iterdir())]
    assert [name for part in parts for name in part] == [uid(number) for number in range(6)]


def test_a_second_import_into_one_folder_at_once_is_refused(call: Call, tmp_path: Path) -> None:
    write_metadata(tmp_path / "m", range(3))
    with folder_lock(tmp_path / "out"):
        done = call("import-scores", tmp_path / "m", "--out", tmp_path / "out")
    assert (done.exit_code, "another run is writing into" in done.stderr) == (2, True)
