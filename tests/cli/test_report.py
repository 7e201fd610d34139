from pathlib import Path

import pytest

from tests.cli.conftest import Call
from tests.report.fake_workdir import make_workdir


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workdir(tmp_path_factory.mktemp("report") / "work")


def test_pictures_are_written_beside_the_page_and_named(call: Call, workdir: Path, tmp_path: Path) -> None:
    told = call("report", workdir, "--out", tmp_path / "page.html", "--pictures", tmp_path / "figures").stdout
    page, *pictures = [Path(line) for line in told.splitlines()]
    assert page.read_text().startswith("<!doctype html>")
    assert [path.name for path in pictures][:2] == ["plan.svg", "frontier.svg"]
    assert sorted(pictures) == sorted((tmp_path / "figures").iterdir())


def test_a_format_without_a_folder_and_one_that_is_unknown_are_refused(
    call: Call, workdir: Path, tmp_path: Path
) -> None:
    for options, sentence in (
        (("--format", "png"), "name their folder with --pictures FOLDER"),
        (("--pictures", tmp_path / "figures", "--format", "gif"), "choose one of svg, png"),
    ):
        refused = call("report", workdir, "--out", tmp_path / "page.html", *options)
        assert refused.exit_code == 2
        assert sentence in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
