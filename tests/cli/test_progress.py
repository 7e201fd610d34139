import pytest

from thresher.cli import progress
from thresher.cli.progress import bar, sentences


def test_without_a_terminal_a_line_is_written_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with bar("score") as step:
        step(1, 3, "40 pairs")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with bar("score") as step:
        step(1, 3, "40 pairs")
    assert capsys.readouterr().err == "score: 1 of 3, 40 pairs\n"


def test_a_terminal_shows_a_bar_and_the_sentences_above_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with sentences("run") as say:
        say("cut: two pools")
    with bar("subset") as step:
        step(2, 7, "shards")
    shown = capsys.readouterr()
    assert "cut: two pools" in shown.err
    assert "2/7" in shown.err
    assert shown.out == ""


def test_only_the_first_process_of_torchrun_talks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setenv("RANK", "1")
    with bar("score") as step:
        step(1, 3, "40 pairs")
    with sentences("run") as say:
        say("done")
    assert capsys.readouterr().err == ""


def test_the_time_left_is_said_once_a_part_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 1000.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with progress.bar("score") as step:
        for done in (0, 1, 3, 4):
            step(done, 4, "pairs")
            now += 60
    assert capsys.readouterr().err.splitlines() == [
        "score: 0 of 4, pairs",
        "score: 1 of 4, pairs, about 3 min left",
        "score: 3 of 4, pairs, about 40 s left",
        "score: 4 of 4, pairs",
    ]


def test_what_an_earlier_run_did_does_not_count_for_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 1000.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    with progress.bar("subset") as step:
        step(90, 100, "shards")
        now += 3600
        step(91, 100, "shards")
    assert capsys.readouterr().err.splitlines()[-1] == "subset: 91 of 100, shards, about 9 h 0 min left"
