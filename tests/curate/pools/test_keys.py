import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from thresher.curate.pools.keys import keys_at, keys_of, scores_of

floats = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False), st.sampled_from([0.0, -0.0, 0.5])
)


@given(st.lists(floats, min_size=1, max_size=50))
def test_keys_rise_with_the_scores_and_give_them_back(values: list[float]) -> None:
    scores = np.array(values, dtype=np.float32)
    keys = keys_of(scores)
    assert (scores_of(keys) == scores).all()
    assert ((keys[:, None] < keys) == (scores[:, None] < scores)).all()


@given(st.lists(floats, min_size=1, max_size=60), st.integers(1, 7), st.data())
def test_the_key_at_a_place_is_that_of_the_sorted_scores(
    values: list[float], piece: int, data: st.DataObject
) -> None:
    scores = np.array(values, dtype=np.float32)
    places = data.draw(st.lists(st.integers(0, len(values) - 1), max_size=5))
    keys = keys_of(scores)
    found = keys_at(lambda: (keys[start : start + piece] for start in range(0, len(keys), piece)), places)
    falling = np.sort(scores)[::-1]
    for place, (key, above) in zip(places, found, strict=True):
        assert scores_of(np.array([key], np.uint32))[0] == falling[place]
        assert above == (scores > falling[place]).sum()
