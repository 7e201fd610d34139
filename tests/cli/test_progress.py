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
