import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cli.conftest import NUM_PAIRS, Call
from thresher.scores.embeddings.stored import open_embeddings

MODEL = "thresher-tiny-32"


@pytest.fixture(scope="module")
def folder(stages: SimpleNamespace, call: Call, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("embed") / "out"
    done = call("embed", stages.shards, "--model", MODEL, "--device", "cpu", "--out", out)
    assert done.exit_code == 0, done.stderr
    assert f"{NUM_PAIRS} pairs of 1 shards have embeddings in {out}" in done.stdout
    assert f"this run embedded {NUM_PAIRS} pairs of 1 shards" in done.stdout
    assert f"warning: {MODEL} has random weights, and its embeddings mean nothing" in done.stderr
    return out


def test_embeddings_are_found_by_uid(folder: Path) -> None:
    stored = open_embeddings(folder)
    assert stored.find([f"{number:032x}" for number in range(NUM_PAIRS)]).tolist() == list(range(NUM_PAIRS))


def test_a_second_call_does_nothing(stages: SimpleNamespace, call: Call, folder: Path) -> None:
    again = call("embed", stages.shards, "--model", MODEL, "--device", "cpu", "--out", folder, "--json")
    result = json.loads(again.stdout)
    assert (result["pairs"], result["quarantined"], result["this_run"]["shards"]) == (NUM_PAIRS, 0, 0)


def test_a_mistake_is_one_sentence_and_exit_code_2(stages: SimpleNamespace, call: Call, folder: Path) -> None:
    for options, sentence in (
        (("--model", "ViT-B-33"), "model 'ViT-B-33' is not in open_clip; near: "),
        (("--model", MODEL, "--dtype", "int8"), "with dtype fp16, this run has int8; give --dtype fp16"),
        (("--model", MODEL, "--dtype", "int4"), "dtype 'int4' is unknown; take one of fp16, int8"),
    ):
        done = call("embed", stages.shards, "--device", "cpu", "--out", folder, *options)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.startswith("thresher: ")
        assert sentence in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_shard_that_gives_nothing_leaves_exit_code_1(
    stages: SimpleNamespace, call: Call, tmp_path: Path
) -> None:
    (tmp_path / "00001.tar").write_bytes(b"no tar")
    done = call(
        *("embed", stages.shards, tmp_path / "00001.tar", "--model", MODEL, "--device", "cpu"),
        *("--out", tmp_path / "out"),
    )
    assert done.exit_code == 1
    assert "1 of 2 shards gave no pairs" in done.stderr
