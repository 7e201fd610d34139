import math

import pytest

from thresher.tables import (
    Table,
    chance_text,
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
    texts += [number(signed)] if value == 0 or value >= 1e-4 else []
    assert not [text for text in texts if "e+" in text or "e-" in text]


def test_numbers_lose_the_digits_that_say_nothing():
    assert passes_text(99.7) == "100"
    assert gap_text(9.9e-17, False) == "0 points"
    assert [number(end) for end in (4_250, 23_000)] == ["4.25k", "23k"]
    assert number(-4_545_454.0) == "-4.55M"
    assert number(math.inf) == "inf"


def test_chances_do_not_claim_certainty():
    assert [chance_text(chance) for chance in (1.0, 0.0, 0.626)] == [">99%", "<1%", "63%"]
