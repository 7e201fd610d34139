"""Whatever a file holds, it is read or refused with a sentence; nothing else is raised."""

import contextlib
import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thresher.errors import InputError
from thresher.planning.runs.importers.formats import FORMATS, import_runs
from thresher.planning.runs.ledger import read_runs

SUPPLY = {"pool": "a", "unique_samples": "1M", "samples_seen": "1M"}
CELLS = st.one_of(
    st.sampled_from(
        ["", "0", "1", "0.5", "-1", "nan", "inf", "1e999", "32M", "12.8", "true", "{}", '"{""a"": 1}"']
    ),
    st.text(max_size=8),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = ("pool", "weights", "unique_samples", "samples_seen", "error", "seed", "final", "params", "metrics")
TASKS = ("key", "dataset", "metrics", "main_metric", "epoch", "imagenet-zeroshot-val-top1")
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read_or_refuse(path):
    for read in (
        lambda: read_runs(path),
        lambda: import_runs([path], format="table", metric="error", supply=SUPPLY),
        *(
            lambda name=name: import_runs([path], format=name, supply=SUPPLY)
            for name in FORMATS
            if name != "table"
        ),
    ):
        with contextlib.suppress(InputError):
            assert all(run.error > 0 for run in read())


@FUZZ
@given(data=st.binary(max_size=200))
def test_any_bytes(tmp_path, data):
    for name in ("runs.csv", "runs.jsonl"):
        (tmp_path / name).write_bytes(data)
        read_or_refuse(tmp_path / name)


@FUZZ
@given(rows=st.lists(st.lists(CELLS, min_size=5, max_size=5), max_size=4))
def test_any_cells_under_the_right_columns(tmp_path, rows):
    lines = ["pool,unique_samples,samples_seen,error,seed", *(",".join(row) for row in rows)]
    (tmp_path / "runs.csv").write_text("\n".join(lines), encoding="utf-8", errors="ignore")
    read_or_refuse(tmp_path / "runs.csv")


@FUZZ
@given(rows=st.lists(st.dictionaries(st.sampled_from(FIELDS + TASKS), JSON), max_size=4))
def test_any_values_under_the_right_keys(tmp_path, rows):
    text = "\n".join(json.dumps(row) for row in rows)
    (tmp_path / "runs.jsonl").write_text(text)
    read_or_refuse(tmp_path / "runs.jsonl")


@FUZZ
@given(line=st.text(max_size=60))
def test_any_line_of_params(tmp_path, line):
    (tmp_path / "results.jsonl").write_text('{"imagenet-zeroshot-val-top1": 0.5, "epoch": 2}\n')
    (tmp_path / "params.txt").write_text(
        f"epochs: 4\n{line}\nseed: {line}\n", encoding="utf-8", errors="ignore"
    )
    read_or_refuse(tmp_path / "results.jsonl")
