import sys
from pathlib import Path

import pytest

from thresher.errors import InputError, MissingExtra
from thresher.scores.language import english, is_english, open_identifier
from thresher.sharded.scorer import Row

SAMPLE = Path(__file__).with_name("languages.tsv")


def row(caption: str, language: str | None = None) -> Row:
    return Row("0" * 32, "0", "a.tar", caption, 0, language=language)


def test_the_identifier_agrees_with_the_labelled_sample_as_the_documentation_says() -> None:
    pytest.importorskip("py3langid")
    identify = open_identifier()
    lines = [line.split("\t") for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    agree = sum(is_english(identify(caption)) == (label == "en") for label, caption in lines)
    assert len(lines) == 133
    assert agree >= 132


def test_a_stated_language_is_stronger_than_an_identified_one() -> None:
    pytest.importorskip("py3langid")
    are_english, made_by = english("auto")
    rows = [row("ein Hund am Strand", "en"), row("a dog on the beach", "de"), row("a dog runs on the beach")]
    assert are_english(rows) == [True, False, True]
    assert made_by.startswith("py3langid-")


def test_given_languages_need_no_identifier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py3langid", None)
    are_english, _ = english("given")
    assert are_english([row("x", "en"), row("x", "fr")]) == [True, False]
    with pytest.raises(InputError, match="states no language"):
        are_english([row("x")])


def test_a_missing_identifier_is_answered_with_its_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py3langid", None)
    with pytest.raises(MissingExtra, match=r'pip install "thresher\[text\]"'):
        english("auto")


def test_another_source_of_languages_is_refused() -> None:
    with pytest.raises(InputError, match="language='cld3' is unknown"):
        english("cld3")
