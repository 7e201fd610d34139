from pathlib import Path

import pytest

from tests.report.fake_workdir import make_workdir
from thresher.report.page import write_report


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    """A whole workdir that a test may change."""
    return make_workdir(tmp_path / "work")


@pytest.fixture(scope="session")
def page_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a whole workdir."""
    folder = tmp_path_factory.mktemp("report")
    return write_report(make_workdir(folder / "work"), folder / "report.html")


@pytest.fixture(scope="session")
def page(page_path: Path) -> str:
    return page_path.read_text(encoding="utf-8")
