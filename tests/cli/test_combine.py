"""`score-embedded`, `combine` and `filter-network`, called as people call them."""

import json
from pathlib import Path

import numpy as np

from tests.cli.conftest import Call
from tests.curate.pools.scores import write_scores
from tests.models.small import TINY
from tests.scores.embedded import vectors, write_embeddings
from tests.small_pool import uid, write_shards


def test_embeddings_become_scores_that_are_combined_and_cut(call: Call, tmp_path: Path) -> None:
    embeddings = write_embeddings(tmp_path / "e", vectors(30), parts=2)
    done = call(
        *("score-embedded", embeddings, "--scorer", "clip", "--scorer", "s-clip-loss:batch=8,repeats=2"),
        *("--scorer", f"normsim:target={embeddings},p=2", "--out", tmp_path / "scores", "--json"),
    )
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["pairs"] == 30
    done = call(
        *("combine", tmp_path / "scores", "--columns", "clip, s_clip_loss,normsim"),
        *("--out", tmp_path / "out"),
    )
    assert done.exit_code == 0, done.stderr
    assert "30 pairs have the score combined" in done.stdout
    done = call("cut", tmp_path / "out", "--by", "combined", "--edges", "0.5", "--out", tmp_path / "pools")
    assert done.exit_code == 0, done.stderr


def test_a_learned_combination_says_how_well_it_does(call: Call, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    good = draw.random(120) < 0.5
    one = write_scores(tmp_path / "one", [good + draw.standard_normal(120)], more={"dull": 0.5})
    two = write_scores(tmp_path / "two", [good + draw.standard_normal(120)], column="dfn")
    lines = [f"{uid(n)}\t{int(good[n])}" for n in range(120)]
    (tmp_path / "labels.tsv").write_text("\n".join(["uid\tlabel", *lines]))
    asked = ("combine", one, two, "--columns", "clip,dfn", "--labels", tmp_path / "labels.tsv")
    done = call(*asked, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert "AUC on 120 labelled pairs" in done.stdout
    assert "gain over" in done.stdout
    record = json.loads(call(*asked, "--out", tmp_path / "out", "--json").stdout)
    assert set(record["weights"]) == {"clip", "dfn"}
    model = tmp_path / "out" / "model.json"
    done = call("combine", one, two, "--model", model, "--out", tmp_path / "again")
    assert done.exit_code == 0, done.stderr
    done = call("combine", one, "--columns", "dull,clap", "--out", tmp_path / "no")
    assert done.exit_code == 2
    assert "there is no score column 'clap'" in done.stderr


def test_a_filter_network_is_trained_and_named_for_the_next_command(call: Call, tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (8,))
    asked = ("filter-network", *shards, "--samples-seen", "16", "--model", TINY, "--batch-size", "8")
    done = call(*asked, "--device", "cpu", "--out", tmp_path / "dfn")
    assert done.exit_code == 0, done.stderr
    assert f"--scorer dfn:network={tmp_path / 'dfn'}" in done.stdout
    assert (tmp_path / "dfn" / "open_clip_config.json").exists()
    done = call(*asked, "--lr", "0.1", "--device", "cpu", "--out", tmp_path / "dfn")
    assert done.exit_code == 2
    assert "holds another training run" in done.stderr
