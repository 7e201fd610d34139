import pytest

from thresher.errors import InputError
from thresher.planning.runs.importers.records import (
    Metric,
    error_of,
    metric_label,
    parse_metric,
    sounds_like_accuracy,
)


@pytest.mark.parametrize(
    "name",
    [
        "acc1",
        "acc",
        "val/acc1",
        "top1",
        "top-5",
        "Test Accuracy",
        "image_retrieval_recall@5",
        "R@1",
        "mAP_auc",
        "f1",
    ],
)
def test_a_name_of_an_accuracy_has_to_be_turned_into_an_error(name):
    assert sounds_like_accuracy(name)
    with pytest.raises(InputError, match=f"write 1-{name}"):
        parse_metric(name)
    assert parse_metric(f"1-{name}") == Metric(name, 1)
    assert parse_metric(f"100-{name}") == Metric(name, 100)


@pytest.mark.parametrize(
    "name", ["loss", "val_loss", "error", "top1_error", "acc1_err", "perplexity", "accuracy_loss"]
)
def test_a_name_of_an_error_stays_as_it_is(name):
    assert parse_metric(name) == Metric(name)
    assert metric_label(Metric(name)) == name


@pytest.mark.parametrize("text", ["", "mean_rank", "image_to_text_median_rank"])
def test_what_is_neither_is_refused(text):
    with pytest.raises(InputError, match="no error or accuracy"):
        parse_metric(text)


@pytest.mark.parametrize(
    ("metric", "value", "error"),
    [
        (Metric("acc", 1), "0.67", 0.33),
        (Metric("acc", 1), 0, 1.0),
        (Metric("acc", 100), 67, 0.33),
        (Metric("loss"), "3.25", 3.25),
        (Metric("loss"), -1, -1.0),
    ],
)
def test_errors_are_what_is_left_of_an_accuracy(metric, value, error):
    assert error_of(metric, value) == error


@pytest.mark.parametrize("value", [None, True, "x", [1], float("nan"), "inf", 10**400])
def test_a_value_that_is_no_finite_number_is_never_zero(value):
    for metric in (Metric("acc", 1), Metric("loss")):
        with pytest.raises(InputError, match="drop the row or measure the run again"):
            error_of(metric, value)
