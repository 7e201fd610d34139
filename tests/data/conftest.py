from pathlib import Path

import pytest

from tests.data.bad_pool import write_bad_pool


@pytest.fixture(scope="session")
def bad_pool(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The folder of bad input and what each case has to become."""
    folder = tmp_path_factory.mktemp("bad") / "pool"
    return folder, write_bad_pool(folder)
