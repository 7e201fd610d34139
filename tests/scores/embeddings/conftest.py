from types import SimpleNamespace

import pytest

from tests.data.conftest import bad_pool
from tests.small_pool import write_shards
from thresher.scores.embeddings.embed import embed_shards

__all__ = ["bad_pool"]

MODEL = "thresher-tiny-32"


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Three small shards and their embeddings as fp16 and as int8."""
    root = tmp_path_factory.mktemp("embedded")
    shards = write_shards(root / "in", (5, 1, 9))
    options = {"device": "cpu", "precision": "fp32", "batch_size": 4}
    folders = {
        dtype: embed_shards(shards, MODEL, root / dtype, dtype=dtype, **options).whole()
        for dtype in ("fp16", "int8")
    }
    return SimpleNamespace(root=root, shards=shards, options=options, **folders)
