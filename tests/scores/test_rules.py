"""The published filters, on tables made by hand."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from thresher.curate.subset.npy import write_npy
from thresher.data.pairs import Member, Pair
from thresher.errors import InputError
from thresher.scores.rules import is_in_top, judge, keep
from thresher.sharded.scorer import row_of

# text, width, height, language, kept by the basic filter
BASIC = [
    ("a red chair", 200, 200, "en", True),
    ("a red chair", 199, 400, "en", False),  # shorter side
    ("a red chair", 600, 200, "en", True),  # aspect ratio of exactly 3
    ("a red chair", 601, 200, "en", False),
    ("a red chair", 200, 601, "en", False),
    ("red chair", 640, 480, "en", False),  # two words
    ("a b c", 640, 480, "en", False),  # five characters
    ("a b cd", 640, 480, "en", True),  # six
    ("  a  \n b\tc ", 640, 480, "en", True),  # words at white space, characters counted with it
    ("a red chair", 640, 480, "de", False),
    ("a red chair", 640, 480, None, False),
    (None, 640, 480, "en", False),
    ("a red chair", None, 480, "en", False),
    ("a red chair", 0, 0, "en", False),
]


def metadata() -> pa.Table:
    texts, widths, heights, languages, _ = zip(*BASIC, strict=True)
    return pa.table(
        {
            "uid": [f"{15 - n:x}" * 32 for n in range(len(BASIC))],
            "text": pa.array(texts, pa.string()),
            "original_width": pa.array(widths, pa.int64()),
            "original_height": pa.array(heights, pa.int64()),
            "language": pa.array(languages, pa.string()),
        }
    )


def test_the_basic_filter_keeps_the_rows_that_datacomp_keeps() -> None:
    assert keep(metadata(), "basic").tolist() == [row[-1] for row in BASIC]


def test_the_laion_filter_keeps_english_pairs_from_a_similarity_of_028() -> None:
    table = pa.table(
        {
            "language": ["en", "en", "en", "fr", "en"],
            "clip_b32_similarity_score": pa.array([0.28, 0.2799, 0.9, 0.9, None], pa.float32()),
        }
    )
    assert keep(table, "laion").tolist() == [True, False, True, False, False]


@pytest.mark.parametrize(
    ("fraction", "kept"),
    [
        (0.0, [False, True, False, True, False]),  # the threshold is the best score: all that tie with it
        (0.3, [False, True, False, True, False]),  # int(1.5) = 1: the second best, 0.3
        (0.4, [False, True, True, True, True]),  # int(2.0) = 2: the third best, 0.2, and what ties with it
        (0.8, [True] * 5),
        (1.0, [True] * 5),
    ],
)
def test_a_fraction_keeps_one_row_more_and_all_that_tie_with_it(fraction: float, kept: list[bool]) -> None:
    assert is_in_top(np.array([0.1, 0.3, 0.2, 0.3, 0.2]), fraction).tolist() == kept


def test_a_fraction_agrees_with_counting_the_better_rows() -> None:
    rng = np.random.default_rng(0)
    for size in (1, 7, 100):
        scores = rng.integers(0, 12, size).astype(np.float32)
        for fraction in (0.1, 0.29, 0.3, 0.99):
            place = int(size * fraction)
            slow = [int(np.sum(scores > score)) <= place for score in scores]
            assert is_in_top(scores, fraction).tolist() == slow


def test_the_binary_form_of_a_fraction_counts_as_it_does_at_datacomp() -> None:
    assert int(100 * 0.29) == 28
    assert is_in_top(np.arange(100.0), 0.29).sum() == 29


def test_rows_without_a_score_stand_last_and_never_pass() -> None:
    scores = np.array([np.nan, 0.2, 0.3])
    assert is_in_top(scores, 0.3).tolist() == [False, False, True]
    assert is_in_top(scores, 1.0).tolist() == [False, True, True]
    with pytest.raises(InputError, match="reach into those without a score"):
        is_in_top(scores, 0.7)
    with pytest.raises(InputError, match=r"fraction 1\.5 is not in"):
        is_in_top(scores, 1.5)


def test_what_a_rule_keeps_is_written_as_datacomp_writes_it(tmp_path: Path) -> None:
    table = metadata()
    kept = keep(table, "basic")
    uids = table.column("uid").filter(pa.array(kept))
    write_npy(tmp_path / "basic.npy", uids, np.ones(len(uids), dtype=np.int64))
    expected = np.array(
        [(int(uid[:16], 16), int(uid[16:32], 16)) for uid in uids.to_pylist()], np.dtype("u8,u8")
    )
    expected.sort()
    np.save(tmp_path / "expected.npy", expected)
    assert (tmp_path / "basic.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()


# uid, text, width, height, language, similarity; the uids stand out of order, and two have the highest bit
HAND_MADE = [
    ("f" * 32, "a red chair", 400, 300, "en", 0.31),
    ("0" * 31 + "1", "a red chair", 400, 300, "en", 0.28),
    ("8" + "0" * 31, "un fauteuil rouge", 400, 300, "fr", 0.40),
    ("0" * 15 + "1" + "f" * 16, "chair", 400, 300, "en", 0.28),
    ("0" * 16 + "a" * 16, "a red chair", 900, 200, "en", 0.2799),
    ("7" * 32, "a blue chair", 200, 600, "en", 0.10),
]
KEPT = {
    "basic": ["0" * 31 + "1", "7" * 32, "f" * 32],
    "laion": ["0" * 31 + "1", "0" * 15 + "1" + "f" * 16, "f" * 32],
    # int(6 * 0.34) = 2: the third best is 0.28, and so is the fourth
    "best 34%": ["0" * 31 + "1", "0" * 15 + "1" + "f" * 16, "8" + "0" * 31, "f" * 32],
    # int(6 * 0.17) = 1: the second best
    "best 17%": ["8" + "0" * 31, "f" * 32],
}


@pytest.mark.parametrize("rule", KEPT)
def test_each_published_rule_leaves_the_bytes_of_datacomp(rule: str, tmp_path: Path) -> None:
    uids, texts, widths, heights, languages, similarities = zip(*HAND_MADE, strict=True)
    table = pa.table(
        {
            "uid": uids,
            "text": texts,
            "original_width": widths,
            "original_height": heights,
            "language": languages,
            "clip_b32_similarity_score": pa.array(similarities, pa.float32()),
        }
    )
    if rule.startswith("best"):
        fraction = float(rule.split()[1].removesuffix("%")) / 100
        kept = is_in_top(table.column("clip_b32_similarity_score").to_numpy(), fraction)
    else:
        kept = keep(table, rule)
    found = table.column("uid").filter(pa.array(kept))
    write_npy(tmp_path / "kept.npy", found, np.ones(len(found), dtype=np.int64))
    array = np.load(tmp_path / "kept.npy")
    assert [f"{high:016x}{low:016x}" for high, low in array.tolist()] == KEPT[rule]
    by_hand = np.array([(int(uid[:16], 16), int(uid[16:32], 16)) for uid in KEPT[rule]], np.dtype("u8,u8"))
    np.save(tmp_path / "by_hand.npy", by_hand)
    assert (tmp_path / "kept.npy").read_bytes() == (tmp_path / "by_hand.npy").read_bytes()


def test_a_column_that_a_rule_reads_and_a_rule_that_is_none_are_named() -> None:
    with pytest.raises(InputError, match=r"reads a width .*original_width"):
        keep(metadata().drop_columns(["original_width"]), "basic")
    with pytest.raises(InputError, match="did you mean 'basic'"):
        keep(metadata(), "basics")


def test_without_a_column_of_languages_they_are_identified() -> None:
    pytest.importorskip("py3langid")
    table = pa.table(
        {
            "text": [
                "A brown dog runs along the wet sand",
                "Ein brauner Hund läuft über den nassen Strand",
                None,
            ],
            "clip_b32_similarity_score": [0.3, 0.3, 0.3],
        }
    )
    assert keep(table, "laion").tolist() == [True, False, False]


def test_a_null_is_looked_up_in_the_next_column_row_by_row():
    table = pa.table(
        {
            "caption": ["a dog on grass", "ein Hund auf dem Rasen", "a dog on grass", "a dog on grass"],
            "original_width": pa.array([300, None, None, None], pa.int64()),
            "width": [100.0, 300.0, 300.0, None],
            "height": [300, 300, 300, 300],
            "language": ["en", "", None, "en"],
        }
    )
    found = judge(table, "basic")
    assert found[[0, 2]].tolist() == [1, 1]
    assert found[1] == 0
    assert np.isnan(found[3])
    assert keep(table, "basic").tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    "widths",
    [
        pa.array(["640", "640.0", "", "12a", " 640", "9" * 400, None, "0"]),
        pa.array([640, 640, None, None, None, None, None, 0], pa.decimal128(9)),
        pa.array([640.0, 640.0, float("nan"), -1.0, None, None, None, 0.0]),
    ],
)
def test_a_column_of_sizes_may_be_of_text_or_numbers(widths):
    others = {"caption": ["a dog on grass"] * 8, "height": [300] * 8, "language": ["en"] * 8}
    found = judge(pa.table({"original_width": widths, **others}), "basic")
    assert found[:2].tolist() == [1, 1]
    assert np.isnan(found[2:]).all()


@pytest.mark.parametrize(
    ("value", "width"),
    [(640, 640), (640.0, 640), ("640", 640), ("640.0", 640), ("640.", 640), ("999999999", 999_999_999)]
    + [(text, None) for text in ("640.5", "1e3", " 640", "+640", "1_000", "1000000000", "nan", "٣", "0", "")],
)
def test_a_size_counts_alike_as_a_number_and_as_text(value, width):
    meta = {"original_width": value, "original_height": "5"}
    found = row_of(Pair("0" * 32, "k", "a caption", "s", Member("jpg", "s", 0, 9), (), None, meta)).original
    assert found == (None if width is None else (width, 5))


@pytest.mark.parametrize("value", ["9" * 5000, 1e300, float("inf"), -3, True, "12a", 10**400])
def test_a_size_that_is_no_size_counts_as_not_said(value):
    pair = Pair(
        "0" * 32,
        "k",
        "a caption",
        "s",
        Member("jpg", "s", 0, 9),
        (),
        None,
        {"original_width": value, "original_height": 5},
    )
    assert row_of(pair).original is None


def test_cells_that_are_no_numbers_or_texts_are_not_known() -> None:
    """A column of any type, or one bad cell, leaves its rows unjudged and the others as they are."""
    table = {"language": ["en"] * 4, "caption": ["a red chair"] * 4, "original_height": [480] * 4}
    for widths, found in (
        (["640", "wide", "", None], [1, np.nan, np.nan, np.nan]),
        ([{"px": 640}] * 4, [np.nan] * 4),
        ([[640]] * 4, [np.nan] * 4),
        (pa.array([640] * 4, pa.timestamp("ns")), [np.nan] * 4),
    ):
        judged = judge(pa.table({**table, "original_width": widths}), "basic")
        assert np.array_equal(judged, found, equal_nan=True)
    odd = pa.table({**table, "original_width": [640] * 4, "LANGUAGE": pa.array([1] * 4, pa.timestamp("ns"))})
    assert judge(odd, "basic").tolist() == [1, 1, 1, 1]
    similar = pa.table({"language": ["en"] * 3, "clip": ["0.4", "high", "0.1"]})
    assert np.array_equal(judge(similar, "laion"), [1, np.nan, 0], equal_nan=True)


def test_a_caption_that_is_not_utf8_is_not_known() -> None:
    raw = pa.array([b"a red chair", b"a red chair \xff"], pa.binary())
    captions = pa.Array.from_buffers(pa.string(), 2, raw.buffers())
    columns = {"language": ["en"] * 2, "original_width": [640] * 2, "original_height": [480] * 2}
    judged = judge(pa.table({**columns, "caption": captions}), "basic")
    assert np.array_equal(judged, [1, np.nan], equal_nan=True)
