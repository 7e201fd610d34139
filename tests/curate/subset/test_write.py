import io
import json
import os
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.data.bad_pool import jpeg, pair_members
from tests.small_pool import caption, contents, uid, write_shards
from thresher.curate.reshard.sources import Sources
from thresher.curate.reshard.write import Layout, lay_out, open_writers
from thresher.curate.reshard.write import write_shards as write_tars
from thresher.curate.subset.npy import read_npy_subset
from thresher.curate.subset.write import write_subset
from thresher.errors import InputError

DRAWS = {1: 1, 4: 2, 5: 1, 9: 3}
EXTS = ("jpg", "txt", "json")


def table_of(repeats: dict[int, int], pool: str = "0-10%") -> pa.Table:
    """A manifest that draws pair n so many times."""
    return pa.table(
        {
            "uid": pa.array([uid(n) for n in repeats]),
            "pool": pa.array([pool] * len(repeats)),
            "repeats": pa.array(list(repeats.values()), pa.int32()),
        }
    )


def members_of(folder: Path) -> list[tuple[str, str, bytes]]:
    """(tar, name, content) of everything in the tar files of a folder, by the standard library's reading."""
    found = []
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            for info in tar:
                file = tar.extractfile(info)
                assert file is not None
                found.append((path.name, info.name, file.read()))
    return found


def test_shards_hold_the_members_byte_for_byte(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (5, 6))
    summary = write_subset(
        table_of(DRAWS), tmp_path / "out", format="shards", shards=shards, pairs_per_shard=3
    )
    source = {name: data for _, name, data in members_of(tmp_path / "in")}
    found = members_of(tmp_path / "out")
    copies = Counter()
    for _, name, data in found:
        stem, _, ext = name.partition(".")
        found_uid, _, _copy = stem.rpartition("-")
        number = next(n for n in range(11) if uid(n) == found_uid)
        assert data == source[f"{number:09d}.{ext}"]
        copies[number, ext] += 1
    assert copies == {(n, ext): k for n, k in DRAWS.items() for ext in EXTS}
    assert len({name for _, name, _ in found}) == len(found) == 21
    assert (summary.num_unique, summary.num_rows) == (4, 7)


def test_the_files_beside_the_tars_count_right(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (5, 6))
    write_subset(table_of(DRAWS), tmp_path / "out", format="shards", shards=shards, pairs_per_shard=3)
    out = tmp_path / "out"
    sizes = json.loads((out / "sizes.json").read_text())
    assert sizes == {"00000000.tar": 3, "00000001.tar": 3, "00000002.tar": 1}
    for name, size in sizes.items():
        assert json.loads((out / f"{name[:8]}_stats.json").read_text()) == {"successes": size}
        assert len({stem for tar, stem, _ in members_of(out) if tar == name}) == 3 * size
    assert sum(read_npy_subset(out / "sample_ids.npy").column("repeats").to_pylist()) == 7
    meta = json.loads((out / "meta.json").read_text())
    assert (meta["schema"], meta["num_rows"], meta["num_shards"]) == ("thresher.subset", 7, 3)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_reads_our_shards(tmp_path: Path) -> None:
    import gc

    import webdataset as wds

    shards = write_shards(tmp_path / "in", (5, 6))
    table = table_of(dict.fromkeys(range(11), 1))
    write_subset(table, tmp_path / "out", format="shards", shards=shards, pairs_per_shard=4)
    pattern = str(tmp_path / "out" / "{00000000..00000002}.tar")
    dataset = wds.WebDataset(pattern, shardshuffle=False, empty_check=False).decode("pil")
    rows = list(dataset.to_tuple(*EXTS))
    del dataset
    gc.collect()  # webdataset leaves its files open
    assert [text for _, text, _ in rows] == [caption(n) for n in range(11)]
    assert [meta["uid"] for _, _, meta in rows] == [uid(n) for n in range(11)]
    assert all(isinstance(image, Image.Image) for image, _, _ in rows)


def test_copies_of_a_pair_lie_far_apart_and_sources_are_read_in_order() -> None:
    rows = np.arange(1000)
    repeats = np.where(rows % 10 == 0, 4, 1)
    layout = lay_out(rows[::-1], repeats[::-1], 100)
    assert len(layout.rows) == 1300
    for row in (0, 500, 990):
        places = np.flatnonzero(layout.rows == row)
        assert len(places) == 4
        gaps = np.diff(np.append(places, places[0] + 1300))
        assert gaps.min() > 250
    first = layout.rows[layout.copies == 0]
    assert first.tolist() == rows.tolist()
    assert lay_out(rows, np.ones(1000, np.int64), 7).rows.tolist() == rows.tolist()


def test_the_same_subset_is_the_same_bytes(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (5, 6))
    for name in ("a", "b"):
        table = table_of({3: 2, 7: 1})
        write_subset(table, tmp_path / name, format="shards", shards=shards, pairs_per_shard=2)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_processes_write_the_shards_that_one_process_writes(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (5, 6))
    steps: list[tuple[int, int]] = []
    for name, workers in (("a", 0), ("b", 2)):
        write_subset(
            table_of(DRAWS),
            tmp_path / name,
            format="shards",
            shards=shards,
            pairs_per_shard=3,
            workers=workers,
            progress=lambda *step: steps.append(step),
        )
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert steps == [(1, 3), (2, 3), (3, 3)] * 2


@pytest.mark.soak  # starts a cluster
def test_ray_writes_the_shards_that_one_process_writes(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    shards = write_shards(tmp_path / "in", (5, 6))
    for name, options in (("a", {}), ("b", {"executor": "ray", "workers": 2})):
        write_subset(
            table_of(DRAWS), tmp_path / name, format="shards", shards=shards, pairs_per_shard=3, **options
        )
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def write_here(layout: Layout, sources: Sources, out: Path) -> None:
    with open_writers(layout.num_shards) as write:
        write_tars(layout, sources, str(out), write)


def test_a_source_that_is_cut_short_meanwhile_is_named(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (5, 6))
    sources = Sources(shards, tmp_path / "index")
    layout = lay_out(np.arange(11), np.ones(11, np.int64), 4)
    os.truncate(shards[1], 2048)
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=r"00001.tar is shorter than when it was indexed; index it again"):
        write_here(layout, sources, tmp_path / "out")
    assert [path.name for path in sorted((tmp_path / "out").glob("*.tar"))] == ["00000000.tar"]
    Path(shards[1]).unlink()
    with pytest.raises(InputError, match=r"00001.tar cannot be read any more"):
        write_here(layout, sources, tmp_path / "out")


def test_what_is_known_of_the_sources_is_kept_until_the_subset_is_whole(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (5, 6))
    table, index = table_of(dict.fromkeys(range(11), 2)), tmp_path / "out" / ".index"

    def stop(done: int, _: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_subset(table, tmp_path / "out", format="shards", shards=shards, progress=stop)
    kept = {path: path.stat().st_mtime_ns for path in index.iterdir()}
    assert len(kept) == 4  # of each shard the pairs and what was refused
    sources = Sources(shards, index)
    assert {path: path.stat().st_mtime_ns for path in index.iterdir()} == kept
    assert sources.rows([uid(7), uid(0), uid(7)]).tolist() == [7, 0, 7]
    write_subset(table, tmp_path / "out", format="shards", shards=shards)
    assert not index.exists()


def test_a_source_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (5, 6))

    def touch(done: int, _: int) -> None:
        if done == 2:
            Path(shards[0]).write_bytes(Path(shards[1]).read_bytes())

    with pytest.raises(InputError, match=r"00000.tar changed while pairs were copied from it; delete"):
        write_subset(
            table_of(dict.fromkeys(range(11), 1)),
            tmp_path / "out",
            format="shards",
            shards=shards,
            pairs_per_shard=4,
            progress=touch,
        )
    assert not (tmp_path / "out/sizes.json").exists()


def test_members_are_copied_out_of_tars_of_any_kind(tmp_path: Path) -> None:
    """Long names, extended headers, and bytes that are not zero behind a member."""
    for kind in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        with tarfile.open(tmp_path / f"{kind}.tar", "w", format=kind) as tar:
            for n in range(20 * kind, 20 * kind + 9):
                members = pair_members(f"{'d' * 60}/{'e' * 60}{n}", jpeg(n), caption(n), uid(n))
                for name, data in [*members, (members[0][0][:-3] + "seg" + "y" * 90, bytes(n))]:
                    info = tarfile.TarInfo(name)
                    info.size, info.mtime = len(data), 1.5
                    tar.addfile(info, io.BytesIO(data))
    numbers = [n for kind in (1, 2) for n in range(20 * kind, 20 * kind + 9)]
    shards = [str(tmp_path / f"{kind}.tar") for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]
    write_subset(table_of(dict.fromkeys(numbers, 2)), tmp_path / "out", format="shards", shards=shards)
    found = {name: data for _, name, data in members_of(tmp_path / "out")}
    assert len(found) == 2 * 4 * len(numbers)
    for n in numbers:
        assert found[f"{uid(n)}-1.jpg"] == jpeg(n)
        assert found[f"{uid(n)}-0.seg{'y' * 90}"] == bytes(n)


def test_a_finished_subset_is_left_alone_and_a_torn_one_is_mended(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (5, 6))
    table = table_of(dict.fromkeys(range(11), 1))

    def write() -> None:
        write_subset(table, tmp_path / "out", format="shards", shards=shards, pairs_per_shard=4)

    write()
    whole = contents(tmp_path / "out")
    time = (tmp_path / "out/00000000.tar").stat().st_mtime_ns
    write()
    assert (tmp_path / "out/00000000.tar").stat().st_mtime_ns == time
    (tmp_path / "out/00000001.tar").write_bytes(b"torn")
    (tmp_path / "out/00000002_stats.json").unlink()
    (tmp_path / "out/sizes.json").unlink()
    write()
    assert contents(tmp_path / "out") == whole


def test_another_subset_in_the_folder_is_never_mixed_in(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (5, 6))
    write_subset(table_of({1: 1}), tmp_path / "out", format="shards", shards=shards)
    for table, options, differ in (
        (table_of({2: 1}), {"format": "shards"}, "pairs"),
        (table_of({1: 2}), {"format": "shards"}, "pairs"),
        (table_of({1: 1}), {"format": "npy"}, "format, shards"),
        (table_of({1: 1}), {"format": "shards", "pairs_per_shard": 5}, "pairs_per_shard"),
    ):
        with pytest.raises(InputError, match=rf"holds another subset \(it differs in {differ}\)"):
            write_subset(table, tmp_path / "out", shards=shards, **options)
    (tmp_path / "stray").mkdir()
    (tmp_path / "stray/00000007.tar").write_bytes(b"")
    with pytest.raises(InputError, match=r"stray holds 00000007.tar and no meta.json"):
        write_subset(table_of({1: 1}), tmp_path / "stray", format="shards", shards=shards)
    (tmp_path / "out/00000007.tar").write_bytes(b"")
    with pytest.raises(InputError, match=r"00000007.tar is not of this subset"):
        write_subset(table_of({1: 1}), tmp_path / "out", format="shards", shards=shards)


def test_a_uid_that_the_shards_lack_is_named(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (5,))
    with pytest.raises(InputError, match=f"{uid(9)}; give the shards"):
        write_subset(table_of({1: 1, 9: 1}), tmp_path / "out", format="shards", shards=shards)


def test_rows_of_a_table_become_pairs_of_three_files(tmp_path: Path) -> None:
    images = [jpeg(n) for n in range(3)]
    path = tmp_path / "pairs.parquet"
    pq.write_table(
        pa.table({"uid": [uid(n) for n in range(3)], "image": images, "caption": ["zero", "one", "zwei ü"]}),
        path,
    )
    write_subset(table_of({0: 1, 2: 2}), tmp_path / "out", format="shards", shards=[str(path)])
    found = {name: data for _, name, data in members_of(tmp_path / "out")}
    assert set(found) == {f"{uid(n)}-{j}.{ext}" for n, j in ((0, 0), (2, 0), (2, 1)) for ext in EXTS}
    assert found[f"{uid(2)}-1.jpg"] == images[2]
    assert found[f"{uid(2)}-1.txt"].decode() == "zwei ü"
    assert json.loads(found[f"{uid(2)}-1.json"])["uid"] == uid(2)


def test_npy_and_parquet_hold_the_manifest(tmp_path: Path) -> None:
    table = table_of({3: 2, 1: 1})
    write_subset(table, tmp_path / "n", format="npy")
    assert dict(zip(*read_npy_subset(tmp_path / "n/subset.npy").to_pydict().values(), strict=True)) == {
        uid(3): 2,
        uid(1): 1,
    }
    write_subset(table, tmp_path / "p", format="parquet")
    assert pq.read_table(tmp_path / "p/subset.parquet").to_pydict() == table.to_pydict()
    assert write_subset(table, tmp_path / "p", format="parquet").files == ("subset.parquet", "meta.json")


def test_the_commands_say_how_the_budget_is_reached(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (5, 6))
    table = pa.concat_tables(
        [table_of(dict.fromkeys(range(4), 2)), table_of(dict.fromkeys(range(4, 11), 1), pool="10-20%")]
    )
    summary = write_subset(
        table, tmp_path / "out", format="shards", shards=shards, pairs_per_shard=4, samples_seen=45
    )
    commands = [line for line in summary.how_to_train if not line.startswith("#")]
    assert len(commands) == 2
    assert "--train-data '{00000000..00000003}.tar' --train-num-samples 15 --epochs 3" in commands[0]
    # 8 of 15 draws from one shard of four pairs, 7 of 15 from two shards of seven
    assert "--dataset-resampled" in commands[1]
    assert "'POOL0/00000000.tar::POOL1/{00000000..00000001}.tar'" in commands[1]
    assert "--train-data-upsampling-factors 0.533333::0.233333" in commands[1]
    assert json.loads((tmp_path / "out/meta.json").read_text())["how_to_train"] == list(summary.how_to_train)


def test_the_commands_are_options_that_open_clip_knows(tmp_path: Path) -> None:
    import shlex

    from open_clip_train.params import parse_args

    table = pa.concat_tables([table_of({1: 1}), table_of({2: 1}, pool="10-20%")])
    summary = write_subset(table, tmp_path / "out", format="npy", samples_seen=8)
    commands = [line for line in summary.how_to_train if "open_clip_train.main" in line]
    for command in commands:
        arguments = parse_args(shlex.split(command)[3:])
        assert arguments.dataset_type == "webdataset"
        assert arguments.train_num_samples * arguments.epochs == 8
    assert len(commands) == 2


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"format": "npz"}, r"no subset format 'npz'; did you mean 'npy'\? known: npy, parquet, shards"),
        ({"format": "shards"}, "copied from shards; name them"),
        ({"format": "npy", "pairs_per_shard": 0}, "pairs_per_shard is 0"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path: Path, options: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        write_subset(table_of({1: 1}), tmp_path / "out", **options)


def test_an_empty_subset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no pairs"):
        write_subset(table_of({}), tmp_path / "out", format="npy")


def test_the_first_bytes_of_a_header_carry_no_owner_and_no_time(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (2,))
    write_subset(table_of({0: 1}), tmp_path / "out", format="shards", shards=shards)
    data = (tmp_path / "out/00000000.tar").read_bytes()
    assert len(data) % tarfile.RECORDSIZE == 0
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for info in tar:
            assert (info.mtime, info.uid, info.gid, info.mode) == (0, 0, 0, 0o644)
            assert (info.uname, info.gname) == ("", "")


@pytest.mark.parametrize("format", ["npy", "parquet"])
def test_messages_that_mislead_a_list_is_made_into_shards_by_this_tool(tmp_path: Path, format: str) -> None:
    summary = write_subset(table_of({1: 1}), tmp_path / "out", format=format)
    assert (
        f"# subset.{format} is a list of uids; `thresher subset --format shards` copies"
        in summary.how_to_train[0]
    )
    assert not [line for line in summary.how_to_train if "resharder" in line]
