"""Each command alone with a wrong path, column or value: one sentence, exit code 2, no traceback."""

import errno
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from tests.cli.conftest import Call
from tests.data.bad_pool import write_refused
from thresher.cli.guard import guarded
from thresher.errors import InputError

MISTAKES = [
    ("score {root}/absent.tar --scorer caption --out {new}", "there is no file or folder"),
    (
        "score {root}/a.tar {shards} {root}/b.tar --scorer caption --out {new}",
        "2 of the 3 shards named are missing",
    ),
    ("score {shards} --scorer captoin --out {new}", "did you mean 'caption'"),
    ("score {shards} --scorer caption:length=3 --out {new}", "has no option 'length'"),
    ("score {shards} --scorer caption --scorer caption --out {new}", "rename one with as=NAME"),
    ("score {shards} --scorer caption --exclude {root}/absent.txt --out {new}", "there is no exclude list"),
    ("score {shards} --scorer caption --exclude {runs} --out {new}", "line 1 of the exclude list"),
    ("score {shards} --scorer caption --out {runs}", "it is not a folder"),
    ("cut {root}/absent --by clip --edges 0.5 --out {new}", "there are no scores"),
    ("cut {runs} --by clip --edges 0.5 --out {new}", "there are no scores"),
    ("cut {scores} --by clip --edges 0.5 --out {new}", "has no score column 'clip'"),
    ("cut {scores} --by caption --edges 0.5,0.1 --out {new}", "edges must rise"),
    ("cut {scores} --by caption --edges 0.5;1 --out {new}", "'0.5;1' is not a number"),
    ("cut {scores} --by caption --out {new}", "either edges or thresholds"),
    ("cut {scores} --by caption --edges 1 --out {runs}", "it is not a folder"),
    ("probe {pools} --shards {shards} --target 1k --out {new}", "--zeroshot or --retrieval"),
    ("probe {pools} --target 1k --zeroshot {shards} --out {new}", "with --shards"),
    ("probe {pools} --shards {shards} --zeroshot {shards} --out {new}", "--target 32M"),
    ("probe {pools} --shards {shards} --zeroshot {shards} --target 3x --out {new}", "'3x' is not a count"),
    (
        "probe {pools} --shards {shards} --zeroshot {shards} --target 1k --metric accuracy --out {new}",
        "metric = 'accuracy': input should be 'zeroshot_error'",
    ),
    ("probe {pools} --config {root}/absent.toml --out {new}", "there is no config file"),
    ("probe {root} --shards {shards} --zeroshot {shards} --target 1k --out {new}", "there are no pools"),
    ("probe {pools} --shards {root}/x.tar --zeroshot {shards} --target 1k --out {new}", "no file or folder"),
    ("fit {root}/absent.csv --out {new}", "there is no file of runs"),
    ("fit {runs} --error-column loss --out {new}", "no column 'loss'"),
    ("fit {runs} --metric accuracy --out {new}", "no run has the metric 'accuracy'"),
    ("fit {runs} --law linear --out {new}", "there is no law 'linear'"),
    ("fit {runs} --fix d:0.1 --out {new}", "not of the form NAME=NUMBER"),
    ("fit {runs} --fix e=0.1 --out {new}", "'e'"),
    ("fit {runs} --pools {root} --out {new}", "there are no pools"),
    ("fit {shards} --out {new}", "is not UTF-8 text"),
    ("fit {runs} --bootstrap 0 --out {scores}", "a folder of that name"),
    ("fit {runs} --bootstrap 0 --out {runs}/laws.json", "runs.csv: file exists; name another path"),
    ("plan {root}/absent.json --budget 1M --out {new}", "make it with `thresher fit`"),
    ("plan {root} --budget 1M --out {new}", "cannot read"),
    ("plan {plan} --budget 1M --out {new}", "not 'thresher.laws'"),
    ("plan {laws} --budget 1X --out {new}", "'1X' is not a count"),
    ("plan {laws} --pools {root}/absent --budget 1M --out {new}", "make it with `thresher cut`"),
    ("subset {root}/absent.json --budget 80 --pools {pools} --out {new}", "make it with `thresher plan`"),
    ("subset {plan} --budget 81 --pools {pools} --out {new}", "has no budget 81; it has 80, 4k"),
    ("subset {plan} --budget 80 --pools {root} --out {new}", "there are no pools"),
    ("subset {plan} --budget 80 --pools {pools} --format tar --out {new}", "there is no subset format 'tar'"),
    ("subset {plan} --budget 80 --pools {pools} --format shards --out {new}", "name them"),
    ("subset {plan} --budget 80 --pools {pools} --candidate best --out {new}", "no candidate 'best'"),
    ("train {root}/absent.toml", "there is no config file"),
    ("train {runs}", "is not valid TOML"),
    ("evaluate {root}/absent.pt --data {shards}", "there is no checkpoint"),
    ("evaluate {scores}", "with --data"),
    ("evaluate {scores} --data {shards} --task classify", "there is no task 'classify'"),
    ("report {root}/absent", "there is no folder"),
    ("report {scores}", "holds nothing to report on"),
    ("report {root} --out {scores}", "a folder of that name"),
    ("report {root} --shards {root}/absent.tar --out {new}", "there is no file or folder"),
    ("run {root}/absent.toml", "there is no config file"),
    ("run {root}/absent.toml --dry-run", "there is no config file"),
    ("init {runs}", "exists already"),
]


@pytest.mark.parametrize(("line", "part"), MISTAKES)
def test_a_wrong_path_column_or_value_is_answered_in_one_sentence(
    call: Call, stages: SimpleNamespace, tmp_path: Path, line: str, part: str
) -> None:
    done = call(*line.format(**vars(stages), new=tmp_path / "new").split())
    assert part in done.stderr
    assert done.stderr.startswith("thresher: ")
    assert done.stderr.count("\n") == 1
    assert (done.exit_code, done.stdout) == (2, "")


def test_no_stage_starts_on_shards_that_are_none(call: Call, tmp_path: Path) -> None:
    for pattern, part in write_refused(tmp_path / "in").items():
        done = call("score", pattern, "--scorer", "caption", "--out", tmp_path / "out")
        assert part in done.stderr
        assert done.stderr.count("\n") == 1
        assert done.exit_code == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("damage", "part"),
    [
        (lambda path: path.write_text("x"), "pools.parquet is damaged (Parquet"),
        (Path.unlink, "pools.parquet"),
    ],
)
def test_a_table_that_was_damaged_is_said_to_be_so(
    call: Call, stages: SimpleNamespace, tmp_path: Path, damage: Callable[[Path], object], part: str
) -> None:
    shutil.copytree(stages.pools, tmp_path / "pools")
    damage(tmp_path / "pools/pools.parquet")
    done = call(
        "subset", stages.plan, "--budget", "80", "--pools", tmp_path / "pools", "--out", tmp_path / "new"
    )
    assert part in done.stderr
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)


def test_two_exclude_lists_are_refused(call: Call, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        '[shards]\npaths = ["a.tar"]\nexclude = "one.txt"\n[plan]\nbudgets = [1]\n'
        '[evaluate]\nzeroshot = ["b.tar"]\n[score]\nscorers = ["caption"]\n[cut]\nby = "caption_score"\n'
    )
    for line in (
        ("run", config),
        ("train", config),
        ("probe", "pools", "--config", config, "--out", "r.jsonl"),
    ):
        done = call(*line, "--exclude", tmp_path / "two.txt")
        assert "put all uids into one list" in done.stderr
        assert done.exit_code == 2


def test_a_traceback_is_kept_for_our_own_mistakes() -> None:
    def stumble() -> None:
        raise ValueError("a mistake of ours")

    with pytest.raises(ValueError, match="of ours"):
        guarded(stumble)()


@pytest.mark.parametrize(
    ("error", "sentence", "code"),
    [
        (InputError("two\nlines"), "thresher: two lines\n", 2),
        (
            PermissionError(errno.EACCES, "Permission denied", "out/x"),
            "thresher: out/x: permission denied; change its permissions, or name another path\n",
            2,
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "thresher: no space left on device; free some space and run the same command again, it goes on "
            "where it stopped\n",
            2,
        ),
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            'thresher: thresher stumble needs an optional part: pip install "thresher[train]"\n',
            2,
        ),
        (KeyboardInterrupt(), "thresher: stopped; the same command goes on where this one was\n", 130),
    ],
)
def test_what_goes_wrong_outside_is_said_in_one_sentence(
    capsys: pytest.CaptureFixture[str], error: BaseException, sentence: str, code: int
) -> None:
    def stumble() -> None:
        raise error

    with pytest.raises(typer.Exit) as left:
        guarded(stumble)()
    assert (capsys.readouterr().err, left.value.exit_code) == (sentence, code)


def test_a_closed_pipe_ends_a_command_quietly(stages: SimpleNamespace) -> None:
    command = (
        f"{sys.executable} -m thresher.cli plan {stages.laws} --budget 1k --json --out {stages.root}/p.json"
    )
    done = subprocess.run(f"{command} | true", shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


def test_control_characters_of_a_file_reach_no_terminal(call: Call, tmp_path: Path) -> None:
    rows = [f"a\x1b[2J,100,{seen},0.{9 - place}" for place, seen in enumerate((100, 200, 300, 400))]
    table = tmp_path / "runs.csv"
    table.write_text("\n".join(["pool,unique_samples,samples_seen,error", *rows]))
    done = call("fit", table, "--out", tmp_path / "laws.json", "--bootstrap", "0")
    assert done.exit_code == 0, done.stderr
    assert "a\\x1b[2J" in done.stdout
    table.write_text(table.read_text().replace(",100,100,", ",x\x1b[2J,100,"))
    wrong = call("fit", table, "--out", tmp_path / "laws.json")
    assert wrong.exit_code == 2
    assert "x\\x1b[2J" in wrong.stderr
    assert "\x1b" not in done.stdout + done.stderr + wrong.stderr
