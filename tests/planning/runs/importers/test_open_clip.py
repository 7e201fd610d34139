import pytest

from tests.planning.runs.importers.made import open_clip_run, params, table, validated, zero_shot
from thresher.errors import InputError
from thresher.planning.runs.importers.formats import import_runs

SUPPLY = {"pool": "0-10%", "unique_samples": 12_800_000}


def imported(source, **arguments):
    return import_runs([source], format="open_clip", **{"supply": SUPPLY, **arguments})


def test_a_folder_of_runs_becomes_their_finished_measurements(tmp_path):
    for name, top1 in (("b", 0.2), ("a", 0.25)):
        open_clip_run(tmp_path / "logs" / name, [zero_shot(0.1), zero_shot(top1)])
    a, b = imported(tmp_path / "logs")
    assert (a.run, a.error, b.run, b.error) == ("a", 0.75, "b", 0.8)
    assert (a.samples_seen, a.final, a.metric) == (4 * 3_200_000, True, "imagenet-zeroshot-val-top1_error")
    assert (a.model, a.params, a.seed, a.replacement) == ("ViT-B-32", 151_277_313, 7, True)
    assert a.recipe == "lr 0.0005, batch 4096, wd 0.2, warmup 500, cosine"
    assert a.metrics == {"imagenet-zeroshot-val-top1": 0.25, "imagenet-zeroshot-val-top5": 0.5}


def test_the_size_of_the_validation_set_is_not_taken_for_samples_seen(tmp_path):
    lines = [validated(1, 2.5), validated(2, 2.0, **zero_shot(0.1)), validated(3, 1.8), validated(4, 1.7)]
    open_clip_run(tmp_path / "run", lines)
    (run,) = imported(tmp_path / "run", metric="clip_val_loss")
    assert (run.samples_seen, run.error, run.metric) == (12_800_000, 1.7, "clip_val_loss")
    assert "num_samples" not in run.metrics


def test_every_point_can_be_had_and_the_early_ones_are_not_final(tmp_path):
    open_clip_run(tmp_path / "run", [validated(epoch, 3.0 / epoch) for epoch in (1, 2, 3, 4)])
    runs = imported(tmp_path, metric="clip_val_loss", all_points=True, supply={**SUPPLY, "final": True})
    assert [run.samples_seen for run in runs] == [3_200_000 * epoch for epoch in (1, 2, 3, 4)]
    assert [run.final for run in runs] == [False, False, False, True]


def test_points_without_the_metric_are_passed_over_but_not_the_last(tmp_path):
    lines = [validated(1, 3.0), validated(2, 2.5, **zero_shot(0.2)), validated(3, 2.2), validated(4, 2.0)]
    path = open_clip_run(tmp_path / "run", lines)
    (run,) = imported(path, all_points=True)
    assert (run.samples_seen, run.error) == (6_400_000, 0.8)
    with pytest.raises(
        InputError, match=r"results\.jsonl, row 4: holds no 'imagenet-zeroshot-val-top1', only"
    ):
        imported(path)


def test_a_restarted_run_counts_with_what_it_wrote_last(tmp_path):
    lines = [validated(epoch, loss) for epoch, loss in ((1, 3.0), (2, 9.0), (2, 2.5), (3, 2.2), (4, 2.0))]
    open_clip_run(tmp_path / "run", lines)
    runs = imported(tmp_path, metric="clip_val_loss", all_points=True)
    assert [run.error for run in runs] == [3.0, 2.5, 2.2, 2.0]


def test_the_largest_epoch_counts_whether_it_is_written_as_a_whole_number_or_not(tmp_path):
    open_clip_run(tmp_path / "run", [validated(4.0, 2.0), validated(3.0, 2.5)])
    (run,) = imported(tmp_path, metric="clip_val_loss")
    assert (run.samples_seen, run.error) == (12_800_000, 2.0)


def test_an_unfinished_run_is_not_final(tmp_path):
    open_clip_run(tmp_path / "run", [validated(1, 3.0), validated(2, 2.5)])
    (run,) = imported(tmp_path, metric="clip_val_loss")
    assert (run.samples_seen, run.final) == (6_400_000, False)


@pytest.mark.parametrize("settings", [{"lr_scheduler": "const"}, {"skip_scheduler": "True"}])
def test_a_constant_learning_rate_never_comes_down(tmp_path, settings):
    open_clip_run(tmp_path / "run", [validated(4, 3.0)], params(**settings))
    assert imported(tmp_path, metric="clip_val_loss")[0].final is False


def test_lines_without_epochs_are_counted_off(tmp_path):
    lines = [zero_shot(top1) for top1 in (0.1, 0.2, 0.3)]
    open_clip_run(tmp_path / "run", lines, params(epochs=5))
    runs = imported(tmp_path, all_points=True)
    assert [run.samples_seen for run in runs] == [3_200_000 * epoch for epoch in (2, 4, 5)]


def test_lines_with_and_without_epochs_are_counted_off_together(tmp_path):
    lines = [zero_shot(0.1), validated(3, 2.0), zero_shot(0.2)]
    open_clip_run(tmp_path / "run", lines, params(val_frequency=3))
    runs = imported(tmp_path, all_points=True)
    assert [run.samples_seen for run in runs] == [6_400_000, 12_800_000]


def test_lines_that_cannot_be_counted_off_need_the_samples_seen(tmp_path):
    path = open_clip_run(tmp_path / "run", [zero_shot(0.1), zero_shot(0.2), zero_shot(0.3)])
    with pytest.raises(
        InputError, match=r"row 3: `samples_seen` of run 'run' is not known: 3 lines.*makes 2: .*last"
    ):
        imported(path)
    with pytest.raises(InputError, match="makes 2: the run was restarted"):
        imported(path, all_points=True)
    (run,) = imported(path, supply={**SUPPLY, "samples_seen": "12.8M"})
    assert (run.samples_seen, run.error, run.final) == (12_800_000, 0.7, None)


def test_an_epoch_of_a_csv_dataset_has_to_be_measured_out(tmp_path):
    path = open_clip_run(tmp_path / "run", [validated(4, 3.0)], params(train_num_samples=None))
    with pytest.raises(
        InputError, match=r"no train_num_samples; give the length of an epoch \(--samples-per-epoch\)"
    ):
        imported(path, metric="clip_val_loss")
    (run,) = imported(path, metric="clip_val_loss", samples_per_epoch=1_000_000)
    assert run.samples_seen == 4_000_000


def test_a_run_without_params_is_described_by_what_is_supplied(tmp_path):
    path = open_clip_run(tmp_path / "run", [zero_shot(0.2)], None)
    with pytest.raises(InputError, match=r"names no epoch and no params.txt does; give --samples-seen"):
        imported(path)
    supply = {**SUPPLY, "samples_seen": {"r*": "12.8M"}, "model": "ViT-S-32", "final": True}
    (run,) = imported(path, supply=supply)
    assert (run.samples_seen, run.model, run.final, run.params) == (12_800_000, "ViT-S-32", True, None)


def test_the_size_of_the_pool_is_never_guessed_from_an_epoch(tmp_path):
    path = open_clip_run(tmp_path / "run", [zero_shot(0.1), zero_shot(0.2)])
    with pytest.raises(
        InputError,
        match=r"`unique_samples` of run 'run' .*\(3200000\) is the length of an epoch.*; give --unique",
    ):
        imported(path, supply={"pool": "a"})


def test_a_missing_metric_is_an_error_and_names_what_there_is(tmp_path):
    path = open_clip_run(tmp_path / "run", [validated(4, 3.0)])
    with pytest.raises(
        InputError, match=r"row 1: holds no 'imagenetv2-zeroshot-val-top1', only .*clip_val_loss"
    ):
        imported(path, metric="imagenetv2-zeroshot-val-top1")
    with pytest.raises(InputError, match=r"row 1: clip_val_loss is nan; drop the row"):
        imported(open_clip_run(tmp_path / "nan", [validated(4, float("nan"))]), metric="clip_val_loss")
    with pytest.raises(InputError, match="'image_to_text_mean_rank' is no error or accuracy"):
        imported(path, metric="image_to_text_mean_rank")


def test_recall_is_known_to_be_an_accuracy(tmp_path):
    open_clip_run(tmp_path / "run", [validated(4, 3.0)])
    for name in ("image_to_text_R@1", "1-image_to_text_R@1"):
        (run,) = imported(tmp_path, metric=name)
        assert (run.error, run.metric) == (0.69, "image_to_text_R@1_error")


def test_an_empty_and_an_absent_source_are_told_apart(tmp_path):
    with pytest.raises(InputError, match="there is no file or folder at"):
        imported(tmp_path / "absent")
    with pytest.raises(InputError, match=r"holds no results\.jsonl; name the folder of a run"):
        imported(tmp_path)
    with pytest.raises(InputError, match=r"run/checkpoints/results\.jsonl holds no measurements"):
        imported(open_clip_run(tmp_path / "run", []).parent.parent)
    with pytest.raises(InputError, match=r"row 1: 'Epoch 1' is not a JSON object"):
        imported(table(tmp_path / "out.log", "Epoch 1"))


def test_params_that_are_nonsense_are_refused_or_left_out(tmp_path):
    path = open_clip_run(tmp_path / "run", [zero_shot(0.2)], params(epochs=10**15))
    with pytest.raises(InputError, match="`samples_seen` of run 'run' is not known"):
        imported(path)
    path = open_clip_run(tmp_path / "other", [zero_shot(0.2)], params(epochs="-3"))
    with pytest.raises(InputError, match=r"params\.txt: epochs is '-3'"):
        imported(path)


def test_names_from_a_folder_cannot_write_to_the_terminal(tmp_path):
    open_clip_run(tmp_path / "a\x1b[2Jb", [zero_shot(0.1), zero_shot(0.2)])
    assert imported(tmp_path)[0].run == "a?[2Jb"
