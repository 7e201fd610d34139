import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresher.budget import (
    DEVICES,
    Budget,
    Price,
    budget_from_flops,
    epochs,
    format_count,
    parse_budget,
    parse_count,
    parse_device,
    parse_flops,
    total_flops,
)
from thresher.errors import InputError

PRICE = Price(flops_per_sample=1e10, device_flops=1e14, mfu=0.4)


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
        ("1,280,000,000", 1_280_000_000),
        ("1,280.5k", 1_280_500),
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


@pytest.mark.parametrize(
    "text",
    ["12,8M", "1,28B", "6,4e6", "1,28E+09", "0,128M", "12,80,000", "1280,000", "1,2800", "12,", ",128"],
)
def test_a_comma_that_parts_no_groups_of_three_digits_is_refused(text):
    for read in (parse_count, parse_budget):
        with pytest.raises(InputError, match="write a decimal point") as caught:
            read(text)
        assert repr(text) in str(caught.value)
    for unit in ("FLOPs", "gpu-h"):
        with pytest.raises(InputError, match="write a decimal point"):
            parse_budget(f"{text} {unit}", PRICE)
    with pytest.raises(InputError, match="write a decimal point"):
        parse_flops(text)


@given(st.integers(1, 10**17))
def test_groups_of_three_digits_are_read_back(count):
    assert parse_count(f"{count:,}") == parse_count(f"{count:_}") == count


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


@pytest.mark.parametrize(
    ("text", "samples"),
    [
        ("32M", 32_000_000),
        ("32M samples", 32_000_000),
        (12_800, 12_800),
        ("1e18FLOPs", 100_000_000),
        ("3.2 EFLOPs", 320_000_000),
        ("5 pflop", 500_000),
        ("1 PFLOP/s-day", 8_640_000_000),
        ("0.5 PFLOP/s-days", 4_320_000_000),
        ("100gpu-h", 1_440_000_000),
        ("100 GPU-hours", 1_440_000_000),
        ("0.1k gpu hours", 1_440_000_000),
    ],
)
def test_budgets_are_read_in_samples_flops_and_gpu_hours(text, samples):
    assert parse_budget(text, PRICE) == samples


def test_a_budget_in_another_unit_says_what_it_needs():
    with pytest.raises(InputError, match="'1e18FLOPs' needs the FLOPs of one sample seen"):
        parse_budget("1e18FLOPs")
    with pytest.raises(InputError, match=r"'3gpu-h' needs the peak FLOP/s of the device; .* A100, H100"):
        parse_budget("3gpu-h", Price(flops_per_sample=1e10))
    with pytest.raises(InputError, match="do not pay for one sample"):
        parse_budget("5FLOPs", PRICE)
    with pytest.raises(InputError, match="'100 cows' is not a count"):
        parse_budget("100 cows", PRICE)


@pytest.mark.parametrize("text", ["", "FLOPs", "0FLOPs", "-1e18FLOPs", "1e999FLOPs", "3 cows", "nan"])
def test_a_text_that_is_no_number_of_flops_is_named(text):
    with pytest.raises(InputError, match="is no number of FLOPs") as caught:
        parse_flops(text)
    assert repr(text) in str(caught.value)


@given(st.floats(1e3, 1e30))
def test_flops_without_a_unit_are_flops(flops):
    assert parse_flops(flops) == pytest.approx(flops, rel=1e-12)
    assert parse_flops(f"{flops!r}FLOPs") == parse_flops(flops)


def test_prices_are_checked():
    with pytest.raises(InputError, match="flops_per_sample is 0"):
        Price(flops_per_sample=0)
    with pytest.raises(InputError, match="device_flops is inf"):
        Price(device_flops=float("inf"))
    with pytest.raises(InputError, match=r"mfu is 1\.2; give the share"):
        Price(mfu=1.2)


def test_a_known_device_has_its_peak():
    for device in ("A100", "a100", " A100 ", DEVICES["A100"], "312 TFLOPs", "312e12"):
        price = Price(flops_per_sample=1e12, device_flops=device, mfu=1.0)
        assert parse_budget("1gpu-h", price) == 312 * 3600
    assert parse_device("rtx 4090") == DEVICES["RTX 4090"]


@pytest.mark.parametrize("device", ["A1000", "", "a GPU"])
def test_a_device_that_is_unknown_is_answered_by_those_that_are_known(device):
    with pytest.raises(
        InputError, match=r"no device .*; give its peak FLOP/s or one of A100, H100, "
    ) as caught:
        Price(device_flops=device)
    assert repr(device) in str(caught.value)
