import numpy as np

from tests.small_pool import uid
from thresher.curate.reshard.tarcopy import header, headers


def test_headers_made_together_are_those_of_the_standard_library() -> None:
    names = [b"a.jpg", f"{uid(1)}-12.json".encode(), b"n" * 100, "ü.txt".encode()]
    sizes = np.array([0, 1, 8**11 - 1, 123_456_789])
    made = headers(np.array(names), sizes)
    for row, name, size in zip(made, names, sizes.tolist(), strict=True):
        assert row.tobytes() == header(name, size)
