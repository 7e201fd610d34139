import sys
from dataclasses import replace

import pytest

import thresher as th
from tests.planning.laws.planted import parameters, planted_run, planted_runs
from tests.planning.plans.drawn import drawn_laws
from thresher.planning.laws.result import LAWS_TABLES, table_of_laws
from thresher.planning.plans.plan import PLAN_TABLES, table_of_plan
from thresher.planning.plans.suggestions import table_of_suggestions

TRUTH = parameters(b=(-0.2, -0.16, -0.13, -0.1), tau=(3.0, 6.0, 5.0, 4.0))


@pytest.fixture(scope="module")
def fit():
    runs = [replace(run, seed=0) for run in planted_runs(TRUTH, noise=0.002)]
    check = planted_run(TRUTH, [1, 1, 0, 0], 64_000_000, role="check", run="mix")
    return th.fit([*runs, check], law="utility", num_draws=40)


@pytest.fixture(scope="module")
def plan():
    return th.plan(drawn_laws(spread=0.04), ["32M", "640M"])


@pytest.mark.parametrize("name", LAWS_TABLES)
def test_the_columns_of_a_table_of_laws_are_equally_long(fit, name):
    assert len({len(column) for column in table_of_laws(fit, name).values()}) == 1


@pytest.mark.parametrize("name", PLAN_TABLES)
def test_the_columns_of_a_table_of_a_plan_are_equally_long(plan, name):
    assert len({len(column) for column in table_of_plan(plan, name).values()}) == 1


def test_every_parameter_of_every_law_is_a_row(fit):
    rows = list(zip(*table_of_laws(fit, "parameters").values(), strict=True))
    assert len(rows) == 5 + 2 * 4
    first = fit.pools[0]
    assert ("utility", 1.0, "p0", "tau", first.values["tau"], *first.intervals["tau"]) in rows
    assert ("utility", 1.0, None, "gamma", 1.0, None, None) in rows


def test_the_runs_stand_beside_their_predictions(fit):
    table = table_of_laws(fit, "runs")
    assert len(table["error"]) == 21
    assert table["role"].count("check") == 1
    assert table["pools"][-1] == "p0 + p1"
    for error, predicted, residual in zip(table["error"], table["predicted"], table["residual"], strict=True):
        assert error - predicted == residual


def test_each_budget_is_a_row_with_its_winner(plan):
    table = table_of_plan(plan, "budgets")
    assert table["samples_seen"] == [32_000_000, 640_000_000]
    assert table["best"] == [budget.best for budget in plan.budgets]
    assert table["predicted_error"] == [budget.candidates[0].predicted_error for budget in plan.budgets]


def test_the_weights_of_a_winner_sum_to_one(plan):
    table = table_of_plan(plan, "weights")
    for budget in plan.budgets:
        rows = [place for place, seen in enumerate(table["samples_seen"]) if seen == budget.samples_seen]
        assert sum(table["weight"][place] for place in rows) == pytest.approx(1.0)


def test_every_candidate_and_every_grid_budget_is_a_row(plan):
    assert len(table_of_plan(plan, "candidates")["candidate"]) == sum(
        len(one.candidates) for one in plan.budgets
    )
    assert table_of_plan(plan, "frontier")["best"] == [point.best for point in plan.frontier]


def test_suggestions_are_rows_in_their_order(fit):
    found = th.suggest(fit, "640M")
    table = table_of_suggestions(found)
    assert table["regret_fall"] == [one.regret_fall for one in found]
    assert table["passes"][0] * table["unique_samples"][0] == pytest.approx(table["samples_seen"][0])


def test_an_unknown_table_is_refused_with_those_that_there_are(fit, plan):
    with pytest.raises(th.InputError, match="no table 'pools'; choose one of parameters, runs, laws"):
        fit.to_polars("pools")
    with pytest.raises(th.InputError, match="no table 'x'; choose one of budgets, candidates, weights"):
        plan.to_polars("x")


def test_every_table_becomes_a_frame_of_polars(fit, plan):
    pytest.importorskip("polars")
    for result, tables in ((fit, LAWS_TABLES), (plan, PLAN_TABLES)):
        for name, make in tables.items():
            frame = result.to_polars(name)
            assert frame.to_dict(as_series=False) == make(result)
    assert th.suggest(fit, "640M").to_polars().height == len(th.suggest(fit, "640M"))


def test_every_table_becomes_a_frame_of_pandas(fit, plan):
    pytest.importorskip("pandas")
    for result, tables in ((fit, LAWS_TABLES), (plan, PLAN_TABLES)):
        for name, make in tables.items():
            frame = result.to_pandas(name)
            assert list(frame.columns) == list(make(result))
            assert len(frame) == len(next(iter(make(result).values())))
    assert len(th.suggest(fit, "640M").to_pandas()) == len(th.suggest(fit, "640M"))


@pytest.mark.parametrize("library", ["polars", "pandas"])
def test_where_a_library_is_missing_the_remedy_is_named(fit, plan, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    for result in (fit, plan, th.suggest(fit, "640M")):
        with pytest.raises(
            th.MissingExtra, match=rf'a table of {library} .*pip install "thresher\[tables\]"'
        ):
            getattr(result, f"to_{library}")()
