import numpy as np
import pytest

from thresher.errors import InputError
from thresher.scores.embeddings.stored import DTYPES, check_dtype, pack, unpack


def unit_vectors(*shape: int) -> np.ndarray:
    vectors = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.mark.parametrize(("dtype", "most"), [("fp16", 2e-4), ("int8", 4e-3)])
def test_vectors_come_back_near_and_with_length_1(dtype: str, most: float) -> None:
    vectors = unit_vectors(500, 2, 64)
    stored = pack(vectors, dtype)
    back = unpack(stored)
    assert (stored.dtype, back.dtype) == (DTYPES[dtype], np.float32)
    assert np.abs(back - vectors).max() < most
    assert np.linalg.norm(back, axis=-1) == pytest.approx(np.ones((500, 2)), abs=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_packing_again_changes_nothing(dtype: str) -> None:
    stored = pack(unit_vectors(100, 32), dtype)
    assert (pack(unpack(stored), dtype) == stored).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_vector_of_zeros_stays_one(dtype: str) -> None:
    assert not unpack(pack(np.zeros((1, 8), dtype=np.float32), dtype)).any()


def test_int8_uses_its_whole_range_whatever_the_largest_number() -> None:
    stored = pack(unit_vectors(50, 512), "int8")
    assert (np.abs(stored.astype(int)).max(axis=-1) == 127).all()


def test_an_unknown_dtype_is_named() -> None:
    with pytest.raises(InputError, match="dtype 'int4' is unknown; take one of fp16, int8"):
        check_dtype("int4")
