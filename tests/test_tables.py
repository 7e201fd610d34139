import math
import re
from pathlib import Path

import pytest

import thresher
from thresher.budget import format_count
from thresher.tables import (
    Table,
    chance_text,
    decimal,
    duration,
    error_text,
    gap_text,
    html_of,
    number,
    passes_text,
    percent,
    plain,
    sentences,
    size,
    table,
    text_of,
)

NO_SENTENCES = (
    "float(f",
    "fingerprint=",
    "self.role",
    "{self.model}",
    "USUAL_MFU",
    "/ factor",
    "factors =",
    "flops:.2g",
)
"""In lines whose numbers become numbers again, names or arguments, or are FLOPs, as the field writes them."""

BLOCKS = [
    sentences("first", ""),
    table(("pool", "pairs"), [("0-10%", "8"), ("all", "1,280")]),
    sentences(),
    Table(("nothing",), ()),
    sentences("second", "third"),
]


def test_blocks_stand_apart_by_an_empty_line_and_empty_ones_are_left_out():
    assert text_of(BLOCKS) == "first\n\npool   pairs\n0-10%      8\nall    1,280\n\nsecond\nthird"


def test_the_same_blocks_become_html():
    right = 'style="text-align: right"'
    left = 'style="text-align: left"'
    assert html_of(BLOCKS) == (
        "<div><p>first</p>"
        f"<table><thead><tr><th {left}>pool</th><th {right}>pairs</th></tr></thead>"
        f"<tbody><tr><td {left}>0-10%</td><td {right}>8</td></tr>"
        f"<tr><td {left}>all</td><td {right}>1,280</td></tr></tbody></table>"
        "<p>second<br>third</p></div>"
    )


def test_markup_in_cells_headers_and_sentences_is_escaped():
    html = html_of([sentences("<b>"), table(("<i>", '"'), [("&", "</td><script>")])])
    for tag in ("<b>", "<i>", "<script>"):
        assert tag not in html
    assert "&lt;/td&gt;&lt;script&gt;" in html
    assert "&amp;" in html
    assert "&quot;" in html


@pytest.mark.parametrize("value", [10.0**power for power in range(-20, 15)] + [99.6, 999.6, 4250.0, 0.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_no_number_for_people_has_an_exponent(value: float, sign: int):
    signed = sign * value
    texts = [plain(signed, 2), passes_text(value), percent(signed), gap_text(signed, False)]
    texts += [gap_text(signed, True), error_text(value, True), duration(value), size(value)]
    texts += [number(signed), decimal(signed), decimal(signed, 2), format_count(value)]
    assert not [text for text in texts if "e+" in text or "e-" in text]


def test_numbers_in_the_message_are_written_by_the_one_formatter():
    """A number that is put into a text by a format of its own has an exponent where it is large or small."""
    sources = Path(thresher.__file__).parent
    own = re.compile(r"\{[^{}]*:[+,]?[.0-9]*[eg]\}|%[.0-9]*[eg]\b")
    for path in sources.rglob("*.py"):
        for line in path.read_text().splitlines():
            known = "FLOPs" in line or "sum(spent)" in line or any(name in line for name in NO_SENTENCES)
            assert known or path.name == "tables.py" or not own.search(line), f"{path}: {line}"


def test_numbers_lose_the_digits_that_say_nothing():
    assert passes_text(99.7) == "100"
    assert gap_text(9.9e-17, False) == "0 points"
    assert [number(end) for end in (4_250, 23_000)] == ["4.25k", "23k"]
    assert number(-4_545_454.0) == "-4.55M"
    assert number(math.inf) == "inf"


def test_chances_do_not_claim_certainty():
    assert [chance_text(chance) for chance in (1.0, 0.0, 0.626)] == [">99%", "<1%", "63%"]
