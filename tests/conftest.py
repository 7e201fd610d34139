import os
from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

# no test reaches for a model on the network
os.environ["HF_HUB_OFFLINE"] = "1"
# small models are fastest on one thread, and count the same however many cores are free
os.environ.setdefault("OMP_NUM_THREADS", "1")

# the same examples on every machine, however busy it is
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)
NO_SKIPS = os.environ.get("THRESHER_NO_SKIPS", "0") not in ("", "0")
MAY_SKIP = ("needs a CUDA device", "triton comes with torch for CUDA only", "set THRESHER_DATA")
"""Reasons that hold where everything is installed: they ask for a device or for data of others."""


@pytest.fixture(params=["planted", "published"])
def laws_tables(request: pytest.FixtureRequest) -> Path:
    """A folder of tables of finished runs: ours, with planted laws, and the published ones where they are."""
    if request.param == "planted":
        return Path(__file__).parent / "tables"
    if "THRESHER_DATA" not in os.environ:
        pytest.skip("set THRESHER_DATA to the folder that holds laws/")
    return Path(os.environ["THRESHER_DATA"]) / "laws"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _unless_forbidden((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _unless_forbidden((yield))


def _unless_forbidden(report: Report) -> Report:
    """With THRESHER_NO_SKIPS=1 what is skipped has failed: what it needs should be there."""
    if NO_SKIPS and report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not reason.startswith(MAY_SKIP):
            report.outcome = "failed"
            report.longrepr = f"{report.nodeid} was skipped, and THRESHER_NO_SKIPS is set: {reason}"
    return report
