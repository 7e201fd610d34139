import dataclasses
import json
import re

import numpy as np
import plotly.graph_objects as go
import pytest

from tests.planning.predicting import mix_band, mix_error
from tests.report.planted import (
    NAMES,
    PROBE_UNIQUE,
    SIZES,
    planted_fit,
    planted_laws,
    planted_plan,
    planted_runs,
)
from tests.report.reading import Page
from thresher.planning.laws.predict import predict_draws, utility_curve
from thresher.planning.runs.record import Run
from thresher.report.chart import (
    FREE_WEIGHTS,
    Band,
    Chart,
    Line,
    Points,
    count_axis,
    mark_of,
    marks_for,
    pool_mark,
    ranks_of,
)
from thresher.report.law_charts import NORMAL_95, error_chart, residual_chart, utility_chart
from thresher.report.plan_charts import crossover_chart, frontier_chart, plan_chart
from thresher.report.plotly_spec import numbers, spec
from thresher.report.verdict import trained
from thresher.report.wording import Scale

RUNS = planted_runs()
LAWS, PLAN = planted_laws(), planted_plan()
MARKS = marks_for(ranks_of(LAWS, PLAN, RUNS), PLAN, RUNS)
SCALE = Scale(metric="zeroshot_error", percent=True)


def _is(chart: Chart | None) -> Chart:
    assert chart is not None
    return chart


def _of(chart: Chart, kind: type, name: str | None = None) -> list:
    return [s for s in chart.series if isinstance(s, kind) and (name is None or s.name == name)]


def _errors(runs=RUNS, laws=LAWS) -> Chart:
    return _is(error_chart(runs, MARKS, laws, SCALE))


def test_every_figure_is_one_that_plotly_takes(page: str) -> None:
    for found in Page(page).charts.values():
        plain = json.loads(re.sub(r'"@[a-z]+\d*"', '"#123456"', json.dumps(found)))
        assert go.Figure(plain).to_dict()["data"]


def test_every_colour_of_the_figures_is_defined_for_light_and_dark(page: str) -> None:
    used = {
        name for found in Page(page).charts.values() for name in re.findall(r'"@(\w+)"', json.dumps(found))
    }
    used |= set(re.findall(r"var\(--(\w+)\)", page))
    assert {"c0", "m0"} <= used
    for name in used:
        assert len(re.findall(rf"--{name}: ?#", page)) == 2, name


def test_every_axis_of_values_has_a_title_with_its_unit(page: str) -> None:
    titles = [
        found["layout"][axis]["title"]["text"]
        for name, found in Page(page).charts.items()
        for axis in ("xaxis", "yaxis")
        if (name, axis) != ("chart-crossovers-data", "yaxis")  # rows with numbers
    ]
    assert len(titles) == 23
    assert all(
        re.search(r"\(%\)|points|seen|passes|no unit|fresh|Pairs|FLOPs|nats|Step|Times|correlation", title)
        for title in titles
    ), titles


def test_curves_and_bands_are_the_predictions_of_all_laws() -> None:
    name = f"{NAMES[0]} + {NAMES[1]} (check)"
    curve = _of(_errors(), Line, name)[0]
    pools = NAMES[:2]
    weights, unique = dict.fromkeys(pools, 1.0), dict.fromkeys(pools, 640.0)
    np.testing.assert_allclose(curve.y, 100 * mix_error(LAWS, weights, unique, curve.x), rtol=1e-12)
    low, high = mix_band(LAWS, weights, unique, curve.x)
    (band,) = [band for band in _of(_errors(), Band) if band.mark == curve.mark]
    np.testing.assert_allclose([band.low, band.high], [100 * low, 100 * high], rtol=1e-12)


def test_runs_with_replacement_and_of_other_model_sizes_have_curves_of_their_own() -> None:
    drawn = dataclasses.replace(RUNS[3], replacement=True, params=2e8)
    chart = _errors([*RUNS, drawn])
    exact = _of(chart, Line, "0-10%, 640 unique")[0]
    poisson = _of(chart, Line, "0-10%, 640 unique, 200M parameters, with replacement")[0]
    assert exact.mark.colour == poisson.mark.colour
    assert exact.mark.dash != poisson.mark.dash
    assert np.abs(exact.y - poisson.y).max() > 0.1


def test_check_mixes_are_open_and_stand_last() -> None:
    legend = _errors(sorted(RUNS, key=lambda run: run.role)).legend
    names = [name for name, _ in legend]
    assert names[-2:] == [f"{NAMES[0]} + {NAMES[1]} (check)", f"{' + '.join(NAMES[:3])} (check)"]
    marks = dict(legend)
    assert not any(marks[name].filled for name in names[-2:])
    assert len({marks[name].colour for name in names if "320" not in name}) == len(names) - 1


def test_two_sizes_of_one_pool_share_a_colour_and_differ_in_line_and_symbol() -> None:
    marks = dict(_errors().legend)
    whole, part = marks[f"{NAMES[0]}, 640 unique"], marks[f"{NAMES[0]}, 320 unique"]
    assert whole.colour == part.colour == pool_mark(0).colour
    assert whole.dash != part.dash
    assert whole.symbol != part.symbol


def test_every_measured_point_is_drawn_once() -> None:
    drawn = [(x, y) for series in _of(_errors(), Points) for x, y in zip(series.x, series.y, strict=True)]
    wanted = [(run.samples_seen, 100 * run.error) for run in RUNS if run.role in ("fit", "check")]
    assert len(drawn) == len(wanted)
    np.testing.assert_allclose(sorted(drawn), sorted(wanted))


def test_without_laws_the_points_are_drawn_alone() -> None:
    chart = _errors(laws=None)
    assert {type(series) for series in chart.series} == {Points}
    assert chart.note == ""
    assert error_chart([run for run in RUNS if run.role == "verify"], MARKS, LAWS, SCALE) is None


def test_laws_without_draws_have_no_bands() -> None:
    laws = planted_fit("utility", 0)
    assert _of(_errors(laws=laws), Band) == []
    assert _of(_is(utility_chart(laws.best, MARKS)), Band) == []


def test_residuals_are_measured_minus_predicted_for_fit_and_check_runs() -> None:
    chart = _is(residual_chart(LAWS, MARKS, SCALE))
    drawn = sorted(y for series in _of(chart, Points) for y in series.y)
    known = [*LAWS.points, *LAWS.check.points]
    assert drawn == pytest.approx(sorted(100 * (point.run.error - point.predicted) for point in known))
    (band,) = _of(chart, Band)
    assert band.high == pytest.approx(np.full(2, 100 * NORMAL_95 * LAWS.noise))
    assert (band.low == -band.high).all()
    assert (
        residual_chart(dataclasses.replace(LAWS, points=(), check=type(LAWS.check)()), MARKS, SCALE) is None
    )


def test_worth_is_one_when_fresh_and_half_at_the_half_life_inside_its_band() -> None:
    fit = planted_fit("utility").best
    chart = _is(utility_chart(fit, MARKS))
    curves, bands = _of(chart, Line), _of(chart, Band)
    assert [curve.y[0] for curve in curves] == [1.0] * 4
    assert [series.x[0] for series in _of(chart, Points)] == [pool.values["tau"] for pool in fit.pools]
    assert [series.y[0] for series in _of(chart, Points)] == pytest.approx([0.5] * 4)
    for curve, band in zip(curves, bands, strict=True):
        assert (band.low <= curve.y).all()
        assert (curve.y <= band.high).all()


def test_a_law_that_harms_shows_worth_below_zero_and_says_so() -> None:
    fit = planted_fit("harmful").best
    harmed = dataclasses.replace(fit, shared={**fit.shared, "harm": 0.5})
    chart = _is(utility_chart(harmed, MARKS))
    curve = _of(chart, Line)[0]
    np.testing.assert_allclose(curve.y, utility_curve(harmed, NAMES[0], curve.x))
    assert curve.y[-1] < 0
    assert chart.level == 0.0
    assert "does harm" in chart.note


def test_bands_of_the_worth_take_the_harm_of_each_draw() -> None:
    fit = planted_fit("harmful").best
    column = fit.draw_names.index("harm")
    raised = fit.draws_SX.copy()
    raised[:, column] = 0.5
    before = _of(_is(utility_chart(fit, MARKS)), Band)[0]
    after = _of(_is(utility_chart(dataclasses.replace(fit, draws_SX=raised), MARKS)), Band)[0]
    assert after.high[-1] < before.low[-1]


def test_a_law_without_half_lives_has_no_curve_of_worth() -> None:
    assert utility_chart(planted_fit("power", 10).best, MARKS) is None


def test_the_plan_shows_each_winner_with_intervals_beside_what_was_trained() -> None:
    chart = plan_chart(PLAN, MARKS, trained(RUNS, PLAN), LAWS, SCALE)
    assert {budget.best for budget in PLAN.budgets} <= {name for name, _ in chart.legend}
    winner = PLAN.budgets[0].candidates[0]
    predicted = next(p for p in _of(chart, Points, winner.name) if p.y_interval is not None)
    assert predicted.y[0] == pytest.approx(100 * winner.predicted_error)
    assert [end[0] for end in predicted.y_interval] == pytest.approx([100 * winner.low, 100 * winner.high])
    measured = next(p for p in _of(chart, Points, winner.name) if p.y_interval is None)
    mean = np.mean(
        [r.error for r in RUNS if r.role == "verify" and r.pool == winner.name and r.samples_seen == 8_192]
    )
    assert measured.y[0] == pytest.approx(100 * mean)
    assert chart.uprights == tuple(crossover.samples_seen for crossover in PLAN.crossovers)


def test_candidates_at_one_budget_stand_beside_each_other() -> None:
    chart = plan_chart(PLAN, MARKS, [], LAWS, SCALE)
    at_first = [p.x[0] for p in _of(chart, Points)]
    assert len(set(at_first)) == len(at_first) > 1
    assert at_first == pytest.approx([PLAN.budgets[0].samples_seen] * len(at_first), rel=0.1)


def test_curves_of_the_plan_go_through_the_predictions_at_its_budgets() -> None:
    chart = plan_chart(PLAN, MARKS, [], LAWS, SCALE)
    name = PLAN.budgets[-1].best
    curve = _of(chart, Line, name)[0]
    at = np.interp(np.log(PLAN.budgets[-1].samples_seen), np.log(curve.x), curve.y)
    assert at == pytest.approx(100 * PLAN.budgets[-1].candidates[0].predicted_error, abs=0.05)


def test_the_front_is_whole_and_changes_its_colour_at_the_crossovers() -> None:
    chart = _is(frontier_chart(PLAN, MARKS, SCALE))
    front = [line for line in _of(chart, Line) if line.width == 4.0]
    assert [line.name for line in front] == [PLAN.crossovers[0].before, PLAN.crossovers[0].after]
    assert [line.mark.colour for line in front] == [mark_of(MARKS, line.name).colour for line in front]
    crossing = PLAN.crossovers[0].samples_seen
    assert front[0].x[-1] == front[1].x[0] == crossing
    assert front[0].y[-1] == front[1].y[0]
    (turn,) = _of(chart, Points)
    assert (turn.x[0], turn.y[0]) == (crossing, front[0].y[-1])
    for line, band in zip(front, _of(chart, Band), strict=True):
        assert (band.low <= line.y).all()
        assert (line.y <= band.high).all()
    on_front = {x: y for line in front for x, y in zip(line.x, line.y, strict=True)}
    assert all(on_front[point.samples_seen] == 100 * point.error for point in PLAN.frontier)


def test_a_mix_kept_at_every_budget_never_lies_below_the_front() -> None:
    chart = _is(frontier_chart(PLAN, MARKS, SCALE))
    kept = [line for line in _of(chart, Line) if line.width != 4.0]
    ends = {PLAN.crossovers[0].before, PLAN.crossovers[0].after}
    assert {line.name for line in kept} == {*ends, " + ".join(NAMES[:3]), " + ".join(NAMES)}
    best = np.array([100 * point.error for point in PLAN.frontier])
    for line in kept:
        assert (line.y >= best - 1e-9).all()
        weights = next(dict(policy.weights) for policy in PLAN.policies if policy.name == line.name)
        np.testing.assert_allclose(line.y, 100 * mix_error(LAWS, weights, SIZES, line.x), rtol=1e-9)


def test_a_front_of_free_weights_goes_by_one_name() -> None:
    plan = planted_plan(weights="continuous")
    chart = _is(frontier_chart(plan, marks_for(ranks_of(LAWS, plan, ()), plan, ()), SCALE))
    front = [line for line in _of(chart, Line) if line.width == 4.0]
    assert len({point.best for point in plan.frontier}) > 5
    assert [line.name for line in front] == [NAMES[0], FREE_WEIGHTS]
    assert front[0].x[-1] == front[1].x[0]
    assert chart.uprights == ()


def test_a_front_with_one_winner_shows_what_else_could_be_kept() -> None:
    name = PLAN.crossovers[0].before
    first = tuple(dataclasses.replace(point, best=name) for point in PLAN.frontier)
    alone = dataclasses.replace(PLAN, frontier=first, crossovers=())
    kept = [line.name for line in _of(_is(frontier_chart(alone, MARKS, SCALE)), Line) if line.width != 4.0]
    assert name not in kept
    assert " + ".join(NAMES) in kept
    assert len(kept) == 2


def test_a_plan_without_a_front_or_changes_has_no_such_figures() -> None:
    bare = dataclasses.replace(PLAN, frontier=(), crossovers=())
    assert frontier_chart(bare, MARKS, SCALE) is None
    assert crossover_chart(bare, MARKS) is None


def test_each_change_of_the_winner_has_a_row_with_its_interval() -> None:
    (first,) = PLAN.crossovers
    late = dataclasses.replace(
        first, before=first.after, after=NAMES[0], samples_seen=1e5, low=None, high=None
    )
    chart = _is(crossover_chart(dataclasses.replace(PLAN, crossovers=(first, late)), MARKS))
    one, two = _of(chart, Points)
    assert [end[0] for end in one.x_interval] == [first.low, first.high]
    assert [end[0] for end in two.x_interval] == list(chart.x.limits)
    assert (one.y[0], two.y[0]) == (1.0, 2.0)
    assert chart.rows == 2
    assert [name for name, _ in chart.legend] == [
        f"1: {first.after} overtakes {first.before}",
        f"2: {NAMES[0]} overtakes {first.after}",
    ]


def test_a_mix_has_the_same_colour_in_every_figure() -> None:
    mix = f"{NAMES[0]} + {NAMES[1]}"
    charts = [
        _errors(),
        plan_chart(PLAN, MARKS, [], LAWS, SCALE),
        _is(frontier_chart(PLAN, MARKS, SCALE)),
        _is(crossover_chart(PLAN, MARKS)),
    ]
    colours = {
        mark.colour
        for chart in charts
        for name, mark in chart.legend
        if re.search(rf"^(1: )?{re.escape(mix)}( |$)(?!\+)", name)
    }
    assert colours == {mark_of(MARKS, mix).colour}


def test_intervals_and_names_reach_plotly_escaped() -> None:
    evil = dataclasses.replace(PLAN.crossovers[0], after="<b>x</b>")
    found = spec(_is(crossover_chart(dataclasses.replace(PLAN, crossovers=(evil,)), MARKS)))
    (trace,) = found["data"]
    assert trace["name"] == "1: &lt;b&gt;x&lt;/b&gt; overtakes 0-10%"
    middle = trace["x"][0]
    assert middle + trace["error_x"]["array"][0] == pytest.approx(evil.high, rel=1e-4)
    assert middle - trace["error_x"]["arrayminus"][0] == pytest.approx(evil.low, rel=1e-4)
    assert found["layout"]["yaxis"]["range"] == [1.6, 0.4]


def test_predictions_of_a_setting_are_those_of_every_draw() -> None:
    curve = _of(_errors(), Line, f"{NAMES[3]}, 3.84k unique")[0]
    weights, unique = np.eye(4)[3], np.array(PROBE_UNIQUE)
    np.testing.assert_allclose(
        curve.y, 100 * predict_draws(LAWS, curve.x, weights, unique).mean(0), rtol=1e-12
    )


@pytest.mark.parametrize(("low", "high"), [(900.0, 1_100.0), (1e3, 5e4), (1e5, 1e8), (1e4, 1e10)])
def test_count_axes_have_a_few_ticks_inside(low: float, high: float) -> None:
    ticks = [place for place, _ in count_axis("n", low, high).ticks or ()]
    assert 1 <= len(ticks) <= 8
    assert all(low <= tick <= high for tick in ticks)


def test_numbers_that_json_cannot_hold_become_gaps() -> None:
    assert numbers([1.23456789, float("nan"), float("inf")]) == [1.23457, None, None]


def test_a_pool_that_the_laws_do_not_know_has_points_and_no_curve() -> None:
    strange = Run(pool="x", unique_samples=10, samples_seen=4_096, error=0.5)
    chart = _errors([*RUNS, strange])
    assert _of(chart, Line, "x, 10 unique") == []
    assert len(_of(chart, Points, "x, 10 unique")) == 1
