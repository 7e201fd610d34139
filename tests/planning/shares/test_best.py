import json

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.planning.shares.made import exact, measured, mixes
from thresher.cli import app
from thresher.errors import InputError
from thresher.planning.runs.mixture_table import MixtureTable
from thresher.planning.shares.best import best_shares

SHARES = mixes(60)
DOMAINS = tuple(f"domain {number}" for number in range(SHARES.shape[1]))


def table(losses, **more):
    return MixtureTable(
        runs=tuple(f"r{row}" for row in range(len(SHARES))),
        domains=DOMAINS,
        metrics=tuple(f"m{place}" for place in range(losses.shape[1])),
        shares=SHARES,
        losses=losses,
        **more,
    )


@pytest.fixture(scope="module")
def found():
    return best_shares(table(measured(SHARES)))


def test_the_best_mix_is_better_in_truth_than_all_that_were_run(found):
    truth = exact(np.array([list(found.shares.values())])).mean()
    assert truth < exact(SHARES).mean(1).min()
    assert found.low < truth < found.high
    assert found.loss < found.rival_loss
    assert found.rank_correlation > 0.9
    assert sum(found.shares.values()) == pytest.approx(1.0, abs=1e-4)


def test_a_loss_of_weight_one_alone_is_what_is_made_low(found):
    alone = best_shares(table(measured(SHARES)), weights={"m1": 2.0})
    truth = [exact(np.array([list(one.shares.values())]))[0, 1] for one in (alone, found)]
    assert truth[0] < truth[1]
    assert alone.loss == pytest.approx(alone.losses["m1"])


def test_runs_of_noise_tell_no_mix_from_another():
    random = np.random.default_rng(3)
    noise = np.exp(1.0 + 0.01 * random.standard_normal((len(SHARES), 2)))
    found = best_shares(table(noise))
    assert found.chance < 0.9
    assert "Cannot tell it from the best mix that was run" in str(found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": {"m9": 1.0}}, "there is no loss 'm9'; the table has m0, m1"),
        ({"weights": {"m0": -1.0}}, "weights are 0 or more"),
        ({"weights": {"m0": 0.0}}, "all weights are 0"),
        ({"size": 1e9}, "the runs do not differ in size"),
    ],
)
def test_what_cannot_be_asked_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        best_shares(table(measured(SHARES)), **options)


def test_the_command_reads_two_files_and_writes_the_mix(tmp_path):
    losses = measured(SHARES)
    rows = [",".join(["index", *(f"train_{name}" for name in "abcd")])]
    rows += [f"{row}," + ",".join(map(str, shares)) for row, shares in enumerate(SHARES)]
    (tmp_path / "shares.csv").write_text("\n".join(rows))
    names = [f"metric/{place}_val_loss" for place in range(losses.shape[1])]
    rows = [",".join(["index", *names])]
    rows += [f"{row}," + ",".join(map(str, values)) for row, values in enumerate(losses)]
    (tmp_path / "losses.csv").write_text("\n".join(rows))
    words = ["mixture", tmp_path / "shares.csv", tmp_path / "losses.csv", "--out", tmp_path / "mix.json"]
    done = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "mix.json").read_text())
    assert json.loads(done.stdout) == record
    assert list(record["shares"]) == list("abcd")
    assert record["schema"] == "thresher.mixture"
