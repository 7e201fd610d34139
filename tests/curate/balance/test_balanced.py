import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import Call, call
from tests.curate.balance.planted import planted_uids, planted_vectors, repeats_by_uid, write_embeddings
from tests.small_pool import contents
from thresher.curate.balance import balanced as make
from thresher.curate.balance.balanced import balance_embeddings
from thresher.curate.balance.points import points_of
from thresher.curate.subset.npy import read_npy_subset
from thresher.errors import InputError
from thresher.scores.embeddings.stored import open_embeddings

__all__ = ["call"]

SIZES = (600, 200, 60, 20, 6)
COUNT = sum(SIZES)
UIDS = planted_uids(COUNT)


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    vectors, _ = planted_vectors(SIZES)
    return write_embeddings(tmp_path_factory.mktemp("balance") / "in", vectors, UIDS, parts=3)


def test_a_balanced_subset_is_written_with_its_balance(embeddings: Path, tmp_path: Path) -> None:
    made = balance_embeddings(embeddings, tmp_path / "out", size=150, clusters=(60, 15, 5), format="parquet")
    table = pq.read_table(tmp_path / "out" / "subset.parquet")
    assert table.column_names == ["uid", "pool", "repeats"]
    drawn = repeats_by_uid(table)
    assert (made.num_rows, made.num_unique, made.num_pool) == (150, len(drawn), COUNT)
    assert sum(drawn.values()) == 150
    classes = dict(zip(UIDS, planted_vectors(SIZES)[1].tolist(), strict=True))
    after = np.bincount([classes[uid] for uid in drawn], minlength=len(SIZES))
    assert after.max() / after.min() < 15 < 100 == max(SIZES) / min(SIZES)
    record = json.loads((tmp_path / "out" / "balance.json").read_text())
    assert (record["schema"], record["version"]) == ("thresher.balance", 1)
    assert [level["clusters"] for level in record["levels"]] == [level.clusters for level in made.levels]
    top = made.levels[-1]
    assert top.evenness_after > top.evenness_before
    assert top.largest_after < top.largest_before
    assert json.loads((tmp_path / "out" / "meta.json").read_text())["num_rows"] == 150


def test_parts_in_another_order_give_the_same_bytes(embeddings: Path, tmp_path: Path) -> None:
    vectors, _ = planted_vectors(SIZES)
    order = np.random.default_rng(2).permutation(COUNT)
    other = write_embeddings(tmp_path / "in", vectors[order], [UIDS[row] for row in order], parts=2)
    for source, out in ((embeddings, "a"), (other, "b")):
        balance_embeddings(source, tmp_path / out, size=100, repeats=2)
    first, second = (contents(tmp_path / out) for out in "ab")
    assert first["subset.npy"] == second["subset.npy"]
    assert len(np.load(tmp_path / "a" / "subset.npy")) == 100


def test_a_finished_folder_is_left_alone_and_another_request_refused(
    embeddings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = balance_embeddings(embeddings, tmp_path, size=50, levels=2)
    before = contents(tmp_path)
    with monkeypatch.context() as context:
        context.setattr(make, "grow_tree", None)
        assert balance_embeddings(embeddings, tmp_path, size=50, levels=2) == made
        with pytest.raises(InputError, match=r"another balanced subset \(it differs in settings\.size\)"):
            balance_embeddings(embeddings, tmp_path, size=51, levels=2)
        with pytest.raises(InputError, match=r"another balanced subset \(it differs in vectors\)"):
            balance_embeddings(embeddings, tmp_path, size=50, levels=2, vectors="text")
    (tmp_path / "subset.npy").unlink()
    balance_embeddings(embeddings, tmp_path, size=50, levels=2)
    assert contents(tmp_path) == before
    (tmp_path / "balance.json").write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        balance_embeddings(embeddings, tmp_path, size=50, levels=2)


def test_a_uid_that_stands_in_two_shards_counts_once(tmp_path: Path) -> None:
    vectors, _ = planted_vectors((30, 10))
    uids = planted_uids(40)
    folder = write_embeddings(tmp_path / "in", np.concatenate([vectors, vectors[:5]]), [*uids, *uids[:5]], 2)
    points = points_of(open_embeddings(folder))
    assert points.count == 40
    made = balance_embeddings(folder, tmp_path / "out", size=40, clusters=(8, 2))
    assert made.num_unique == 40
    assert set(repeats_by_uid(read_npy_subset(tmp_path / "out" / "subset.npy")).values()) == {1}


def test_text_vectors_are_others_than_image_vectors(embeddings: Path) -> None:
    stored = open_embeddings(embeddings)
    image, text = (points_of(stored, name).read(np.arange(5)) for name in ("image", "text"))
    assert image == pytest.approx(text[:, ::-1], abs=1e-3)
    with pytest.raises(InputError, match="no vectors 'audio'"):
        points_of(stored, "audio")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": COUNT + 1}, "cannot be drawn from 886 pairs at most 1 times each; a size from 1 to 886"),
        ({"size": 0}, "a size of 0"),
        ({"size": 5, "repeats": 0}, "at most 0 times each"),
        ({"size": 5, "clusters": (1000, 5)}, "886 points cannot form 1000 clusters"),
        ({"size": 5, "levels": 0}, "levels is 0"),
        ({"size": 5, "format": "shards"}, "one of npy, parquet, not as 'shards'"),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_written(
    embeddings: Path, tmp_path: Path, options: dict[str, object], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        balance_embeddings(embeddings, tmp_path / "out", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_embeddings_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    vectors, _ = planted_vectors((30, 10))
    vectors[3] = np.nan
    folder = write_embeddings(tmp_path / "in", vectors, planted_uids(40))
    with pytest.raises(InputError, match=f"pair {planted_uids(40)[3]} has numbers that are not finite"):
        balance_embeddings(folder, tmp_path / "out", size=5, clusters=(4, 2))


def test_the_command_says_the_balance_before_and_after(call: Call, embeddings: Path, tmp_path: Path) -> None:
    arguments = ("balance", embeddings, "--clusters", "60,15,5", "--size", "0.1k", "--out", tmp_path / "out")
    done = call(*arguments)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith(f"100 of {COUNT} pairs, 100 draws, in ")
    assert "5 clusters: evenness 0." in done.stdout
    assert json.loads(call(*arguments, "--json").stdout)["counts"] == {
        "pool": COUNT,
        "unique": 100,
        "rows": 100,
    }
    done = call("balance", tmp_path / "absent", "--size", "5", "--out", tmp_path / "new")
    assert done.exit_code == 2
    assert "holds no finished embeddings" in done.stderr
