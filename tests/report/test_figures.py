import json
import re
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import pytest

from tests.report.fake_workdir import FIT, NAMES, PROBE_UNIQUE, TAU, make_fit
from tests.report.reading import Page
from thresher.laws.result import predict_mix
from thresher.report.chart import Chart, log_axis, numbers, pool_mark
from thresher.report.curves import error_chart, utility_chart
from thresher.report.wording import Scale
from thresher.runs import Run

RANKS = {name: rank for rank, name in enumerate(NAMES)}
SCALE = Scale(metric="zeroshot_error", percent=True)
SEEN = (2_048, 4_096, 8_192)
FIT_RUNS = [
    Run(pool=name, unique_samples=size, samples_seen=seen, error=0.5)
    for name, size in zip(NAMES, PROBE_UNIQUE, strict=True)
    for seen in SEEN
]
CHECK = Run(
    weights={NAMES[0]: 0.5, NAMES[1]: 0.5},
    unique_samples={NAMES[0]: 640, NAMES[1]: 640},
    samples_seen=4_096,
    error=0.45,
    role="check",
)


def _error_chart(runs: Sequence[Run]) -> Chart:
    chart = error_chart(runs, RANKS, FIT, SCALE)
    assert chart is not None
    return chart


def test_every_figure_is_one_that_plotly_takes(page: str) -> None:
    for spec in Page(page).charts.values():
        plain = json.loads(re.sub(r'"@[a-z]+\d*"', '"#123456"', json.dumps(spec)))
        assert go.Figure(plain).to_dict()["data"]


def test_every_colour_of_the_figures_is_defined_for_light_and_dark(page: str) -> None:
    used = {name for spec in Page(page).charts.values() for name in re.findall(r'"@(\w+)"', json.dumps(spec))}
    used |= set(re.findall(r"var\(--(\w+)\)", page))
    assert "c0" in used
    for name in used:
        assert len(re.findall(rf"--{name}: ?#", page)) == 2, name


def test_every_axis_has_a_title_with_its_unit(page: str) -> None:
    titles = [
        spec["layout"][axis]["title"]["text"]
        for spec in Page(page).charts.values()
        for axis in ("xaxis", "yaxis")
    ]
    assert len(titles) == 8
    assert all(re.search(r"\(%\)|seen|passes|no unit|Pairs", title) for title in titles), titles


def test_curves_are_the_predictions_of_the_law() -> None:
    lines = [t for t in _error_chart([*FIT_RUNS, CHECK]).spec["data"] if t["mode"] == "lines"]
    assert len(lines) == 5
    seen = np.array(lines[0]["x"])
    np.testing.assert_allclose(
        lines[0]["y"], 100 * predict_mix(FIT, {NAMES[0]: 1}, {NAMES[0]: 640}, seen), rtol=1e-4
    )
    mixed = 100 * predict_mix(FIT, {NAMES[0]: 1, NAMES[1]: 1}, {NAMES[0]: 640, NAMES[1]: 640}, seen)
    np.testing.assert_allclose(lines[-1]["y"], mixed, rtol=1e-4)


def test_check_mixes_have_marks_of_their_own() -> None:
    chart = _error_chart([CHECK, *FIT_RUNS])
    names = [name for name, _ in chart.legend]
    assert names[-1] == f"{NAMES[0]} + {NAMES[1]} (check)"
    marks = dict(chart.legend)
    assert not marks[names[-1]].filled
    assert all(marks[name].filled and marks[name].colour != marks[names[-1]].colour for name in names[:-1])


def test_two_sizes_of_one_pool_share_a_colour_and_differ_in_line() -> None:
    half = Run(pool=NAMES[0], unique_samples=320, samples_seen=4_096, error=0.6)
    marks = dict(_error_chart([*FIT_RUNS, half]).legend)
    whole, part = marks[f"{NAMES[0]}, 640 unique"], marks[f"{NAMES[0]}, 320 unique"]
    assert whole.colour == part.colour == pool_mark(0).colour
    assert whole.dash != part.dash


def test_without_a_law_the_points_are_drawn_alone() -> None:
    chart = error_chart(FIT_RUNS, RANKS, None, SCALE)
    assert chart is not None
    assert {trace["mode"] for trace in chart.spec["data"]} == {"markers"}
    assert error_chart([], RANKS, FIT, SCALE) is None


def test_utility_halves_at_the_half_life_and_bands_hold_the_curve() -> None:
    chart = utility_chart(FIT, RANKS)
    assert chart is not None
    traces = chart.spec["data"]
    markers = [trace for trace in traces if trace["mode"] == "markers"]
    assert [trace["x"] for trace in markers] == [[tau] for tau in TAU]
    bands = [trace for trace in traces if trace.get("fill") == "toself"]
    lines = [trace for trace in traces if trace["mode"] == "lines" and trace not in bands]
    for band, curve in zip(bands, lines, strict=True):
        num = len(curve["y"])
        high, low = np.array(band["y"][:num]), np.array(band["y"][num:][::-1])
        assert (low <= np.array(curve["y"])).all()
        assert (np.array(curve["y"]) <= high).all()


def test_a_fit_without_draws_has_no_bands() -> None:
    chart = utility_chart(make_fit(num_draws=0), RANKS)
    assert chart is not None
    assert all("fill" not in trace for trace in chart.spec["data"])


@pytest.mark.parametrize(("low", "high"), [(900.0, 1_100.0), (1e3, 5e4), (1e5, 1e8), (1e4, 1e10)])
def test_log_axes_have_a_few_ticks_inside(low: float, high: float) -> None:
    ticks = log_axis(low, high)["tickvals"]
    assert 1 <= len(ticks) <= 8
    assert all(low <= tick <= high for tick in ticks)


def test_numbers_that_json_cannot_hold_become_gaps() -> None:
    assert numbers([1.23456789, float("nan"), float("inf")]) == [1.23457, None, None]
