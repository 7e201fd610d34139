"""A combination that is learned: planted truths, and what it says of itself."""

from pathlib import Path

import numpy as np
import pytest

from tests.small_pool import uid
from thresher.errors import InputError
from thresher.scores.combine.labels import Labels, read_labels
from thresher.scores.combine.learned import features, learn, load_model, save_model
from thresher.scores.combine.rank_shares import auc


def planted(
    tmp_path: Path, count: int = 1500, noise: tuple[float, ...] = (1.0, 1.5)
) -> tuple[np.ndarray, Labels]:
    """Scores with a common truth and independent noise, of very different scales, and the labels."""
    draw = np.random.default_rng(5)
    good = draw.random(count) < 0.5
    columns = [good + spread * draw.standard_normal(count) for spread in noise]
    values = np.stack([np.exp(columns[0]), *(1e-4 * column for column in columns[1:])], axis=1)
    lines = [f"{uid(n)}\t{int(good[n])}" for n in range(count)]
    (tmp_path / "l.tsv").write_text("\n".join(["uid\tlabel", *lines]))
    labels = read_labels(tmp_path / "l.tsv")
    order = np.argsort([uid(n) for n in range(count)])
    return values[order].astype(np.float32), labels


def test_two_scores_that_err_apart_are_better_together_than_the_better_one(tmp_path: Path) -> None:
    values, labels = planted(tmp_path)
    model = learn(values, np.arange(len(values)), labels, {"a": "1", "b": "2"})
    held = model.held_out
    assert held.best == "a"
    assert held.gain.value > 2 * held.gain.standard_error
    weights = {column.name: column.weight for column in model.columns}
    assert weights["a"] > weights["b"] > 0
    # what a normal truth allows: the noise of both, weighed by their precision
    assert held.combined.value == pytest.approx(0.802, abs=0.02)


def test_a_score_without_meaning_is_given_no_weight(tmp_path: Path) -> None:
    values, labels = planted(tmp_path, noise=(1.0, 1e6))
    model = learn(values, np.arange(len(values)), labels, {"a": "", "b": ""})
    assert abs(model.columns[1].weight) < 0.1 * model.columns[0].weight
    assert model.held_out.gain.value < 2 * model.held_out.gain.standard_error


def test_a_score_where_lower_is_better_helps_as_well(tmp_path: Path) -> None:
    values, labels = planted(tmp_path)
    values[:, 1] *= -1
    model = learn(values, np.arange(len(values)), labels, {"a": "", "b": ""})
    assert model.columns[1].weight < 0
    assert model.held_out.gain.value > 0


def test_weights_are_where_the_gradient_of_the_penalised_loss_is_zero(tmp_path: Path) -> None:
    values, labels = planted(tmp_path, count=200)
    model = learn(values, np.arange(200), labels, {"a": "", "b": ""}, l2=2.0)
    known = features(values, [column.quantiles for column in model.columns])
    weights = np.array([column.weight for column in model.columns])
    off = 1 / (1 + np.exp(-model.scores(values))) - labels.good
    assert np.abs(known.T @ off + 2.0 * weights).max() < 1e-4
    assert abs(off.sum()) < 1e-4


def test_what_is_held_out_was_not_learned_from(tmp_path: Path) -> None:
    """Labels by chance and 40 columns: learned by heart they would look good."""
    draw = np.random.default_rng(3)
    _, labels = planted(tmp_path, count=200)
    values = draw.standard_normal((200, 40)).astype(np.float32)
    model = learn(values, np.arange(200), labels, {f"c{n}": "" for n in range(40)}, l2=0.0)
    seen = auc(model.scores(values), labels.good, labels.groups).value
    assert seen > 0.7
    assert model.held_out.combined.value < 0.6


def test_a_model_that_was_kept_scores_alike(tmp_path: Path) -> None:
    values, labels = planted(tmp_path, count=300)
    model = learn(values, np.arange(300), labels, {"a": "1", "b": "2"})
    save_model(model, tmp_path / "model.json")
    kept = load_model(tmp_path / "model.json")
    assert kept == model
    assert (kept.scores(values) == model.scores(values)).all()


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    for content, sentence in (
        ("{", "is not JSON"),
        ("{}", "not .thresher.combination. version 1"),
        ('{"schema": "x", "version": 1}', "holds .x. version 1"),
    ):
        (tmp_path / "m.json").write_text(content)
        with pytest.raises(InputError, match=sentence):
            load_model(tmp_path / "m.json")
    with pytest.raises(InputError, match="there is no model"):
        load_model(tmp_path / "absent.json")


def test_what_cannot_be_learned_is_said(tmp_path: Path) -> None:
    values, labels = planted(tmp_path, count=300)
    with pytest.raises(InputError, match="all pairs have 7 in b"):
        learn(
            np.column_stack([values[:, 0], np.full(300, 7, np.float32)]),
            np.arange(300),
            labels,
            {"a": "", "b": ""},
        )
    few = labels.taking(np.arange(300) < 3)
    with pytest.raises(InputError, match="label more pairs"):
        learn(values, np.arange(3), few, {"a": "", "b": ""})
    with pytest.raises(InputError, match="l2=-1"):
        learn(values, np.arange(300), labels, {"a": "", "b": ""}, l2=-1)
