from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.small_pool import uid
from thresher.scores.imported import joining as module
from thresher.scores.imported.joining import repeats
from thresher.scores.imported.scores import IMPORT_SCORES
from thresher.sharded.parts import Stamp, write_stamped

NAN = float("nan")


def write(folder: Path, *groups: Mapping[str, Sequence[float]]) -> list[Path]:
    """A part for each mapping of uids to their scores."""
    parts = []
    for number, rows in enumerate(groups):
        columns = {
            "uid": list(rows),
            "a": [row[0] for row in rows.values()],
            "b": [row[1] for row in rows.values()],
        }
        path = folder / f"parts/{number:05d}-x.parquet"
        write_stamped(path, pa.table(columns), Stamp(f"{number}.parquet", "", {}, ""), IMPORT_SCORES)
        parts.append(path)
    return parts


@pytest.mark.parametrize("counted_up", [False, True], ids=["spread", "counted up"])
@pytest.mark.parametrize("rows_at_once", [2**26, 40])
def test_what_is_found_is_what_comparing_all_rows_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_at_once: int, counted_up: bool
) -> None:
    monkeypatch.setattr(module, "ROWS_AT_ONCE", rows_at_once)
    rng = np.random.default_rng(3)
    groups = []
    for _ in range(4):
        numbers = rng.choice(120, 30, replace=False)
        names = [f"{number:032x}" if counted_up else uid(number) for number in numbers]
        groups.append(
            {
                name: (float(number % 5), NAN if number % 3 else float(rng.integers(2)))
                for name, number in zip(names, numbers.tolist(), strict=True)
            }
        )
    rows, differing, first = 0, 0, {}
    for group in groups:
        for name, scores in group.items():
            if name not in first:
                first[name] = scores
                continue
            rows += 1
            differing += not np.array_equal(scores, first[name], equal_nan=True)
    found = repeats(write(tmp_path, *groups), ("a", "b"), IMPORT_SCORES)
    assert (found.rows, found.differing) == (rows, differing)
    assert 0 < differing < rows


def test_the_first_disagreement_is_said_with_its_files(tmp_path: Path) -> None:
    parts = write(tmp_path, {uid(0): (1, 2)}, {uid(1): (1, 2)}, {uid(1): (1, 2), uid(0): (1, NAN)})
    found = repeats(parts, ("a", "b"), IMPORT_SCORES)
    assert found.example == f"uid {uid(0)} has b 2 in 0.parquet and nan in 2.parquet"
    assert (found.rows, found.differing) == (2, 1)


def test_no_parts_repeat_nothing() -> None:
    assert repeats([], ("a",), IMPORT_SCORES).rows == 0
