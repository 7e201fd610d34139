import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import thresher as th
from tests.planning.laws.planted import POOL_SIZE, parameters, planted_run, planted_runs
from tests.planning.laws.planted import predict as predict_truth
from tests.planning.plans.drawn import drawn_laws
from tests.planning.predicting import mix_band, mix_error
from thresher.planning.laws.registry import LAWS as REGISTER
from thresher.planning.plans.costs import Costs
from thresher.planning.plans.make_plan import make_plan
from thresher.planning.runs.ledger import append_runs

TRUTH = parameters(b=(-0.2, -0.16, -0.13, -0.1), tau=(3.0, 6.0, 5.0, 4.0))
FLOPS = 4e9
ROOT = Path(__file__).parents[2]
HOSTILE = "<script>alert('x')</script>"


def planted(**fields):
    runs = planted_runs(TRUTH, noise=0.002, **fields)
    return [replace(run, flops=run.samples_seen * FLOPS) for run in runs]


@pytest.fixture(scope="module")
def fit():
    checks = [planted_run(TRUTH, row, 64_000_000, role="check") for row in ([1, 1, 0, 0], [1, 1, 1, 1])]
    return th.fit(
        [*planted(), *[replace(run, model="ViT-B-32") for run in checks]], law="utility", num_draws=60
    )


@pytest.fixture(scope="module")
def plan(fit):
    return th.plan(fit, budgets=["32M", "640M"])


def loaded_by(statement: str) -> list[str]:
    names = "('torch', 'open_clip', 'scipy', 'pyarrow', 'pydantic', 'plotly', 'typer')"
    code = f"import sys\n{statement}\nprint([name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


class Reader(HTMLParser):
    """Tags and texts of a piece of HTML, which has to close what it opens."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.texts, self.open = set(), [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        assert {name for name, _ in attrs} <= {"style"}
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_three_lines_lead_from_a_ledger_to_a_plan(tmp_path):
    append_runs(tmp_path / "runs.jsonl", planted())
    runs = th.read_runs(tmp_path / "runs.jsonl")
    fit = th.fit(runs)
    plan = th.plan(fit, budgets=["32M", "640M"])
    assert [budget.samples_seen for budget in plan.budgets] == [32_000_000, 640_000_000]
    assert plan.budgets[0].best == "p0"
    assert {"p0", "p1"} <= set(plan.budgets[1].candidates[0].pools)


def test_a_plan_is_that_of_make_plan_with_the_costs_of_the_runs(fit, plan):
    plain = make_plan(fit, [32_000_000, 640_000_000])
    assert replace(plan, payback=None) == plain
    assert plan.payback is not None
    assert plan.payback.flops_per_sample == FLOPS


def test_budgets_are_samples_flops_or_gpu_hours_and_one_needs_no_list(fit):
    price = th.Price(device_flops=th.DEVICES["A100"], mfu=0.5)
    hours = 32e6 * FLOPS / (312e12 * 0.5 * 3600)
    for budget in ("32M", 32_000_000, f"{32e6 * FLOPS:g}FLOPs", f"{hours + 1e-9:.12g}gpu-h"):
        (planned,) = th.plan(fit, budget, price=price).budgets
        assert planned.samples_seen == pytest.approx(32e6, abs=1)


def test_a_budget_is_bought_and_paid_back_at_the_price_that_was_given(fit):
    price = th.Price(flops_per_sample=1e10, device_flops="a100", mfu=0.5)
    plan = th.plan(fit, ["32M", "1e18FLOPs", "1gpu-h"], price=price)
    assert [budget.samples_seen for budget in plan.budgets] == [32_000_000, 56_160_000, 100_000_000]
    assert plan.payback.flops_per_sample == 1e10
    spent = Costs(probing_flops=1e15, flops_per_sample=2e10)
    assert th.plan(fit, "1e18FLOPs", spent=spent).budgets[0].samples_seen == 50_000_000


def test_budgets_in_compute_are_read_by_predictions_and_suggestions_as_well(fit):
    price = th.Price(flops_per_sample=1e10, device_flops="A100", mfu=0.5)
    for budget, seen in (("1e18FLOPs", 100_000_000), ("1gpu-h", 56_160_000)):
        assert th.predict(fit, {"p0": 1}, budget, price=price).samples_seen == seen
        assert th.suggest(fit, budget, price=price).budgets == (seen,)


def test_flops_cannot_buy_samples_where_no_run_tells_its_flops(fit):
    silent = replace(fit, points=(), check=type(fit.check)())
    with pytest.raises(th.InputError, match="needs the FLOPs of one sample seen"):
        th.plan(silent, "1e18FLOPs")
    price = th.Price(flops_per_sample=1e10)
    assert th.plan(silent, "1e18FLOPs", price=price).budgets[0].samples_seen == 100_000_000


def test_a_prediction_is_near_the_truth_and_tells_how_often_samples_repeat(fit):
    found = th.predict(fit, {"p0": 1, "p1": 3}, "128M")
    truth = predict_truth(REGISTER["utility"], TRUTH, 128e6, [0.25, 0.75, 0, 0], np.full(4, POOL_SIZE))
    assert float(found) == pytest.approx(float(truth), abs=0.006)
    assert found.low < found.error < found.high
    assert found.weights == {"p0": 0.25, "p1": 0.75}
    assert found.repeats == {"p0": 2.5, "p1": 7.5}
    assert str(found) == (
        f"0.25 x p0 (2.5 passes) + 0.75 x p1 (7.5 passes) at 128M samples seen: zeroshot_error "
        f"{100 * found.error:.1f}%, {100 * found.low:.1f}% to {100 * found.high:.1f}%."
    )


def test_a_prediction_equals_that_of_the_laws(fit):
    sizes = {"p0": 3_000_000, "p1": POOL_SIZE}
    found = th.predict(fit, {"p0": 1.0, "p1": 1.0}, 64_000_000, sizes=sizes)
    assert found.error == mix_error(fit, {"p0": 1, "p1": 1}, sizes, 64e6)
    low, high = mix_band(fit, {"p0": 1, "p1": 1}, sizes, 64e6)
    assert (found.low, found.high) == (low[0], high[0])


def test_the_noise_of_a_run_widens_the_interval(fit):
    laws_alone = th.predict(fit, {"p0": 1}, "64M")
    one_run = th.predict(fit, {"p0": 1}, "64M", with_noise=True)
    assert one_run.error == laws_alone.error
    assert one_run.high - one_run.low > laws_alone.high - laws_alone.low


@pytest.mark.parametrize(
    ("weights", "sizes", "said"),
    [
        ({"p9": 1}, None, "no law for pool 'p9'; the fit has p0, p1, p2, p3"),
        ({"p0": -1}, None, "weight of 'p0' is -1"),
        ({"p0": float("nan")}, None, "weight of 'p0' is nan"),
        ({"p0": 0}, None, "the weights sum to zero"),
        ({"p0": 1}, {"p1": 5}, "pool 'p0' has a weight but no size"),
    ],
)
def test_a_mix_that_cannot_be_predicted_is_refused(fit, weights, sizes, said):
    with pytest.raises(th.InputError, match=said):
        th.predict(fit, weights, "32M", sizes=sizes)


def test_suggestions_are_a_sequence_that_says_what_to_run_next(fit):
    found = th.suggest(fit, budgets=["32M", "640M"])
    assert len(found) == len(list(found)) > 10
    assert found[0].candidate.samples_seen <= 640_000_000 / 8
    assert found[0].candidate.flops == found[0].candidate.samples_seen * FLOPS
    lines = str(found).splitlines()
    assert lines[0].startswith(("The next run to make is", "No further run is worth it"))
    assert found[0].about in str(found)
    assert len(lines) == 13
    assert f"{len(found)} suggested runs, first {found[0].about}" in repr(found)


def test_only_the_runs_that_one_could_make_are_suggested(fit):
    mine = [one.candidate for one in th.suggest(fit, "640M")][3:5]
    found = th.suggest(fit, "640M", candidates=mine)
    assert sorted(one.about for one in found) == sorted(
        one.about for one in th.suggest(fit, "640M", candidates=mine[::-1])
    )
    assert {one.candidate.samples_seen for one in found} == {run.samples_seen for run in mine}


def test_laws_print_what_they_know_and_what_they_do_not(fit):
    text = str(fit)
    assert "utility law of zeroshot_error, fitted to 20 runs on 4 pools" in text
    assert all(pool.name in text for pool in fit.pools)
    assert "tau (passes)" in text
    assert all(sentence in text for sentence in fit.best.status)
    assert "check runs (2): the laws are " in text
    assert repr(fit) == "<Laws of zeroshot_error, fitted to 20 runs on 4 pools: utility 100%>"


def test_laws_that_were_given_claim_no_runs_and_no_intervals():
    given = drawn_laws()
    assert str(given).startswith("utility law of imagenet_error, given for 4 pools\n")
    assert "noise" not in str(given)
    assert str(th.predict(given, {"p0": 1}, "32M")) == (
        "p0 (2.5 passes) at 32M samples seen: imagenet_error 83.0%."
    )


def test_warnings_about_the_runs_stand_in_the_text_of_laws():
    fit = th.fit([replace(run, final=False) for run in planted()], law="power", num_draws=0)
    (line,) = [line for line in str(fit).splitlines() if line.startswith("Warning: 20 of 20 points")]
    assert "not end-of-training points" in line


def test_a_plan_prints_its_decisions(plan):
    assert all(budget.decision in str(plan) for budget in plan.budgets)
    assert plan.payback.sentence in str(plan)
    assert repr(plan).startswith("<Plan of zeroshot_error: 32M p0, 640M p0 + p1")


def test_a_plan_prints_what_it_left_out(fit):
    plan = th.plan(fit, "32M", sizes=dict.fromkeys(["p0", "p1", "p2", "p3", "p4"], POOL_SIZE))
    assert "Pool p4 has no law and takes no part; probe it and fit again." in str(plan)


def test_a_notebook_shows_the_tables_of_a_result_and_no_script(fit, plan):
    for result in (fit, plan, th.suggest(fit, "640M"), th.predict(fit, {"p0": 1}, "32M")):
        read = Reader(result._repr_html_())
        assert read.tags <= {"div", "table", "thead", "tbody", "tr", "th", "td", "p", "br"}
    assert Reader(plan._repr_html_()).texts.count("best mix") == 1
    assert all(budget.decision in Reader(plan._repr_html_()).texts for budget in plan.budgets)


def test_names_from_files_are_escaped_in_a_notebook():
    runs = [replace(run, pool=run.pool.replace("p0", HOSTILE), metric='a"b<i>') for run in planted()]
    fit = th.fit(runs, law="utility", num_draws=30)
    for result in (
        fit,
        th.plan(fit, ["32M", "640M"]),
        th.suggest(fit, "640M"),
        th.predict(fit, {HOSTILE: 1}, "1M"),
    ):
        html = result._repr_html_()
        assert "script" not in Reader(html).tags
        assert "&lt;script&gt;" in html
        assert "<i>" not in html


def test_laws_and_plans_come_back_from_their_files(fit, plan, tmp_path):
    th.save_laws(tmp_path / "laws.json", fit)
    th.save_plan(tmp_path / "plan.json", plan)
    assert str(th.load_laws(tmp_path / "laws.json")) == str(fit)
    assert th.load_plan(tmp_path / "plan.json") == plan


def test_runs_of_other_tools_are_imported(tmp_path):
    table = tmp_path / "runs.csv"
    table.write_text("pool,pairs,seen,acc\na,1M,2M,0.25\n")
    (run,) = th.import_runs(
        [table], format="table", metric="1-acc", columns={"unique_samples": "pairs", "samples_seen": "seen"}
    )
    assert run == th.Run(
        pool="a", unique_samples=1_000_000, samples_seen=2_000_000, error=0.75, metric="acc_error"
    )


def test_every_name_that_is_offered_is_there():
    assert set(th.__all__) <= set(dir(th))
    assert all(getattr(th, name) is not None for name in th.__all__)
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        _ = th.fitt


def test_every_name_that_the_docs_use_is_there():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    used = {name for page in pages for name in re.findall(r"\bth\.([A-Za-z_]+)", page.read_text())}
    assert {"fit", "plan", "predict", "suggest"} <= used
    assert used <= set(th.__all__)


def test_importing_the_package_loads_nothing():
    assert loaded_by("import thresher\nassert 'numpy' not in sys.modules") == "[]"


def test_fitting_and_planning_load_numpy_alone():
    assert loaded_by("import thresher as th\n[getattr(th, name) for name in th.__all__]") == "[]"


def test_a_fit_and_a_plan_need_no_torch(tmp_path):
    append_runs(tmp_path / "runs.jsonl", planted())
    code = (
        f"import thresher as th\nfit = th.fit(th.read_runs({str(tmp_path)!r}), num_draws=30)\n"
        "print(len(str(th.plan(fit, '32M'))), len(str(th.suggest(fit, '32M'))))"
    )
    assert loaded_by(code).splitlines()[-1] in ("[]", "['scipy']")


def test_the_planning_side_loads_few_modules():
    """About 300, most of them numpy's; `benchmarks/import_time.py` says what that takes."""
    used = "import thresher as th\n[getattr(th, name) for name in th.__all__]"
    code = f"import sys\n{used}\nprint(len(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 450
