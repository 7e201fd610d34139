from thresher.tables import Table, html_of, sentences, table, text_of

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
