import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresher.scores.caption import caption_quality, letter_share, quality


@given(st.text(max_size=300))
def test_a_score_lies_between_0_and_1(text: str) -> None:
    assert 0.0 <= quality(text) <= 1.0


@given(st.lists(st.sampled_from(["dog", "red", "house", "tree"]), min_size=1, max_size=12))
def test_saying_it_all_again_never_helps(words: list[str]) -> None:
    assert quality(" ".join(words + words)) < quality(" ".join(words))


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("two birds sit on the bright red bridge", "a photo"),
        ("a photo", "photo photo"),
        ("a dog with a red ball", "dog dog dog ball ball"),
        ("a dog", "IMG_20190412_1234.jpg"),
        ("a brown leather shoe", "SKU 99812-44-10 / 8812"),
        ("ein Hund läuft über die Brücke", "1234 5678 9012 3456 7890 1234"),
        ("一只棕色的狗在沙滩上奔跑", "狗狗狗狗"),
        ("एक कुत्ता समुद्र तट पर दौड़ रहा है", "एक एक एक"),
    ],
)
def test_descriptions_beat_labels_stutter_and_file_names(better: str, worse: str) -> None:
    assert quality(better) > quality(worse)


@pytest.mark.parametrize("text", ["", "   ", "!!! ???", "___"])
def test_no_words_score_nothing(text: str) -> None:
    assert quality(text) == 0.0


def test_the_formula_is_the_documented_one() -> None:
    # 4 words, 3 different, 1 that repeats the one before it, 14 letters of 15 characters shown
    expected = (1 - 2.718281828459045 ** (-3 / 5)) * (3 / 4) * (1 - 1 / 4) * (14 / 15)
    assert quality("Dog dog runs fast!") == pytest.approx(expected)


def test_combining_marks_count_as_letters() -> None:
    assert letter_share("दौड़") == 1.0
    assert letter_share("a1 b2") == 0.5


def test_the_scorer_gives_one_float32_a_caption_and_wants_no_images() -> None:
    scorer = caption_quality()
    captions = ["a red house", "x", "a dog with two birds"]
    scores = scorer.score(None, scorer.prepare(captions))()
    assert scorer.spec is None
    assert scores.dtype == "float32"
    assert scores.tolist() == pytest.approx([quality(caption) for caption in captions], rel=1e-6)
