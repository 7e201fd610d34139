"""Tables of runs that cannot be fitted: `thresher fit` answers each in one sentence, with row and remedy."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Call
from thresher.planning.runs.table_file import MAX_ROWS

HEADER = "pool,unique_samples,samples_seen,error\n"
GOOD = "top,12800000,12800000,0.9\ntop,12800000,64000000,0.8\nrest,12800000,32000000,0.95\n"

TABLES = {
    "missing column": (
        "pool,unique,samples_seen,error\ntop,1,1,0.5\n",
        "row 1: no column 'unique_samples' among",
    ),
    "missing pool column": ("unique_samples,samples_seen,error\n1,1,0.5\n", "row 1: no column 'pool'"),
    "negative error": (HEADER + GOOD + "top,12800000,1e7,-0.2\n", "row 5: error is -0.2; it must be above 0"),
    "error of zero": (HEADER + GOOD + "top,12800000,1e7,0\n", "row 5: error is 0; it must be above 0"),
    "error above 1": (
        HEADER + GOOD + "top,12800000,1e7,83.1\n",
        "row 5: error is 83.1, above 1; write it as a",
    ),
    "not a number": (
        HEADER + GOOD + "top,12800000,1e7,nan\n",
        "row 5: error is nan; drop the row or measure",
    ),
    "infinite": (HEADER + GOOD + "top,12800000,1e7,-inf\n", "row 5: error is -inf; drop the row or measure"),
    "empty error": (
        HEADER + GOOD + "top,12800000,1e7,\n",
        "row 5: `error` is missing or empty for pool 'top'",
    ),
    "text for a number": (HEADER + GOOD + "top,12800000,1e7,?\n", "row 5: `error` is '?'; write a number"),
    "millions in one row": (
        HEADER + GOOD + "rest,12800000,32,0.97\n",
        "row 5: `samples_seen` is 32 where other rows have 12800000 and more; if it counts in millions, "
        "write 32M",
    ),
    "millions in one column": (
        HEADER + "top,12800000,32,0.9\ntop,12800000,640,0.8\n",
        "row 2: `samples_seen` is 32 and `unique_samples` 12800000, that is 0.0000025 passes; if "
        "`samples_seen` counts in millions, write 32M",
    ),
    "fractions of millions": (
        HEADER + GOOD + "rest,12.8,32000000,0.97\n",
        "row 5: `unique_samples`: '12.8' is not a whole number of samples; round it, or write 12.8M if it",
    ),
    "duplicate rows": (
        HEADER + GOOD + "top,12.8M,64M,0.8\n",
        "row 5: repeats row 3 (pool top, samples_seen 64000000, seed None); drop one of them, or tell them",
    ),
    "pool without size": (
        HEADER + GOOD + "new,,32000000,0.9\n",
        "row 5: `unique_samples` is missing or empty for pool 'new'; every run needs",
    ),
    "pool of size zero": (HEADER + GOOD + "new,0,32000000,0.9\n", "row 5: `unique_samples`: '0' is below 1"),
    "nameless pool": (HEADER + GOOD + ",1,1,0.9\n", "row 5: has neither `pool` nor `weights`; name the pool"),
    "empty file": ("", "runs.csv is empty; its first row has to name the columns"),
    "blank lines": ("\n\n\n", "runs.csv is empty; its first row has to name the columns"),
    "header alone": (HEADER, "runs.csv holds no runs; run `thresher probe`, or add rows"),
    "semicolons": (
        HEADER.replace(",", ";"),
        "row 1: the columns are parted by semicolons; save the table with commas",
    ),
    "tabs": (
        HEADER.replace(",", "\t") + "a\t1\t1\t0.5",
        "row 1: the columns are parted by tabs; save the table with",
    ),
    "decimal commas": (HEADER + "top,1,1,0,5\n", "row 2: 5 cells under 4 columns; mend the row"),
    "short row": (HEADER + GOOD + "top,1,1\n", "row 5: 3 cells under 4 columns; mend the row"),
    "two columns of one name": (
        "pool," + HEADER,
        "row 1: two columns are called 'pool'; rename or remove one",
    ),
    "no header": (GOOD, "row 1: two columns are called '12800000'"),
    "a huge cell": (
        HEADER + '"' + 200_000 * "x" + '",1,1,0.5\n',
        "row 2: a cell of 200,000 characters; shorten it, at most 100,000 are read",
    ),
    "a mix that is no JSON": (
        "weights,unique_samples,samples_seen,error\na+b,1,1,0.5\n",
        "row 2: `weights` is 'a+b'; write a JSON object",
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_bad_table_is_answered_in_one_sentence(call: Call, tmp_path: Path, name: str) -> None:
    text, sentence = TABLES[name]
    path = tmp_path / "runs.csv"
    path.write_text(text)
    _refused(call, path, sentence)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            HEADER.encode() + b"top,1,1,0.5\nr\xe9st,1,1,0.5\n",
            "row 3: is not UTF-8 text (byte 52); save the table",
        ),
        (HEADER.encode("utf-16"), "row 1: is not UTF-8 text (byte 0)"),
        (HEADER.encode("utf-16-le"), "row 1: is not UTF-8 text (it holds NUL bytes)"),
        (b"PK\x03\x04\xff", "is not UTF-8 text"),
    ],
)
def test_a_table_in_another_encoding_is_named(call: Call, tmp_path: Path, data: bytes, sentence: str) -> None:
    (tmp_path / "runs.csv").write_bytes(data)
    _refused(call, tmp_path / "runs.csv", sentence)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            '{"pool": "a", "unique_samples": 1, "samples_seen": 1, "error": NaN}',
            "row 2: error is nan; drop the row",
        ),
        (
            '{"pool": "a", "unique_samples": 1, "samples_seen": true, "error": 0.5}',
            "row 2: `samples_seen`: 'True' is",
        ),
        (
            '{"pool": "a", "unique_samples": 1, "samples_seen": 1}',
            "row 2: `error` is missing or empty for pool 'a'",
        ),
        (
            '{"pool": "a", "unique_samples": 1, "samples_seen": 1, "error": true}',
            "row 2: `error` is True; write a",
        ),
        (
            '{"pool": ["a"], "unique_samples": 1, "samples_seen": 1, "error": 0.5}',
            "row 2: `pool` is ['a']; write a",
        ),
        ("[" * 100_000, "row 2: '[[[[[[[[[[[[[[[[[[[[["),
        (
            "pool,unique_samples,samples_seen,error",
            "row 2: 'pool,unique_samples,samples_seen,error' is not a JSON",
        ),
        ('{"version": 9}', "row 2: schema None version 9 is not 'thresher.run' version 1"),
    ],
)
def test_a_bad_line_of_a_ledger_is_named(call: Call, tmp_path: Path, line: str, sentence: str) -> None:
    good = json.dumps({"pool": "a", "unique_samples": 10, "samples_seen": 20, "error": 0.5})
    (tmp_path / "runs.jsonl").write_text(f"{good}\n{line}\n{good}\n")
    _refused(call, tmp_path / "runs.jsonl", sentence)


def test_a_csv_by_another_name_is_told_to_be_called_csv(call: Call, tmp_path: Path) -> None:
    (tmp_path / "runs.txt").write_text(HEADER + GOOD)
    _refused(
        call,
        tmp_path / "runs.txt",
        "is not a JSON object; mend or remove the line; a table of columns has to be",
    )


@pytest.mark.parametrize("name", ["runs.csv", "runs.jsonl"])
def test_too_many_rows_are_refused_without_reading_on(call: Call, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        file.write(HEADER.encode() + b"top,12800000,12800000,0.9\n" * (MAX_ROWS + 1))
        file.truncate(2**40)  # sparse: more than any memory
    _refused(
        call,
        path,
        f"row {MAX_ROWS + 1:,}: a table of finished runs ends by row {MAX_ROWS:,}; keep one row a run",
    )


def test_a_file_of_one_endless_line_is_not_read_to_its_end(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    with path.open("wb") as file:
        file.truncate(2**40)  # sparse
    _refused(call, path, "runs.csv is larger than 64 MiB; keep the rows and columns of finished runs")


def _refused(call: Call, path: Path, sentence: str) -> None:
    done = call("fit", path, "--out", path.parent / "laws.json")
    assert sentence in done.stderr
    assert path.name in done.stderr
    assert done.stderr.startswith("thresher: ")
    assert done.stderr.count("\n") == 1
    assert len(done.stderr) < 400
    assert (done.exit_code, done.stdout) == (2, "")
    assert not (path.parent / "laws.json").exists()
