"""One recipe at several sizes is one pool."""

import pytest

from tests.planning.runs.importers.made import table
from thresher.planning.runs.importers.formats import import_runs
from thresher.planning.runs.importers.sized_names import one_recipe, without_size
from thresher.planning.runs.record import Run

ROWS = (
    "web-80M,80000000,1e9,.6",
    "web-400M,407000000,1e9,.5",
    "web-400M,407000000,3e9,.4",
    "news,1000000,1e9,.8",
)


def run(pool: str, unique: int, **fields: object) -> Run:
    return Run(**{"pool": pool, "unique_samples": unique, "samples_seen": 1000, "error": 0.5, **fields})


def pools_of(*runs: Run) -> tuple[list[object], int]:
    """The pools of the runs after joining, and how many remarks there are."""
    joined, remarks = one_recipe([("", one) for one in runs])
    return [one.pool or dict(one.weights or {}) for _, one in joined], len(remarks)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("LAION-80M", "LAION"),
        ("laion2b_en", "laion_en"),
        ("datacomp 1.4B", "datacomp"),
        ("LAION-400M-aesthetic-6M", None),
        ("top10", None),
        ("80M", None),
        ("v2beta", None),
        ("0-10%", None),
    ],
)
def test_a_size_is_digits_with_a_letter_behind_them(name, stem):
    assert without_size(name) == stem


def test_an_import_joins_the_sizes_of_a_recipe_and_says_so(tmp_path):
    path = table(tmp_path / "runs.csv", "pool,unique_samples,samples_seen,loss", *ROWS)
    said: list[str] = []
    runs = import_runs([path], format="table", metric="loss", remark=said.append)
    assert [run.pool for run in runs] == ["web", "web", "web", "news"]
    assert [run.unique_samples for run in runs[:3]] == [80_000_000, 407_000_000, 407_000_000]
    (sentence,) = said
    assert sentence.startswith("web-80M, web-400M are one recipe at 2 sizes")
    assert "--sizes-apart" in sentence
    apart = import_runs([path], format="table", metric="loss", sizes_apart=True, remark=said.append)
    assert [run.pool for run in apart] == ["web-80M", "web-400M", "web-400M", "news"]
    assert len(said) == 1


def test_a_mix_with_other_pools_is_joined_too():
    mix = Run(
        weights={"web-2B": 1, "news": 1},
        unique_samples={"web-2B": 20, "news": 5},
        samples_seen=1000,
        error=0.5,
    )
    assert pools_of(run("web-80M", 8), mix) == (["web", {"web": 1, "news": 1}], 1)


def test_pools_stay_apart_where_they_may_be_several():
    both = Run(
        weights={"a-1M": 1, "a-2M": 1}, unique_samples={"a-1M": 1, "a-2M": 2}, samples_seen=9, error=0.5
    )
    assert pools_of(run("a-1M", 1), run("a-2M", 2), both)[1] == 0, "a run draws from two of them"
    assert pools_of(run("a-1M", 5), run("a-2M", 5)) == (["a-1M", "a-2M"], 0), "of one size"
    assert pools_of(run("a", 9), run("a-1M", 1), run("a-2M", 2))[1] == 0, "another pool has the name"
    assert pools_of(run("a-1M", 1), run("b-2M", 2))[1] == 0
