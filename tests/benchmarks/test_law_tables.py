from pathlib import Path

import numpy as np
import pytest
from benchmarks.law_tables import (
    covered,
    floor,
    groups,
    longest_runs,
    rmse_by_size,
    scaling_runs,
    tasks_of,
)
from benchmarks.repeated_text import authors_loss, is_doubtful, is_harmed

from benchmarks import law_tables
from tests.planning.laws.planted import parameters, planted_run

TRUTH = parameters(b=(-0.25,), tau=(6.0,), n0=1e6, gamma=0.6, sized=True)
HEADER = (
    "arch,samples_seen,gmacs,upstream_dataset,downstream_dataset,acc1,image_retrieval_recall@5,"
    "mean_average_precision,name"
)
GMACS = {"ViT-B-16": 20.57e7, "ViT-B-32": 7.4e7}


def scaling_table(folder: Path) -> Path:
    """A planted study of both architectures: two tasks (one of them retrieval) and the mean of tasks."""
    rows = [HEADER]
    for model, size in GMACS.items():
        for pattern, unique in law_tables.LAION.items():
            for length in (2_560_000_000, 13_000_000_000 + unique // 10, 34_000_000_000):
                error = planted_run(TRUTH, [1.0], length, unique=unique, params=size).error
                for task, columns in (
                    ("imagenet1k", f"{1 - error},,"),
                    ("flickr30k", f",{1 - error - 0.1},"),
                    ("vtab", "0.1,,"),
                ):
                    name = f"{model}{pattern.replace('*', '_')}{length}"
                    rows.append(f"{model},{length},{size},LAION,{task},{columns},{name}")
    rows.append("ViT-B-32,12800000000,7e7,CLIP-WIT,imagenet1k,0.6,,,openai")
    path = folder / "study.csv"
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def test_a_planted_study_is_read_fitted_and_predicted(tmp_path):
    table = scaling_table(tmp_path)
    assert tasks_of(table) == ["imagenet1k", "flickr30k"]
    runs = scaling_runs(table, "imagenet1k")
    assert len(runs) == 18
    assert {run.pool for run in runs} == {"LAION"}
    assert {run.unique_samples for run in runs} == set(law_tables.LAION.values())
    average = scaling_runs(table, None)
    assert average[0].error == pytest.approx(runs[0].error + 0.05)
    assert [len(group) for group in groups(runs, together=False)] == [9, 9]
    assert max(rmse_by_size(groups(runs, together=True), "utility")) < 0.05
    (longest,) = longest_runs(runs, together=True)
    assert longest.error_R.size == 6
    np.testing.assert_allclose(longest.drawn_SR.mean(0), longest.error_R, atol=0.01)
    assert covered(longest, known=False).all()
    assert max(floor(groups(runs, together=False)[:1], num_starts=5)) < 0.05


def test_a_lower_loss_on_far_less_text_is_doubtful():
    def run(unique, loss):
        return planted_run(TRUTH, [1.0], 84_000_000, unique=unique, params=4.2e9, metric="loss", noise=loss)

    plenty, few = run(60_000_000, 3.0), run(22_000_000, 2.5)
    assert is_doubtful(few, [plenty, few])
    assert not is_doubtful(plenty, [plenty, few])
    assert not is_doubtful(run(22_000_000, 3.1), [plenty])
    assert not is_doubtful(run(40_000_000, 2.5), [plenty])


def test_a_higher_loss_after_more_passes_is_harm():
    def run(length, loss):
        return planted_run(TRUTH, [1.0], length, unique=10_000_000, params=1e9, metric="loss", noise=loss)

    early, late = run(50_000_000, 3.0), run(200_000_000, 3.4)
    assert is_harmed(late, [early, late])
    assert not is_harmed(early, [early, late])
    assert not is_harmed(late, [run(50_000_000, 3.9), late])


def test_the_published_law_gives_the_losses_that_its_authors_print():
    def run(params, tokens):
        return planted_run(TRUTH, [1.0], int(tokens), unique=int(25e9), params=params, metric="loss")

    assert authors_loss(run(6.34e9, 242e9)) == pytest.approx(2.2256440889984477, abs=1e-6)
    assert authors_loss(run(8.67e9, 178e9)) == pytest.approx(2.2269634075087867, abs=1e-6)
