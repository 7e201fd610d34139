import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresher.selection.keys import chunk_sizes, sub_batch_size


@pytest.mark.parametrize(
    ("super_batch", "ratio", "size"),
    [
        (327_680, 0.9, 32_768),
        (16_384, 0.8, 3277),
        (4096, 0.8, 819),
        (5, 0.5, 3),
        (10, 0.0, 10),
        (640, 0.95, 32),
    ],
)
def test_filter_ratio_is_read_as_a_decimal_number(super_batch: int, ratio: float, size: int) -> None:
    assert sub_batch_size(super_batch, ratio) == size


@pytest.mark.parametrize("ratio", [1.0, -0.1, float("nan")])
def test_a_ratio_that_keeps_nothing_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match="filter_ratio"):
        sub_batch_size(100, ratio)


def test_a_ratio_too_high_for_the_candidates_is_refused() -> None:
    with pytest.raises(ValueError, match="leaves nothing of 4 candidates"):
        sub_batch_size(4, 0.9)


@given(size=st.integers(1, 50_000), chunks=st.integers(1, 64))
def test_chunks_add_up_and_differ_by_at_most_one(size: int, chunks: int) -> None:
    sizes = chunk_sizes(size, chunks)
    assert sum(sizes) == size
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 1


def test_no_chunks_are_refused() -> None:
    with pytest.raises(ValueError, match="chunks is 0"):
        chunk_sizes(10, 0)
