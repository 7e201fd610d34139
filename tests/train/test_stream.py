import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresher.errors import InputError
from thresher.train.stream import Stream


def make_stream(repeats: list[int], batch_size: int, seed: int = 0) -> Stream:
    rows = 100 + 3 * np.arange(len(repeats))
    return Stream(rows, np.asarray(repeats), batch_size, seed)


@st.composite
def possible_streams(draw: st.DrawFn) -> Stream:
    """Pools down to a single pair, with repeats, and any batch that they can fill without a pair twice."""
    repeats = draw(st.lists(st.integers(1, 5), min_size=1, max_size=30))
    largest = sum(repeats) // max(repeats)
    return make_stream(repeats, draw(st.integers(1, min(largest, len(repeats)))), draw(st.integers(0, 99)))


@given(possible_streams(), st.integers(1, 60))
def test_no_row_stands_twice_in_a_batch(stream: Stream, num_batches: int) -> None:
    for _ in range(num_batches):
        rows = next(stream)
        assert len(rows) == stream.batch_size
        assert len(set(rows.tolist())) == stream.batch_size
        assert set(rows.tolist()) <= set(stream.rows.tolist())


@given(possible_streams(), st.integers(1, 60))
def test_every_row_comes_exactly_so_often_an_epoch_but_for_those_put_off(
    stream: Stream, num_batches: int
) -> None:
    place = {row: number for number, row in enumerate(stream.rows.tolist())}
    drawn = np.zeros(len(stream.rows), dtype=np.int64)
    for _ in range(num_batches):
        drawn[[place[row] for row in next(stream).tolist()]] += 1
    state = stream.state()
    read = drawn + np.bincount(np.asarray(state["held"], dtype=np.int64), minlength=len(drawn))
    assert (read >= stream.repeats * state["epoch"]).all()
    assert (read <= stream.repeats * (state["epoch"] + 1)).all()
    assert read.sum() == stream.repeats.sum() * state["epoch"] + state["position"]
    assert len(state["held"]) <= stream.repeats.sum()  # what is put off comes soon


def test_an_epoch_without_repeats_is_a_permutation() -> None:
    stream = make_stream([1] * 24, 8)
    for _ in range(3):
        epoch = np.concatenate([next(stream) for _ in range(3)])
        assert sorted(epoch.tolist()) == sorted(stream.rows.tolist())


def test_epochs_differ_in_order() -> None:
    stream = make_stream([1] * 24, 24)
    assert next(stream).tolist() != next(stream).tolist()


@given(possible_streams(), st.integers(0, 30), st.integers(1, 30))
def test_a_restored_stream_goes_on_with_the_same_batches(stream: Stream, before: int, after: int) -> None:
    for _ in range(before):
        next(stream)
    state = json.loads(json.dumps(stream.state()))
    again = Stream(stream.rows, stream.repeats, stream.batch_size, stream.seed)
    again.restore(state)
    for _ in range(after):
        assert next(again).tolist() == next(stream).tolist()


def test_a_state_is_not_changed_by_going_on() -> None:
    stream = make_stream([3, 2, 1, 1, 1, 1], 3)
    next(stream)
    state = stream.state()
    kept = json.dumps(state)
    for _ in range(5):
        next(stream)
    assert json.dumps(state) == kept


def test_the_seed_decides_the_order() -> None:
    orders = [
        np.concatenate([next(stream) for _ in range(3)]).tolist()
        for stream in (make_stream([1] * 24, 8, seed) for seed in (1, 1, 2))
    ]
    assert orders[0] == orders[1] != orders[2]


def test_a_batch_larger_than_the_pool_is_refused() -> None:
    with pytest.raises(InputError, match=r"5 unique pairs cannot fill a batch of 6 .* lower batch_size to 5"):
        make_stream([9] * 5, 6)


def test_repeats_that_only_a_batch_with_equal_pairs_could_hold_are_refused() -> None:
    # 20 draws an epoch make 5 batches of 4, which hold a row at most 5 times
    make_stream([5, *[1] * 15], 4)
    with pytest.raises(InputError, match=r"drawn 6 times in 21 draws .* lower batch_size to 3"):
        make_stream([6, *[1] * 15], 4)
