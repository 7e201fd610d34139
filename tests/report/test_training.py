import json
from pathlib import Path

import numpy as np
import pytest

from tests.report.fake_workdir import dump, write_training
from tests.report.reading import Page
from thresher.errors import InputError
from thresher.report.page import write_report
from thresher.report.training_charts import by_method
from thresher.report.training_section import matrix_pixels
from thresher.report.workdir import method_of, read_training_runs

SETTINGS = [
    ({}, "uniform"),
    ({"select": "independent", "filter_ratio": 0.5}, "independent, f = 0.5"),
    ({"select": "joint", "filter_ratio": 0.8, "filter_ratio_end": 0.5}, "joint, f = 0.8 to 0.5"),
    ({"select": "joint", "criterion": "easy-reference"}, "joint, f = 0.8, easy-reference"),
]


@pytest.mark.parametrize(("settings", "words"), SETTINGS)
def test_a_method_is_named_by_what_it_does(settings: dict, words: str) -> None:
    assert method_of(settings) == words


def test_runs_are_found_in_the_folder_and_two_levels_below(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "a", tmp_path / "b" / "c", tmp_path / "d" / "e" / "f"):
        write_training(folder, "uniform", seen=[1024], errors=[0.5])
    dump(tmp_path / "g" / "result.json", {"schema": "another"})
    found = sorted(run.folder.relative_to(tmp_path).as_posix() for run in read_training_runs(tmp_path))
    assert found == [".", "a", "b/c"]


def test_the_table_holds_the_mean_over_seeds_and_the_shares_of_the_cost(tmp_path: Path) -> None:
    for seed, error in enumerate((0.40, 0.44)):
        write_training(tmp_path / f"u{seed}", "uniform", seen=[8192], errors=[error])
    text = Page(write_report(tmp_path, tmp_path / "report.html").read_text()).text
    row = text[text.index("uniform 8.192k") :]
    assert row.startswith("uniform 8.192k 42.0% 2 points 2 3.28e+10 75.0% 25.0%")


def test_a_metric_that_was_not_measured_shows_no_run(tmp_path: Path) -> None:
    write_training(tmp_path / "a", "uniform", seen=[1024], errors=[0.5])
    assert read_training_runs(tmp_path, "retrieval_error") == ()
    assert read_training_runs(tmp_path)[0].metric == "zeroshot_error"


def test_uniform_comes_first_whatever_the_folders_are_called(tmp_path: Path) -> None:
    pairs = [{"uid": f"{number:032x}"} for number in range(64)]
    write_training(tmp_path / "a", "joint", seen=[1024], errors=[0.5], pairs=pairs)
    write_training(tmp_path / "z", "uniform", seen=[1024], errors=[0.5])
    assert list(by_method(read_training_runs(tmp_path))) == ["uniform", "joint, f = 0.8, flexi"]


def test_pairs_chosen_most_stand_before_those_chosen_least(workdir: Path, tmp_path: Path) -> None:
    text = Page(write_report(workdir, tmp_path / "report.html", gallery=3).read_text()).text
    most = text[text.index("Chosen most") : text.index("Chosen least")]
    least = text[text.index("Chosen least") :]
    assert most.count("times") == 3
    assert least.count("chosen 0 times") == 3


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "result.json").write_text("{")
    with pytest.raises(InputError, match=r"result\.json is damaged"):
        read_training_runs(tmp_path)


def test_a_torn_last_line_of_the_telemetry_is_left_out(tmp_path: Path) -> None:
    pairs = [{"uid": f"{number:032x}"} for number in range(64)]
    write_training(tmp_path / "a", "joint", seen=[1024], errors=[0.5], pairs=pairs)
    with (tmp_path / "a" / "selection.jsonl").open("a") as file:
        file.write(json.dumps({"step": 12})[:6])
    assert [line["step"] for line in read_training_runs(tmp_path)[0].lines] == [4, 8]


def test_scores_above_zero_are_red_and_below_blue() -> None:
    pixels = matrix_pixels(np.array([[5.0, -1.0], [1.0, 5.0]], np.float32)).astype(int)
    assert (pixels[0, 0] == pixels[1, 0]).all()  # the diagonal has its own range
    assert pixels[1, 0, 0] > pixels[1, 0, 2]
    assert pixels[0, 1, 0] < pixels[0, 1, 2]
