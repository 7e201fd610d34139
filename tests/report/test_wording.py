import pytest

from thresher.report.wording import cut_caption, number_text, scale_of, times_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-0.1234, "−0.123"),
        (0.3, "0.3"),
        (640.0, "640"),
        (-4_545_454.0, "−4.55M"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert number_text(value) == text


def test_passes_read_like_speech() -> None:
    assert [times_text(times) for times in (1.0, 0.25, 4.06)] == ["once", "0.25 times", "4.1 times"]


def test_errors_are_percent_and_losses_are_not() -> None:
    assert scale_of("zeroshot_error", [0.2, 0.9]).text(0.6123) == "61.2%"
    assert scale_of("val_loss", [0.2, 0.9]).text(0.6123) == "0.6123"
    assert scale_of("odd", [0.2, 1.9]).gap(0.01) == "0.01"


def test_small_and_negative_differences_keep_their_digits_and_sign() -> None:
    scale = scale_of("zeroshot_error", [0.2])
    assert scale.gap(0.00082) == "0.082 points"
    assert scale.gap(-0.0061) == "−0.61 points"


def test_control_characters_go_and_joiners_stay() -> None:
    assert cut_caption("a\x00b\tc\u202ed\n e") == ("a b cd e", "")
    assert cut_caption("👨\u200d👩\u200d👧")[0] == "👨\u200d👩\u200d👧"
    assert cut_caption("می\u200cخواهم")[0] == "می\u200cخواهم"


def test_a_huge_caption_is_cut_and_says_so() -> None:
    text, remark = cut_caption("x" * 1_000_000)
    assert text == "x" * 120 + "…"
    assert remark == "cut, 1,000,000 characters in all"
    assert cut_caption(" " * 5_000) == ("…", "cut, 5,000 characters in all")
