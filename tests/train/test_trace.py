import json
from pathlib import Path

from thresher.train import journal


def test_losses_come_back_to_the_last_bit(tmp_path: Path) -> None:
    values = [0.1, 1 / 3, 1e-12]
    journal.append_line(tmp_path, journal.TRACE_FILE, 3, {"loss": values}, cooldown=None)
    assert json.loads((tmp_path / journal.TRACE_FILE).read_text()) == {
        "step": 3,
        "cooldown": None,
        "loss": values,
    }


def test_a_trace_is_cut_back_to_what_it_was(tmp_path: Path) -> None:
    journal.truncate(tmp_path / "new", 0)
    assert journal.length(tmp_path / "new") == 0
    journal.append_line(tmp_path, journal.TRACE_FILE, 10, {"loss": [1.0]}, cooldown=None)
    length, before = journal.length(tmp_path), (tmp_path / journal.TRACE_FILE).read_bytes()
    journal.append_line(tmp_path, journal.TRACE_FILE, 20, {"loss": [0.5]}, cooldown=24)
    assert journal.length(tmp_path) > length
    journal.truncate(tmp_path, length)
    assert (tmp_path / journal.TRACE_FILE).read_bytes() == before


def test_there_is_nothing_in_a_trace_that_is_not_there(tmp_path: Path) -> None:
    assert journal.length(tmp_path) == 0
