import csv
import json

import pytest

from tests.planning.runs.importers.made import table
from thresher.errors import InputError
from thresher.planning.runs.importers.formats import import_runs

HEADER = "name,arch,data,seen,task,acc1,recall"
TASKS = (
    HEADER,
    "r1,B32,LAION-80M,3000000000,cars,0.5,",
    "r1,B32,LAION-80M,3000000000,coco,,0.3",
    "r2,B32,LAION-400M,3000000000,cars,0.6,",
    "r2,B32,LAION-400M,3000000000,coco,,0.5",
    "r3,B16,LAION-80M,3000000000,cars,0.7,",
    "r3,B16,LAION-80M,3000000000,coco,,0.4",
)
COLUMNS = {"run": "name", "model": "arch", "pool": "data", "samples_seen": "seen"}
SIZES = {"unique_samples": {"LAION-80M": "80M", "LAION-400M": 407e6}}


def numbered(path):
    """The rows of a table as its reader counts them: the header is the first."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(enumerate(csv.DictReader(file), 2))


def imported(source, **arguments):
    defaults = {"metric": "1-acc1", "columns": COLUMNS, "supply": SIZES}
    return import_runs([source], format="table", **{**defaults, **arguments})


def test_rows_are_chosen_columns_mapped_and_sizes_looked_up(tmp_path):
    runs = imported(table(tmp_path / "t.csv", *TASKS), where=["task=cars", "arch=B32"])
    assert [(run.run, run.pool, run.model, run.unique_samples, run.error) for run in runs] == [
        ("r1", "LAION", "B32", 80_000_000, 0.5),
        ("r2", "LAION", "B32", 407_000_000, 0.4),
    ]
    assert {(run.metric, run.samples_seen, run.role) for run in runs} == {
        ("acc1_error", 3_000_000_000, "fit")
    }


@pytest.mark.parametrize(
    ("where", "names"),
    [
        (["task=cars", "data=LAION-80M", "data=LAION-400M"], ["r1", "r2", "r3"]),
        (["task!=coco", "data!=LAION-80M"], ["r2"]),
        (["task=cars", "seen=3e9"], ["r1", "r2", "r3"]),
        (["task=cars", "name!=r1", "name!=r2"], ["r3"]),
    ],
)
def test_conditions_of_a_column_are_alternatives_and_columns_have_to_agree(tmp_path, where, names):
    runs = imported(table(tmp_path / "t.csv", *TASKS), where=where)
    assert [run.run for run in runs] == names


def test_the_mean_over_tasks_is_taken_over_all_of_them(tmp_path):
    runs = imported(
        table(tmp_path / "t.csv", *TASKS),
        metric=["1-acc1", "1-recall"],
        average_over="task",
        metric_name="mean",
    )
    assert [(run.run, run.error) for run in runs] == [
        ("r1", pytest.approx(0.6)),
        ("r2", pytest.approx(0.45)),
        ("r3", pytest.approx(0.45)),
    ]
    assert {run.metric for run in runs} == {"mean"}


def test_a_task_that_one_run_lacks_is_named_with_the_run(tmp_path):
    path = table(tmp_path / "t.csv", *TASKS[:-1])
    with pytest.raises(
        InputError,
        match=r"t\.csv, row 6: run 'r3' has no task 'coco', which other runs have; .*--where 'task!=coco'",
    ):
        imported(path, metric=["1-acc1", "1-recall"], average_over="task")
    left_out = imported(path, metric=["1-acc1", "1-recall"], average_over="task", where=["task!=coco"])
    assert [run.error for run in left_out] == pytest.approx([0.5, 0.4, 0.3])


def test_a_task_without_a_value_and_a_task_that_stands_twice_are_named(tmp_path):
    empty = table(tmp_path / "empty.csv", *TASKS, "r4,B16,LAION-80M,3000000000,cars,,")
    with pytest.raises(InputError, match=r"row 8: 'acc1' and 'recall' is empty; drop the row"):
        imported(empty, metric=["1-acc1", "1-recall"], average_over="task")
    twice = table(tmp_path / "twice.csv", *TASKS, TASKS[1])
    with pytest.raises(
        InputError, match=r"row 8: task 'cars' stands already in twice\.csv, row 2 for this run"
    ):
        imported(twice, metric=["1-acc1", "1-recall"], average_over="task")


def test_columns_named_like_a_field_need_no_mapping(tmp_path):
    path = table(tmp_path / "t.csv", "pool,unique_samples,samples_seen,seed,final,err", "a,1M,4e6,3,true,0.5")
    (run,) = imported(path, metric="err", columns={}, supply={})
    assert (run.pool, run.unique_samples, run.samples_seen, run.seed) == ("a", 1_000_000, 4_000_000, 3)
    assert (run.final, run.error, run.metric) == (True, 0.5, "err")


def test_steps_and_epochs_of_a_table_become_samples(tmp_path):
    path = table(tmp_path / "t.csv", "pool,n,steps,epochs,loss", "a,1000000,100,2,3.5")
    supply = {"unique_samples": "1M"}
    (run,) = imported(path, metric="loss", columns={"step": "steps"}, supply=supply, samples_per_step=4096)
    assert run.samples_seen == 409_600
    (run,) = imported(
        path, metric="loss", columns={"epoch": "epochs"}, supply=supply, samples_per_epoch=10**6
    )
    assert run.samples_seen == 2_000_000


def test_json_lines_may_be_nested(tmp_path):
    rows = [
        {"config": {"data": "a", "n": 1_000_000}, "summary": {"seen": 2_000_000, "loss": 3.25}, "id": "x"},
        {"config": {"data": "b", "n": 1_000_000}, "summary": {"seen": 2_000_000, "loss": 3.5}, "id": "y"},
    ]
    path = table(tmp_path / "t.jsonl", *map(json.dumps, rows))
    columns = {
        "pool": "config.data",
        "unique_samples": "config.n",
        "samples_seen": "summary.seen",
        "run": "id",
    }
    runs = imported(path, metric="summary.loss", columns=columns, supply={})
    assert [(run.pool, run.error, run.metric) for run in runs] == [
        ("a", 3.25, "summary.loss"),
        ("b", 3.5, "summary.loss"),
    ]


def test_repeats_are_refused_or_numbered_as_seeds(tmp_path):
    rows = ("pool,unique_samples,samples_seen,loss", "a,10,20,3.5", "a,10,20,3.6", "a,10,40,3.0")
    path = table(tmp_path / "t.csv", *rows)
    with pytest.raises(InputError, match=r"t\.csv, row 3: repeats row 2"):
        imported(path, metric="loss", columns={}, supply={})
    runs = imported(path, metric="loss", columns={}, supply={}, number_seeds=True)
    assert [run.seed for run in runs] == [0, 1, None]
    path = table(tmp_path / "t.csv", *rows, rows[1])
    with pytest.raises(InputError, match=r"row 5: repeats row 2"):
        imported(path, metric="loss", columns={}, supply={}, number_seeds=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metric": "1-acc"}, r"row 1: no column 'acc' among name, arch, data, seen, task, acc1, recall"),
        ({"metric": ["1-acc1", "1-map"]}, r"row 1: no column 'map'"),
        ({"metric": ()}, r"say which column becomes the error, such as --metric val_loss or --metric 1-acc1"),
        ({"metric": "acc1"}, r"'acc1' sounds like an accuracy; write 1-acc1 \(100-acc1"),
        ({"columns": {**COLUMNS, "pool": "set"}}, r"row 1: no column 'set'"),
        ({"columns": {**COLUMNS, "size": "arch"}}, r"there is no field 'size'; use one of pool"),
        ({"where": ["tsk=cars"]}, r"row 1: no column 'tsk' \(--where\)"),
        ({"where": ["task"]}, r"--where 'task' is not of the form COLUMN=VALUE"),
        ({"where": ["task=dogs"]}, r"t\.csv: no row has task=dogs; check --where"),
        ({"average_over": "dataset"}, r"row 1: no column 'dataset'"),
        (
            {"supply": {}, "where": ["task=cars"]},
            r"row 2: `unique_samples` of run 'r1' is not known; give --unique",
        ),
        (
            {"columns": {"run": "name"}, "where": ["task=cars"]},
            r"row 2: `pool` of run 'r1' is not known; give --pool",
        ),
        (
            {"supply": {"unique_samples": {"LAION-4*": "400M", "LAION-2B": "2B"}}, "where": ["task=cars"]},
            r"`unique_samples` is given by pool, but not for 'LAION-80M'; give --unique LAION-80M=NUMBER",
        ),
        ({"supply": {**SIZES, "rol": "fit"}, "where": ["task=cars"]}, r"there is no field 'rol'"),
        (
            {"supply": {**SIZES, "role": "test"}, "where": ["task=cars"]},
            r"row 2: role is 'test'; use one of fit",
        ),
        (
            {"all_points": True},
            r"all-points means nothing for the format table; .*open_clip, datacomp, wandb",
        ),
    ],
)
def test_what_does_not_fit_the_table_is_named_with_a_remedy(tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        imported(table(tmp_path / "t.csv", *TASKS), **arguments)


@pytest.mark.parametrize(
    ("value", "metric", "message"),
    [
        ("63.2", "1-acc1", r"row 2: acc1 is 63\.2, not from 0 to 1; for per cent write 100-acc1"),
        ("-0.2", "1-acc1", r"row 2: acc1 is -0\.2, not from 0 to 1; it is no accuracy"),
        ("1", "1-acc1", r"row 2: error is 0; it must be above 0"),
        ("nan", "1-acc1", r"row 2: acc1 is 'nan'; drop the row or measure the run again"),
        ("n/a", "1-acc1", r"row 2: acc1 is 'n/a'; drop the row"),
        ("", "1-acc1", r"row 2: 'acc1' is empty; drop the row"),
    ],
)
def test_an_accuracy_that_is_none_is_named(tmp_path, value, metric, message):
    path = table(tmp_path / "t.csv", HEADER, f"r1,B32,LAION-80M,3000000000,cars,{value},")
    with pytest.raises(InputError, match=message):
        imported(path, metric=metric, supply={"unique_samples": "80M"})


def test_accuracies_in_per_cent_are_errors_as_fractions(tmp_path):
    path = table(tmp_path / "t.csv", HEADER, "r1,B32,LAION-80M,3000000000,cars,63.2,")
    (run,) = imported(path, metric="100-acc1", supply={"unique_samples": "80M"})
    assert run.error == pytest.approx(0.368)


def test_several_tables_make_one_ledger_and_repeats_across_them_are_named(tmp_path):
    one = table(tmp_path / "one.csv", "pool,unique_samples,samples_seen,loss", "a,10,20,3.5")
    two = table(tmp_path / "two.csv", "pool,unique_samples,samples_seen,loss", "a,10,20,3.5")
    with pytest.raises(InputError, match=r"two\.csv, row 2: repeats one\.csv, row 2"):
        import_runs([one, two], format="table", metric="loss")
    two = table(tmp_path / "two.csv", "pool,unique_samples,samples_seen,loss", "b,10,20,3.5")
    assert [run.pool for run in import_runs([one, two], format="table", metric="loss")] == ["a", "b"]


@pytest.mark.parametrize(
    ("format", "sources"), [("csv", ["t.csv"]), ("table", []), ("table", ["absent.csv"])]
)
def test_an_unknown_format_no_source_and_an_absent_one_are_told_apart(tmp_path, format, sources):
    words = {"csv": "there is no format 'csv'; use one of open_clip, datacomp, wandb, table"}
    expected = words.get(format, "there is no table at" if sources else "no source was named")
    with pytest.raises(InputError, match=expected):
        import_runs([tmp_path / name for name in sources], format=format, metric="loss")


def test_a_scaling_study_comes_in_by_task_and_as_an_average(laws_tables):
    path = laws_tables / "openclip_scaling_zeroshot_b32_b16.csv"
    arguments = {
        "columns": {"pool": "upstream_dataset", "model": "arch", "run": "name"},
        "supply": {
            "unique_samples": {"LAION-80M": "80M", "LAION-400M": "407M", "LAION-2B": "2B"},
            "final": True,
        },
    }
    rows = [(row, cells) for row, cells in numbered(path) if cells["upstream_dataset"] != "CLIP-WIT"]
    where = ["upstream_dataset!=CLIP-WIT"]
    imagenet = imported(path, where=[*where, "downstream_dataset=imagenet1k"], **arguments)
    assert len(imagenet) == 18
    assert {run.model for run in imagenet} == {"ViT-B-32", "ViT-B-16"}
    sizes = {80_000_000, 407_000_000, 2_000_000_000}
    assert ({run.pool for run in imagenet}, {run.unique_samples for run in imagenet}) == ({"LAION"}, sizes)
    assert [run.error for run in imagenet] == pytest.approx(
        [1 - float(cells["acc1"]) for _, cells in rows if cells["downstream_dataset"] == "imagenet1k"]
    )
    metrics = ["1-acc1", "1-image_retrieval_recall@5", "1-mean_average_precision"]
    means = imported(path, where=where, metric=metrics, average_over="downstream_dataset", **arguments)
    assert len(means) == 18
    first = next(row for row, cells in rows if not cells["acc1"])
    with pytest.raises(InputError, match=f"row {first}: 'acc1' is empty"):
        imported(path, where=where, average_over="downstream_dataset", **arguments)


def test_runs_on_repeated_text_come_in_with_numbered_seeds(laws_tables):
    path = laws_tables / "c4_repeated_data_runs.csv"
    runs = imported(
        path,
        metric="val_loss",
        columns={"samples_seen": "tokens", "unique_samples": "unique_tokens", "run": "name"},
        supply={"pool": "C4", "final": True},
        number_seeds=True,
    )
    assert [run.error for run in runs] == [float(cells["val_loss"]) for _, cells in numbered(path)]
    assert max(run.seed for run in runs if run.seed is not None) == 3
    assert all(run.params is not None and run.params > 1e6 for run in runs)
