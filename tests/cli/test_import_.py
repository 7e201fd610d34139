"""`thresher import` from the command line: what it writes, what it prints, what it refuses."""

import json
import shlex
from pathlib import Path

import pytest
import typer

from tests.cli.conftest import Call
from tests.planning.runs.importers.made import datacomp_run, open_clip_run, table, zero_shot
from thresher.cli import app
from thresher.planning.runs.importers.formats import FORMATS
from thresher.planning.runs.ledger import read_runs


def test_the_page_names_every_format(call: Call) -> None:
    page = call("import", "--help").stdout
    assert all(name in page for name in FORMATS)


def test_the_commands_of_the_docs_are_calls_that_parse() -> None:
    text = (Path(__file__).parents[2] / "docs" / "importing.md").read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in text.split("```bash\n")[1:]]
    commands = [shlex.split(block) for block in blocks if block.startswith("thresher import ")]
    assert len(commands) >= 8
    for words in commands:
        context = typer.main.get_command(app).commands["import"].make_context("import", words[2:])
        assert context.params["format"] in FORMATS


def test_folders_of_open_clip_become_a_ledger(call: Call, tmp_path: Path) -> None:
    for name, top1 in (("top10-s0", 0.25), ("rest-s0", 0.2)):
        open_clip_run(tmp_path / "logs" / name, [zero_shot(0.1), zero_shot(top1)])
    command = (
        f"import {tmp_path}/logs --format open_clip --pool top10*=0-10% --pool 10-20% --unique 12.8M "
        f"--out {tmp_path}/runs.jsonl"
    )
    done = call(*shlex.split(command))
    assert done.exit_code == 0, done.stderr
    assert done.stdout.endswith(f"2 runs, 2 of them new in {tmp_path}/runs.jsonl\n")
    assert (
        "0-10%   ViT-B-32  imagenet-zeroshot-val-top1_error     1   12.8M  12.8M       1  75.0%"
        in done.stdout
    )
    runs = read_runs(tmp_path / "runs.jsonl")
    assert [(run.pool, run.error) for run in runs] == [("10-20%", 0.8), ("0-10%", 0.75)]
    again = call(*shlex.split(command))
    assert "2 runs, 0 of them new" in again.stdout
    assert read_runs(tmp_path / "runs.jsonl") == runs


def test_runs_of_datacomp_come_as_json_too(call: Call, tmp_path: Path) -> None:
    datacomp_run(tmp_path / "medium")
    done = call(
        *("import", tmp_path / "medium", "--format", "datacomp", "--metric", "average-38", "--json"),
        *("--pool", "all", "--unique", "all=128M", "--role", "verify", "--out", tmp_path / "runs.jsonl"),
    )
    (record,) = json.loads(done.stdout)
    assert (record["metric"], record["role"], record["unique_samples"]) == (
        "average-38_error",
        "verify",
        128_000_000,
    )


def test_a_table_comes_in_through_options_alone(call: Call, tmp_path: Path) -> None:
    path = table(
        tmp_path / "t.csv", "tokens,own,task,loss", "8e9,4e9,c4,3.0", "8e9,4e9,c4,3.1", "8e9,4e9,ptb,5.0"
    )
    done = call(
        *("import", path, "--format", "table", "--metric", "loss", "--where", "task=c4", "--pool", "C4"),
        *(
            "--column",
            "samples_seen=tokens",
            "--column",
            "unique_samples=own",
            "--model",
            "gpt",
            "--number-seeds",
        ),
        *(
            "--params",
            "gpt=2.8B",
            "--recipe",
            "a",
            "--mid-run",
            "--replacement",
            "--out",
            tmp_path / "runs.jsonl",
        ),
    )
    assert done.exit_code == 0, done.stderr
    first, second = read_runs(tmp_path / "runs.jsonl")
    assert (first.seed, first.params, first.final, first.replacement) == (0, 2.8e9, False, True)
    assert (second.seed, second.recipe, second.error) == (1, "a", 3.1)


def test_a_chart_comes_in_with_facts_of_its_runs(call: Call, tmp_path: Path) -> None:
    chart = table(
        tmp_path / "chart.csv", '"Step","x - loss","y - loss"', '"10","3.0",""', '"20","2.5","2.75"'
    )
    facts = table(tmp_path / "facts.csv", "run,pool,unique_samples", "x,top,10", "y,rest,20")
    done = call(
        *("import", chart, "--format", "wandb", "--samples-per-step", "1k", "--facts", facts, "--all-points"),
        *("--out", tmp_path / "runs.jsonl"),
    )
    assert done.exit_code == 0, done.stderr
    runs = read_runs(tmp_path / "runs.jsonl")
    assert [(run.pool, run.samples_seen, run.error) for run in runs] == [
        ("top", 10_000, 3.0),
        ("top", 20_000, 2.5),
        ("rest", 20_000, 2.75),
    ]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{t} --format csv", "there is no format 'csv'; use one of open_clip, datacomp, wandb, table"),
        ("{t} --format table", "say which column becomes the error, such as --metric val_loss"),
        (
            "{t} --format table --metric loss",
            "t.csv, row 2: `unique_samples` is not known; give --unique POOL=NUMBER",
        ),
        ("{t} --format table --metric los", "t.csv, row 1: no column 'los' among pool, samples_seen, loss"),
        (
            "{t} --format table --metric loss --unique a=5 --unique 5 --unique 6",
            "--unique '5' and '6' both stand",
        ),
        ("{t} --format table --metric loss --unique a=", "--unique 'a=' is not of the form NAME=VALUE"),
        (
            "{t} --format table --metric loss --unique many",
            "t.csv, row 2: `unique_samples`: 'many' is not a count",
        ),
        (
            "{t} --format table --metric loss --unique b=5",
            "is given by pool, but not for 'a'; give --unique a=NUMBER",
        ),
        ("{t} --format table --metric loss --column n", "--column 'n' is not of the form FIELD=COLUMN"),
        (
            "{t} --format table --metric loss --unique 5 --seed x*=1",
            "seed is given for 'x*', but there is no such run",
        ),
        ("{t} --format table --metric loss --samples-per-step x", "'x' is not a count"),
        ("{t} --format open_clip --where a=b", "where means nothing for the format open_clip; leave it out"),
        ("{t} --format datacomp --average-over a", "average-over means nothing for the format datacomp"),
        ("{root}/absent --format open_clip", "there is no file or folder at"),
        ("{root}/absent.csv --format table --metric loss", "there is no table at"),
        ("{t} --format datacomp", "t.csv, row 1: 'pool,samples_seen,loss' is not a JSON object"),
    ],
)
def test_what_cannot_be_imported_is_answered_in_one_sentence(
    call: Call, tmp_path: Path, line: str, sentence: str
) -> None:
    path = table(tmp_path / "t.csv", "pool,samples_seen,loss", "a,20,3.5")
    words = line.format(t=path, root=tmp_path).split()
    done = call("import", *words, "--out", tmp_path / "runs.jsonl")
    assert sentence in done.stderr
    assert done.stderr.startswith("thresher: ")
    assert done.stderr.count("\n") == 1
    assert (done.exit_code, done.stdout) == (2, "")
    assert not (tmp_path / "runs.jsonl").exists()


def test_another_result_for_a_run_that_the_ledger_holds_is_refused(call: Call, tmp_path: Path) -> None:
    arguments = ("--format", "table", "--metric", "loss", "--unique", "10", "--out", tmp_path / "runs.jsonl")
    assert (
        call("import", table(tmp_path / "t.csv", "pool,samples_seen,loss", "a,20,3.5"), *arguments).exit_code
        == 0
    )
    done = call("import", table(tmp_path / "t.csv", "pool,samples_seen,loss", "a,20,3.4"), *arguments)
    assert "runs.jsonl already holds this run with another result" in done.stderr
    assert done.exit_code == 2


def test_messages_that_mislead_a_pool_with_an_equals_sign_is_a_pool(tmp_path, call):
    (tmp_path / "t.csv").write_text("run,samples_seen,loss\na,100,2.5\n")
    for pool, unique, name in (
        (">=0.3", "50", ">=0.3"),
        ("a=>=0.3", ">=0.3=50", ">=0.3"),
        ("*=a=b", "a=b=50", "a=b"),
    ):
        out = tmp_path / f"{name}-{unique[-4:]}.jsonl"
        call(
            *("import", tmp_path / "t.csv", "--format", "table", "--metric", "loss", "--out", out),
            *("--pool", pool, "--unique", unique),
        )
        (run,) = read_runs(out)
        assert (run.pool, run.unique_samples) == (name, 50)
