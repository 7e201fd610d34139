import shutil
from pathlib import Path

import pytest

from thresher.errors import InputError
from thresher.report.gallery import Card, cards
from thresher.report.pool_stats import Shown, tally
from thresher.report.workdir import read_workdir


def _shown(workdir: Path) -> dict[str, list[Shown]]:
    found = tally(read_workdir(workdir))
    assert found is not None
    return found.shown


def _all(made: dict[str, list[Card]]) -> list[Card]:
    return [card for cards_of_pool in made.values() for card in cards_of_pool]


def test_shards_that_moved_are_found_by_their_names(workdir: Path) -> None:
    shown = _shown(workdir)
    moved = workdir.parent / "moved"
    shutil.move(workdir.parent / "shards", moved)
    made, problems = cards(shown, [str(moved / "{00000..00001}.tar")])
    assert problems == []
    assert all(card.image for card in _all(made))


def test_absent_shards_leave_captions_and_a_sentence(workdir: Path) -> None:
    shown = _shown(workdir)
    (workdir.parent / "shards" / "00001.tar").unlink()
    made, problems = cards(shown, None)
    assert problems == ["Some images are not shown: 00001.tar could not be found."]
    without = [card for card in _all(made) if not card.image]
    assert 0 < len(without) < len(_all(made))
    assert {card.problem for card in without} == {"its shard was not at hand"}
    assert all(card.caption for card in without)
    shutil.rmtree(workdir.parent / "shards")
    made, problems = cards(shown, None)
    assert problems == ["Some images are not shown: 00000.tar and 1 more could not be found."]
    assert not any(card.image for card in _all(made))


def test_given_shards_that_do_not_exist_are_refused(workdir: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        cards(_shown(workdir), [str(workdir / "nowhere.tar")])


def test_a_broken_image_says_why(workdir: Path) -> None:
    shown = _shown(workdir)
    folder = workdir.parent / "broken"
    folder.mkdir()
    pair = shown["0-10%"][0]
    (folder / "a.jpg").write_bytes(b"\xff\xd8\xff no picture")
    (folder / "a.txt").write_text("broken")
    (folder / "a.json").write_text(f'{{"uid": "{pair.uid}"}}')
    broken = Shown(uid=pair.uid, key="a", shard=str(folder), caption="broken", label="", scores={"clip": 0.5})
    made, _ = cards({"0-10%": [broken]}, None)
    (card,) = _all(made)
    assert card.image == ""
    assert card.problem
    assert card.problem != "its shard was not at hand"


def test_no_pairs_give_no_cards() -> None:
    assert cards({}, None) == ({}, [])
