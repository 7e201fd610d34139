import pytest

from tests.planning.runs.importers.made import table
from thresher.errors import InputError
from thresher.planning.runs.importers.formats import import_runs

SUPPLY = {"pool": "a", "unique_samples": "1M"}
CHART = (
    '"Step","top - s0 - val/acc1","top - s0 - val/acc1__MIN","top - s0 - val/acc1__MAX","rest - val/acc1",'
    '"rest - val/acc1__MIN","rest - val/acc1__MAX"',
    '"100","0.1","0.1","0.1","","",""',
    '"200","","","","0.15","0.15","0.15"',
    '"300","0.25","0.25","0.25","","",""',
)
RUNS = (
    '"Name","State","Notes","Tags","Runtime","Sweep","batch_size","train_num_samples","val/acc1","val/loss"',
    '"top","finished","-","","3601","","4096","12800000","0.25","2.5"',
    '"rest","finished","-","","3600","","4096","12800000","0.15","3.5"',
)


def imported(source, **arguments):
    return import_runs([source], format="wandb", **{"supply": SUPPLY, **arguments})


def test_the_last_value_of_each_line_of_a_chart_is_a_run(tmp_path):
    runs = imported(table(tmp_path / "chart.csv", *CHART), metric="1-val/acc1", samples_per_step=4096)
    assert [(run.run, run.samples_seen, run.error) for run in runs] == [
        ("top - s0", 300 * 4096, 0.75),
        ("rest", 200 * 4096, 0.85),
    ]
    assert {run.metric for run in runs} == {"val/acc1_error"}
    assert {run.final for run in runs} == {None}


def test_the_largest_step_of_a_chart_counts_in_whatever_order_its_rows_stand(tmp_path):
    path = table(tmp_path / "chart.csv", CHART[0], *CHART[:0:-1])
    runs = imported(path, metric="1-val/acc1", samples_per_step=4096)
    assert [(run.samples_seen, run.error) for run in runs] == [(300 * 4096, 0.75), (200 * 4096, 0.85)]
    supply = {**SUPPLY, "final": True}
    runs = imported(path, metric="1-val/acc1", samples_per_step=10, all_points=True, supply=supply)
    assert [(run.samples_seen, run.final) for run in runs] == [(1000, False), (3000, True), (2000, True)]
    with pytest.raises(InputError, match=r"row 3: 'x' in the column 'Step' is no number; remove the row"):
        imported(table(tmp_path / "odd.csv", "Step,a - loss", "1,2", "x,3"))
    with pytest.raises(InputError, match=r"row 3: 'nan' in the column 'Step' is no number; remove the row"):
        imported(table(tmp_path / "nan.csv", "Step,a - loss", "100,2", "nan,3", "50,4"))


def test_all_points_of_a_chart_are_mid_run_but_the_last(tmp_path):
    path = table(tmp_path / "chart.csv", *CHART)
    supply = {**SUPPLY, "final": True}
    runs = imported(path, metric="1-val/acc1", samples_per_step=10, all_points=True, supply=supply)
    assert [(run.samples_seen, run.final) for run in runs] == [(1000, False), (3000, True), (2000, True)]


def test_an_axis_of_samples_needs_no_step(tmp_path):
    path = table(tmp_path / "chart.csv", '"train/samples_seen","a - loss"', '"1e6","3.5"', '"2000000","3.1"')
    (run,) = imported(path)
    assert (run.samples_seen, run.error, run.metric) == (2_000_000, 3.1, "loss")


def test_an_axis_of_epochs_or_of_time_says_what_it_needs(tmp_path):
    path = table(tmp_path / "epochs.csv", '"epoch","a - loss"', '"4","3.5"')
    assert imported(path, samples_per_epoch=100)[0].samples_seen == 400
    with pytest.raises(
        InputError, match=r"row 2, column 'a - loss': .*counts epochs; .*\(--samples-per-epoch\)"
    ):
        imported(path)
    path = table(tmp_path / "time.csv", '"Relative Time (Process)","a - loss"', '"4.5","3.5"')
    with pytest.raises(InputError, match=r"x axis is 'Relative Time \(Process\)'; export it over Step"):
        imported(path)


def test_a_chart_of_an_accuracy_is_not_taken_for_an_error(tmp_path):
    path = table(tmp_path / "chart.csv", *CHART)
    for metric in ((), "val/acc1"):
        with pytest.raises(InputError, match="'val/acc1' sounds like an accuracy; write 1-val/acc1"):
            imported(path, metric=metric, samples_per_step=1)


def test_a_metric_that_the_chart_does_not_show_is_named(tmp_path):
    path = table(tmp_path / "chart.csv", *CHART)
    with pytest.raises(
        InputError, match=r"row 1: no run has 'val/loss'; name one that the chart shows: val/acc1"
    ):
        imported(path, metric="val/loss")
    path = table(tmp_path / "two.csv", '"Step","a - loss","a - error"', '"1","2","3"')
    with pytest.raises(InputError, match="row 1: shows loss, error; say which"):
        imported(path)


@pytest.mark.parametrize(("cell", "message"), [("NaN", "loss is 'NaN'"), ("Infinity", "loss is 'Infinity'")])
def test_a_run_that_diverged_is_named(tmp_path, cell, message):
    path = table(tmp_path / "chart.csv", '"Step","a - loss"', '"1","2"', f'"2","{cell}"')
    with pytest.raises(InputError, match=rf"chart\.csv, row 3, column 'a - loss': {message}"):
        imported(path, samples_per_step=1)


def test_a_run_without_any_value_is_named(tmp_path):
    path = table(tmp_path / "chart.csv", '"Step","a - loss","b - loss"', '"1","2",""')
    with pytest.raises(InputError, match="column 'b - loss' holds no value"):
        imported(path, samples_per_step=1)


def test_two_runs_of_one_name_are_told_to_differ(tmp_path):
    path = table(tmp_path / "chart.csv", '"Step","a - loss","a - loss"', '"1","2","3"')
    with pytest.raises(InputError, match="row 1: two columns are called 'a - loss'; rename or remove one"):
        imported(path, samples_per_step=1)


def test_the_table_of_runs_is_a_run_a_row(tmp_path):
    path = table(tmp_path / "runs.csv", *RUNS)
    top, rest = imported(path, metric="1-val/acc1", columns={"samples_seen": "train_num_samples"})
    assert (top.run, top.error, top.samples_seen) == ("top", 0.75, 12_800_000)
    assert (rest.run, rest.error) == ("rest", 0.85)
    assert imported(path, metric="val/loss", supply={**SUPPLY, "samples_seen": "5M"})[0].error == 2.5


def test_a_run_that_is_not_finished_is_refused_or_left_out(tmp_path):
    path = table(tmp_path / "runs.csv", *RUNS, '"bad","crashed","-","","5","","4096","12800000","",""')
    arguments = {"metric": "1-val/acc1", "columns": {"samples_seen": "train_num_samples"}}
    with pytest.raises(
        InputError, match=r"row 4: run 'bad' is 'crashed', not finished; .*--where State=finished"
    ):
        imported(path, **arguments)
    assert len(imported(path, where=["State=finished"], **arguments)) == 2


def test_a_table_of_runs_needs_a_metric_and_a_chart_no_columns(tmp_path):
    with pytest.raises(InputError, match="say which column measures the runs"):
        imported(table(tmp_path / "runs.csv", *RUNS))
    with pytest.raises(InputError, match="is the export of a chart; --column, --where"):
        imported(table(tmp_path / "chart.csv", *CHART), metric="1-val/acc1", where=["Step=100"])


def test_another_table_is_recognised_as_such(tmp_path):
    with pytest.raises(
        InputError, match="no column is called 'RUN - METRIC', nor one 'Name', among a, b; export"
    ):
        imported(table(tmp_path / "other.csv", "a,b", "1,2"))
    with pytest.raises(InputError, match="there is no export at"):
        imported(tmp_path)
