import dataclasses
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.report.fake_workdir import make_workdir
from tests.report.planted import NAMES, planted_fit, planted_laws, planted_plan, planted_runs
from thresher.errors import InputError, MissingExtra
from thresher.report import canvas, pictures
from thresher.report.canvas import MARKERS, colour, palette
from thresher.report.chart import DASHES, SYMBOLS
from thresher.report.page import write_report

LAWS, PLAN = planted_laws(), planted_plan()
MADE = {
    "error": lambda: pictures.error_picture(LAWS),
    "residual": lambda: pictures.residual_picture(LAWS),
    "utility": lambda: pictures.utility_picture(LAWS),
    "plan": lambda: pictures.plan_picture(PLAN, LAWS, runs=planted_runs()),
    "frontier": lambda: pictures.frontier_picture(PLAN),
    "crossover": lambda: pictures.crossover_picture(PLAN),
}
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workdir(tmp_path_factory.mktemp("pictures") / "work")


def _colours(svg: str) -> set[str]:
    return set(re.findall(r"#[0-9a-f]{6}", svg))


@pytest.mark.parametrize("name", MADE)
def test_every_picture_shows_itself_and_has_the_colours_of_its_legend(name: str, tmp_path: Path) -> None:
    picture = MADE[name]()
    assert ET.fromstring(picture._repr_svg_()).tag == f"{SVG}svg"
    with Image.open(picture.save(tmp_path / "picture.png")) as image:
        assert image.format == "PNG"
        assert image.width == 1152
        inked = {f"#{bytes(shade).hex()}" for _, shade in image.convert("RGB").getcolors(2**24)}
    assert {colour(mark.colour) for _, mark in picture.chart.legend} <= inked


def test_what_is_saved_is_what_is_shown(tmp_path: Path) -> None:
    picture = MADE["crossover"]()
    assert picture.save(tmp_path / "deep" / "picture.svg").read_text() == picture._repr_svg_()


@pytest.mark.parametrize("kind", pictures.FORMATS)
def test_the_same_laws_give_the_same_bytes_without_a_date(kind: str, tmp_path: Path) -> None:
    first, second = (MADE["error"]().save(tmp_path / f"{n}.{kind}").read_bytes() for n in "ab")
    assert first == second
    assert b"<dc:date>" not in first
    assert b"Matplotlib v" not in first


def test_pictures_do_not_heed_the_settings_of_the_user_and_leave_them_alone() -> None:
    import matplotlib as mpl

    plain = MADE["utility"]()._repr_svg_()
    with mpl.rc_context({"axes.facecolor": "black", "font.size": 30, "svg.hashsalt": "other"}):
        assert MADE["utility"]()._repr_svg_() == plain
        assert mpl.rcParams["font.size"] == 30
    code = "import sys, thresher.report.pictures; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_drawing_never_starts_a_window_system() -> None:
    code = (
        "import sys; from tests.report.planted import planted_plan; from thresher.report import pictures; "
        "pictures.crossover_picture(planted_plan()); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_pools_have_the_colours_of_the_report() -> None:
    svg = MADE["error"]()._repr_svg_()
    assert {colour(f"@c{rank}") for rank in range(4)} <= _colours(svg)
    assert colour("@c5") not in _colours(svg)
    assert palette()["paper"] == "#ffffff"


def test_every_symbol_and_dash_of_the_report_can_be_drawn() -> None:
    assert set(MARKERS) == set(SYMBOLS)
    assert len(set(MARKERS.values())) == len(SYMBOLS)
    assert set(DASHES) <= set(canvas.DASHES)


def test_the_curves_in_the_picture_are_those_of_the_chart() -> None:
    picture = MADE["utility"]()
    (axes,) = picture.figure.axes
    drawn = [line for line in axes.lines if len(line.get_xdata()) > 1]
    curves = [series for series in picture.chart.series if type(series).__name__ == "Line"]
    for line, curve in zip(drawn, curves, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), curve.y)
    assert axes.get_xlim() == picture.chart.x.limits


def test_a_picture_carries_its_words() -> None:
    picture = MADE["crossover"]()
    words = "".join(ET.fromstring(picture._repr_svg_()).itertext())
    assert picture.chart.title in words
    assert PLAN.crossovers[0].after in picture.chart.summary
    assert picture.chart.summary in words


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "$\\frac{1}{0$", "_a", "a\x00b\ud800", "人" * 300]
)
def test_a_pool_of_any_name_is_drawn_as_it_is(name: str) -> None:
    renamed = dataclasses.replace(PLAN.crossovers[0], after=name)
    picture = pictures.crossover_picture(dataclasses.replace(PLAN, crossovers=(renamed,), frontier=()))
    root = ET.fromstring(picture._repr_svg_())
    assert root.findall(f".//{SVG}script") == []
    assert len(picture.figure.legends[0].get_texts()) == 1


@pytest.mark.parametrize("length", [1, 7, 20, 33, 45, 70, 400])
@pytest.mark.parametrize("letter", ["%", "W", "a"])
def test_a_legend_stays_inside_its_picture(length: int, letter: str) -> None:
    crossovers = tuple(
        dataclasses.replace(PLAN.crossovers[0], after=letter * length, before="b") for _ in range(5)
    )
    picture = pictures.crossover_picture(dataclasses.replace(PLAN, crossovers=crossovers, frontier=()))
    legend = picture.figure.legends[0].get_window_extent()
    assert legend.x0 >= 0
    assert legend.x1 <= picture.figure.bbox.width


def test_the_pictures_of_a_workdir_are_the_figures_of_its_page(workdir: Path, tmp_path: Path) -> None:
    written = pictures.write_pictures(workdir, tmp_path / "figures")
    names = [path.stem for path in written]
    page = write_report(workdir, tmp_path / "report.html").read_text()
    assert re.findall(r'<div class="chart" id="chart-([\w-]+)"', page) == names
    assert names == [
        *("plan", "frontier", "crossovers", "errors", "residuals", "utility", "scores"),
        *("training-samples", "training-flops", "learnability", "training-repeats", "resolutions"),
    ]
    assert all(ET.parse(path).getroot().tag == f"{SVG}svg" for path in written)
    scores = written[names.index("scores")].read_text()
    assert {colour("@l0"), colour("@l1")} <= _colours(scores)


def test_what_cannot_be_drawn_is_refused_with_the_remedy(workdir: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no picture format 'gif'; choose one of svg, png"):
        pictures.write_pictures(workdir, tmp_path, format="gif")
    with pytest.raises(InputError, match=r"does not end in \.svg or \.png"):
        MADE["utility"]().save(tmp_path / "a.pdf")
    with pytest.raises(InputError, match="the power law has no half-lives"):
        pictures.utility_picture(planted_fit("power", 10))
    with pytest.raises(InputError, match="the same at all budgets"):
        pictures.crossover_picture(dataclasses.replace(PLAN, crossovers=()))
    with pytest.raises(InputError, match="holds no frontier; make it again with `thresher plan`"):
        pictures.frontier_picture(dataclasses.replace(PLAN, frontier=()))
    with pytest.raises(InputError, match="no runs with role fit or check"):
        pictures.error_picture(LAWS, runs=[])
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "quarantine.parquet").write_bytes((workdir / "quarantine.parquet").read_bytes())
    with pytest.raises(InputError, match="holds nothing to draw"):
        pictures.write_pictures(tmp_path / "bare", tmp_path)


def test_without_matplotlib_the_install_command_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r'drawing pictures needs .*pip install "thresher\[pictures\]"'):
        pictures.error_picture(LAWS)


def test_a_notebook_needs_no_ledger_beside_the_laws() -> None:
    drawn = pictures.error_picture(LAWS).chart.legend
    assert [name for name, _ in drawn][:2] == [f"{NAMES[0]}, 640 unique", f"{NAMES[0]}, 320 unique"]
