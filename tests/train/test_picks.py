from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.small_pool import uid
from thresher.curate.subset.npy import read_npy_subset
from thresher.errors import InputError
from thresher.train import picks
from thresher.train.picks import Pick, export_picks, picked_pairs

RECORDS = [
    Pick(1, None, np.array([4, 2])),
    Pick(2, 2, np.array([0, 1])),  # a branch that the run went back from
    Pick(2, None, np.array([3, 2])),
    Pick(3, 3, np.array([4, 2])),
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    picks.write_uids(folder, pa.chunked_array([[uid(n) for n in range(5)]]))
    picks.append(folder, RECORDS[:2])
    picks.append(folder, RECORDS[2:])
    return folder


def test_records_come_back_in_their_order(run: Path) -> None:
    found = [(pick.step, pick.cooldown, pick.rows.tolist()) for pick in picks.read(run)]
    assert found == [(pick.step, pick.cooldown, pick.rows.tolist()) for pick in RECORDS]
    assert picks.read_uids(run).to_pylist() == [uid(n) for n in range(5)]


def test_a_branch_that_leaves_at_the_first_step_is_no_trunk(tmp_path: Path) -> None:
    picks.append(tmp_path, [Pick(0, 0, np.array([1])), Pick(0, None, np.array([2]))])
    assert [pick.cooldown for pick in picks.read(tmp_path)] == [0, None]


def test_a_step_that_picked_nothing_is_a_record_too(tmp_path: Path) -> None:
    picks.append(tmp_path, [Pick(0, None, np.array([1])), Pick(1, None, np.array([], int))])
    assert [(pick.step, pick.rows.tolist()) for pick in picks.read(tmp_path)] == [(0, [1]), (1, [])]


@pytest.mark.parametrize("lost", [1, 4, 9, 15])
def test_a_torn_record_is_left_out(run: Path, lost: int) -> None:
    path = run / picks.FILE
    path.write_bytes(path.read_bytes()[:-lost])
    assert len(list(picks.read(run))) == len(RECORDS) - 1


def test_only_what_the_last_model_was_trained_on_is_counted(run: Path) -> None:
    assert picks.counts(run, 5).tolist() == [0, 0, 3, 1, 2]


def test_picks_become_a_subset_with_repeats(run: Path, tmp_path: Path) -> None:
    assert picked_pairs(run).column("uid").to_pylist() == [uid(2), uid(4), uid(3)]
    summary = export_picks(run, tmp_path / "subset")
    assert (summary.num_unique, summary.num_rows) == (3, 6)
    table = read_npy_subset(tmp_path / "subset" / "subset.npy")
    assert dict(zip(*(column.to_pylist() for column in table.columns), strict=True)) == {
        uid(2): 3,
        uid(3): 1,
        uid(4): 2,
    }


def test_a_folder_without_picks_says_where_they_come_from(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no picks .* training with --select joint or independent"):
        picked_pairs(tmp_path)
    picks.write_uids(tmp_path, [uid(0)])
    with pytest.raises(InputError, match="has picked no pairs yet"):
        picked_pairs(tmp_path)
