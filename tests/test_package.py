"""The package as it is installed, and the promises about what it loads and what it holds."""

import re
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

import thresher

ROOT = Path(__file__).parent.parent
PLANNING = [
    *(
        "budget",
        "cli",
        "curate.pools.cut",
        "curate.subset.from_plan",
        "curate.subset.write",
        "data.shards",
        "errors",
    ),
    *(
        "pipeline.config",
        "planning.api",
        "planning.laws.fit",
        "planning.plans.make_plan",
        "planning.runs.ledger",
    ),
    *(
        "planning.runs.importers.formats",
        "report.page",
        "report.pictures",
        "scores.imported.scores",
        "tables",
    ),
]
HEAVY = ["torch", "open_clip", "timm", "torchvision", "ray"]
PIN = re.compile(r"[a-z0-9][a-z0-9.-]*==[0-9][0-9a-z.]*")
OWN_MACHINE = re.compile(r"(?<![\w.:])/(?:home|root|Users|work|mnt)/")
KEPT = {"", ".cfg", ".css", ".html", ".j2", ".js", ".json", ".md", ".py", ".toml", ".txt", ".yaml", ".yml"}


def own_files() -> list[Path]:
    """The text files of the project, without what tools and commands write."""
    folders = [ROOT / name for name in ("src", "tests", "docs", "benchmarks", ".ci")]
    inside = [path for folder in folders for path in folder.rglob("*")]
    found = [path for path in [*ROOT.iterdir(), *inside] if path.is_file() and path.suffix in KEPT]
    return [path for path in found if "__pycache__" not in path.parts and path.name != ".git"]


@pytest.mark.parametrize("name", ["", *[f".{module}" for module in PLANNING]])
def test_planning_loads_without_torch(name: str) -> None:
    code = f"import sys, thresher{name}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.strip() == "[]"


def test_version_is_that_of_the_project_file_and_of_the_changelog() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert thresher.__version__ == project["version"]
    assert f"## {thresher.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_types_are_published() -> None:
    assert files("thresher").joinpath("py.typed").is_file()


def test_constraints_hold_exact_versions_and_nothing_else() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not PIN.fullmatch(line)] == []
    names = [line.partition("==")[0] for line in lines]
    assert names == sorted(set(names))


def test_everything_that_setup_installs_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["dependencies"] + [
        requirement
        for extra in ("train", "test", "dev", "docs")
        for requirement in project["optional-dependencies"][extra]
    ]
    names = {re.split(r"[<>=!~\[ ]", requirement)[0].lower().replace("_", "-") for requirement in wanted}
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert names - pinned == set()


def test_no_file_names_a_folder_of_the_machine_it_was_written_on() -> None:
    found = own_files()
    assert ROOT / "pyproject.toml" in found
    named = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in found
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if OWN_MACHINE.search(line)
    ]
    assert named == []
