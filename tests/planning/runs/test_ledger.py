import json

import pytest

from thresher.errors import InputError
from thresher.planning.runs.ledger import append_runs, read_runs
from thresher.planning.runs.record import (
    Run,
    mix_pool_samples,
    mix_unique,
    mix_weights,
    run_from_record,
    run_to_record,
)

HEADER = "pool,unique_samples,samples_seen,error\n"


def a_run(**changes):
    fields = {
        "pool": "0-10%",
        "unique_samples": 128,
        "samples_seen": 256,
        "error": 0.5,
        "metric": "zeroshot_error",
    }
    return Run(**{**fields, **changes})


def a_full_mix(**changes):
    fields = {
        "weights": {"10-20%": 0.25, "0-10%": 0.75},
        "unique_samples": {"0-10%": 96, "10-20%": 32},
        "pool_samples": {"0-10%": 960, "10-20%": 320},
        "samples_seen": 512,
        "error": 0.6125,
        "metric": "zeroshot_error",
        "metrics": {"recall": 0.25, "accuracy": 0.3875},
        "run": "mix-s0",
        "role": "check",
        "seed": 0,
        "recipe": "tiny",
        "model": "vit",
        "flops": 1.25e12,
        "final": True,
        "params": 151_277_313.0,
        "replacement": True,
    }
    return Run(**{**fields, **changes})


def write(tmp_path, text, name="runs.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_the_four_columns_of_a_csv_are_enough(tmp_path):
    path = write(tmp_path, HEADER + "top,12.8M,32e6,0.83\nrest,51200000,6400000,0.97\n")
    top, rest = read_runs(path)
    assert (top.pool, top.unique_samples, top.samples_seen, top.error) == (
        "top",
        12_800_000,
        32_000_000,
        0.83,
    )
    assert (rest.role, rest.metric, rest.final) == ("fit", "error", None)


def test_a_csv_holds_mixes_and_flags(tmp_path):
    row = '"{""a"": 3, ""b"": 1}",400,800,0.5,false,check\n'
    path = write(tmp_path, "weights,unique_samples,samples_seen,error,final,role\n" + row)
    (run,) = read_runs(path)
    assert mix_weights(run) == {"a": 0.75, "b": 0.25}
    assert mix_unique(run) == {"a": 300.0, "b": 100.0}
    assert run.final is False
    assert run.role == "check"


def test_a_csv_holds_model_size_and_the_way_of_drawing(tmp_path):
    header = HEADER.replace("error", "error,params,replacement")
    first, second = read_runs(write(tmp_path, header + "top,128,256,0.5,151M,true\nrest,128,256,0.6,,\n"))
    assert (first.params, first.replacement) == (151e6, True)
    assert (second.params, second.replacement) == (None, None)


def test_model_sizes_and_ways_of_drawing_tell_runs_apart(tmp_path):
    header = HEADER.replace("error", "error,params,replacement")
    rows = "top,128,256,0.5,1e8,yes\ntop,128,256,0.5,1e8,no\ntop,128,256,0.4,2e8,no\n"
    assert len(read_runs(write(tmp_path, header + rows))) == 3


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("params", "0", "`params` is 0; give a positive number"),
        ("params", "-1e6", "`params` is -1000000; give a positive number"),
        ("params", "nan", "`params` is nan"),
        ("params", "big", "`params` is 'big'; write a number"),
        ("flops", "inf", "`flops` is inf"),
        ("replacement", "perhaps", "`replacement` is 'perhaps'; write true or false"),
    ],
)
def test_a_bad_label_is_named(tmp_path, column, cell, message):
    path = write(tmp_path, f"{HEADER.strip()},{column}\ntop,128,256,0.5,{cell}\n")
    with pytest.raises(InputError, match=rf"row 2: {message}"):
        read_runs(path)


def test_another_error_column_names_the_metric(tmp_path):
    path = write(tmp_path, HEADER.replace("error", "imagenet_error") + "top,128,256,0.8\n")
    (run,) = read_runs(path, error_column="imagenet_error")
    assert (run.error, run.metric) == (0.8, "imagenet_error")
    with pytest.raises(InputError, match=r"no column 'error'.*'imagenet_error'.*--error-column"):
        read_runs(path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("top,128,256,nan", "error is nan; drop the row"),
        ("top,128,256,inf", "error is inf"),
        ("top,128,256,-0.2", "error is -0.2; it must be above 0"),
        ("top,128,256,0", "error is 0; it must be above 0"),
        ("top,128,256,83", "error is 83, above 1; write it as a fraction"),
        ("top,128,256,abc", "`error` is 'abc'; write a number"),
        ("top,0,256,0.5", "`unique_samples`: '0' is below 1"),
        ("top,-3,256,0.5", "`unique_samples`: '-3' is not a count"),
        ("top,128,,0.5", "`samples_seen` is missing or empty"),
        (",128,256,0.5", "has neither `pool` nor `weights`"),
        ("top,128,256", "3 cells under 4 columns"),
        ("top,128,256,0.4", r"repeats row 2 \(pool top, samples_seen 256, seed None\)"),
    ],
)
def test_a_bad_row_is_named_with_value_and_remedy(tmp_path, row, message):
    path = write(tmp_path, HEADER + "top,128,256,0.5\n" + row + "\n")
    with pytest.raises(InputError, match=rf"runs\.csv, row 3: .*{message}"):
        read_runs(path)


def test_a_missing_column_is_named(tmp_path):
    with pytest.raises(
        InputError, match=r"row 1: no column 'unique_samples' among pool, samples_seen, error"
    ):
        read_runs(write(tmp_path, "pool,samples_seen,error\na,1,0.5\n"))
    with pytest.raises(InputError, match="no column 'pool'"):
        read_runs(write(tmp_path, "unique_samples,samples_seen,error\n1,1,0.5\n"))


def test_only_a_loss_may_exceed_one():
    assert a_run(error=2.5, metric="validation_loss").error == 2.5
    with pytest.raises(InputError, match="above 1"):
        a_run(error=2.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pool": None}, "exactly one of `pool`"),
        ({"weights": {"a": 1.0}}, "exactly one of `pool`"),
        ({"unique_samples": 0}, "`unique_samples` is 0"),
        ({"unique_samples": {"0-10%": 5}}, "give one number"),
        ({"samples_seen": 0}, "samples_seen is 0"),
        ({"role": "train"}, "role is 'train'; use one of fit, check, verify"),
    ],
)
def test_a_run_is_valid_or_not_made(changes, message):
    with pytest.raises(InputError, match=message):
        a_run(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": {"a": -1.0, "b": 2.0}}, "weight of 'a' is -1.0"),
        ({"weights": {"a": 0.0}}, "sum to zero"),
        ({"unique_samples": {"0-10%": 5}}, "`unique_samples` lacks '10-20%'"),
    ],
)
def test_a_mix_needs_weights_and_sizes(changes, message):
    with pytest.raises(InputError, match=message):
        a_full_mix(**changes)


def test_pool_sizes_fall_back_on_what_the_run_used():
    assert mix_pool_samples(a_run()) == {"0-10%": 128.0}
    assert mix_pool_samples(a_full_mix()) == {"0-10%": 960.0, "10-20%": 320.0}


def test_a_run_survives_its_record():
    for run in (a_run(), a_full_mix()):
        assert run_from_record(json.loads(json.dumps(run_to_record(run)))) == run


def test_the_ledger_gives_back_what_was_appended(tmp_path):
    path = tmp_path / "deep" / "runs.jsonl"
    assert append_runs(path, [a_run()]) == 1
    assert append_runs(path, [a_full_mix(), a_run(seed=1)]) == 2
    assert read_runs(path) == [a_run(), a_full_mix(), a_run(seed=1)]
    assert read_runs(path.parent) == read_runs(path)


def test_the_ledger_has_one_spelling_of_a_run(tmp_path):
    turned = a_full_mix(weights={"0-10%": 0.75, "10-20%": 0.25}, metrics={"accuracy": 0.3875, "recall": 0.25})
    append_runs(tmp_path / "one.jsonl", [a_full_mix()])
    append_runs(tmp_path / "other.jsonl", [turned])
    line = (tmp_path / "one.jsonl").read_bytes()
    assert line == (tmp_path / "other.jsonl").read_bytes()
    assert line.startswith(
        b'{"schema": "thresher.run", "version": 1, "run": "mix-s0", "role": "check", "weights": {"0-10%"'
    )


def test_appending_a_run_again_changes_nothing(tmp_path):
    path = tmp_path / "runs.jsonl"
    append_runs(path, [a_run(), a_full_mix()])
    before = path.read_bytes()
    assert append_runs(path, [a_full_mix(), a_run()]) == 0
    assert path.read_bytes() == before


def test_another_result_for_the_same_run_is_refused(tmp_path):
    path = tmp_path / "runs.jsonl"
    append_runs(path, [a_run()])
    with pytest.raises(InputError, match=r"already holds this run .* error 0.5 there, 0.7 here"):
        append_runs(path, [a_run(error=0.7)])
    assert read_runs(path) == [a_run()]


def test_a_line_cut_short_by_a_kill_is_ignored_then_mended(tmp_path):
    whole = tmp_path / "whole.jsonl"
    append_runs(whole, [a_run(), a_full_mix()])
    data = whole.read_bytes()
    first = data.index(b"\n") + 1
    path = tmp_path / "runs.jsonl"
    for end in (first + 1, first + 40, len(data) - 2):
        path.write_bytes(data[:end])
        assert read_runs(path) == [a_run()]
        assert append_runs(path, [a_full_mix()]) == 1
        assert path.read_bytes() == data


def test_a_whole_last_line_without_its_newline_counts(tmp_path):
    path = tmp_path / "runs.jsonl"
    append_runs(path, [a_run(), a_full_mix()])
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    assert read_runs(path) == [a_run(), a_full_mix()]
    append_runs(path, [a_run(seed=3)])
    assert path.read_bytes().startswith(data)
    assert len(read_runs(path)) == 3


def test_a_ledger_with_nothing_but_a_cut_line_starts_afresh(tmp_path):
    path = write(tmp_path, '{"schema": "thresher.run", "ver', "runs.jsonl")
    with pytest.raises(InputError, match="holds no runs"):
        read_runs(path)
    append_runs(path, [a_run()])
    assert read_runs(path) == [a_run()]


def test_a_broken_line_in_the_middle_is_named(tmp_path):
    path = tmp_path / "runs.jsonl"
    append_runs(path, [a_run()])
    path.write_bytes(b'{"pool": "a", \n' + path.read_bytes())
    with pytest.raises(InputError, match=r"runs\.jsonl, row 1: .* is not a JSON object"):
        read_runs(path)


def test_a_line_of_another_version_is_refused(tmp_path):
    record = {**run_to_record(a_run()), "version": 2}
    path = write(tmp_path, json.dumps(record) + "\n", "runs.jsonl")
    with pytest.raises(InputError, match=r"version 2 is not 'thresher\.run' version 1"):
        read_runs(path)


def test_a_missing_an_empty_and_a_binary_file_are_told_apart(tmp_path):
    with pytest.raises(InputError, match="there is no file of runs at"):
        read_runs(tmp_path / "none.csv")
    with pytest.raises(InputError, match="holds no runs"):
        read_runs(write(tmp_path, HEADER))
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8 text"):
        read_runs(tmp_path / "binary.csv")
    with pytest.raises(InputError, match=r"appended to a \.jsonl ledger"):
        append_runs(tmp_path / "runs.csv", [a_run()])


def test_a_quote_that_swallows_runs_is_named(tmp_path):
    lines = ["top,128,256,0.5", '"top,128,512,0.4', "top,128,1024,0.3", "top,128,2048,0.2"]
    with pytest.raises(InputError, match=r"runs\.csv, line 3: .*; mend the line"):
        read_runs(write(tmp_path, HEADER + "\n".join(lines) + "\n"))
    lines[-1] = 'top",128,2048,0.2'
    with pytest.raises(InputError, match=r"runs\.csv, line 3: a quote is not closed, .* rows; mend the line"):
        read_runs(write(tmp_path, HEADER + "\n".join(lines) + "\n"))
