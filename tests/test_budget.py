import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresher.budget import Budget, budget_from_flops, epochs, format_count, parse_count, total_flops
from thresher.errors import InputError


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("32M", 32_000_000),
        ("1.5B", 1_500_000_000),
        ("1.5g", 1_500_000_000),
        ("4e7", 40_000_000),
        ("12800", 12_800),
        ("12_800", 12_800),
        ("12,800", 12_800),
        (" 12.8 M ", 12_800_000),
        ("2k", 2_000),
        ("1T", 10**12),
        (7, 7),
    ],
)
def test_counts_are_read_as_people_write_them(text, count):
    assert parse_count(text) == count


@pytest.mark.parametrize(
    "text", ["", "M", "32X", "-5", "nan", "inf", "1e", "1.5", "0", "0.0001k", "1e400", "9e18"]
)
def test_a_text_that_is_no_count_is_named(text):
    with pytest.raises(InputError, match=r"count|whole|below 1|1e18") as caught:
        parse_count(text)
    assert repr(text) in str(caught.value)


def test_decimal_suffixes_do_not_pass_through_binary_fractions():
    assert parse_count("0.3M") == 300_000
    assert parse_count("4.1B") == 4_100_000_000


@given(st.integers(1, 10**15))
def test_a_formatted_count_is_read_back_within_four_digits(count):
    assert parse_count(format_count(count)) == pytest.approx(count, rel=5.1e-4)


@given(st.integers(1, 999), st.sampled_from([1, 10**3, 10**6, 10**9]))
def test_short_counts_survive_formatting_exactly(digits, factor):
    assert parse_count(format_count(digits * factor)) == digits * factor


def test_rounding_up_changes_the_suffix():
    assert parse_count(format_count(999_999)) == 1_000_000


def test_epochs_are_passes_over_the_pool():
    assert epochs(25, 10) == 2.5
    with pytest.raises(InputError, match="num_unique is 0"):
        epochs(25, 0)


@given(st.integers(1, 10**12), st.floats(1e6, 1e12))
def test_flops_buy_at_most_what_they_pay_for(samples_seen, flops_per_sample):
    bought = budget_from_flops(samples_seen * flops_per_sample, flops_per_sample)
    assert abs(bought.samples_seen - samples_seen) <= 1
    assert total_flops(bought) <= samples_seen * flops_per_sample


def test_a_budget_needs_samples_and_a_price():
    with pytest.raises(InputError, match="0 samples seen"):
        Budget(samples_seen=0, flops_per_sample=1.0)
    with pytest.raises(InputError, match="flops_per_sample is nan"):
        Budget(samples_seen=1, flops_per_sample=float("nan"))
    with pytest.raises(InputError, match="do not pay for one sample"):
        budget_from_flops(10.0, 20.0)
    with pytest.raises(InputError, match="must be positive"):
        budget_from_flops(float("nan"), 20.0)
