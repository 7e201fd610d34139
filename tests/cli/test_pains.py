"""What users of other tools complain of, a test a row of the list that concerns scoring and resharding.

Each test names the complaint and where it was made. All go through the commands, or through the functions
that the commands call where a moment in the middle of a run is wanted.
"""

import json
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import Call
from tests.data.bad_pool import jpeg, pair_members, write_bad_pool, write_tar
from tests.scores.imported.published import clip_score, write_metadata
from tests.scores.stuck import never_ends
from tests.small_pool import caption, contents, uid, write_shards
from thresher.curate.subset.npy import read_npy_subset
from thresher.curate.subset.write import write_subset
from thresher.data.files.quarantine import read_quarantine
from thresher.data.images.decode import ImageSpec
from thresher.data.index import build_index
from thresher.executor.process import Worker
from thresher.scores.registry import SCORERS, parse_scorer
from thresher.scores.score import score_shards
from thresher.sharded.decode import DecodeTask
from thresher.sharded.parts import list_parts, list_quarantines
from thresher.sharded.scorer import Scorer
from thresher.sharded.stage import Progress

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


class Stopped(Exception):
    """Somebody ended the run."""


def scored(out: Path) -> list[str]:
    """The uids of a scores folder."""
    return [uid for part in list_parts(out) for uid in pq.read_table(part).column("uid").to_pylist()]


def reasons(out: Path) -> dict[str, str]:
    """Key -> why the pair was refused."""
    tables = [read_quarantine(path) for path in list_quarantines(out)]
    return {row["key"]: row["reason"] for table in tables for row in table.to_pylist()}


def manifest(repeats: dict[int, int]) -> pa.Table:
    """A subset that draws pair n so many times."""
    columns = {"uid": [uid(n) for n in repeats], "pool": ["0-50%"] * len(repeats)}
    return pa.table(columns | {"repeats": pa.array(list(repeats.values()), pa.int32())})


# one bad image hangs or crashes the run; later fixed, lost, fixed again
# (clip-retrieval #257, #13, #89, #330; DALI #211, #4740)


def test_one_bad_image_neither_hangs_nor_stops_scoring(call: Call, tmp_path: Path) -> None:
    expected = write_bad_pool(tmp_path / "in")
    good = [key for key, outcome in expected.items() if outcome == "ok"]
    scorers = ("--scorer", "image:feature=entropy", "--scorer", "caption", "--workers", "1")
    done = call("score", tmp_path / "in", *scorers, "--out", tmp_path / "out", "--json")
    result = json.loads(done.stdout)
    assert (done.exit_code, result["pairs"]) == (1, len(good)), "1: three files are no tar files"
    assert sum("decode" in reason or "image" in reason for reason in reasons(tmp_path / "out").values()) >= 4
    assert len(scored(tmp_path / "out")) + result["quarantined"] == len(expected)


def test_one_image_that_crashes_its_decoder_is_refused_alone(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shards(tmp_path / "in", (7, 3))  # pair 4 is the one that is 44 pixels wide
    monkeypatch.setattr("thresher.sharded.shard.DECODE", "tests.scores.deadly:decode_images")
    done = call(
        *("score", tmp_path / "in", "--scorer", "image:feature=entropy", "--workers", "1"),
        *("--out", tmp_path / "out"),
    )
    assert done.exit_code == 0, "nothing is left undone: the pair is in the quarantine"
    assert scored(tmp_path / "out") == [uid(number) for number in range(10) if number != 4]
    assert reasons(tmp_path / "out") == {
        "000000004": "decoding this image kills the worker process or never ends"
    }
    assert "worker processes died and were replaced" in done.stderr


# a restart loses hours (clip-retrieval, datatrove #316, data-juicer #487, img2dataset #452);
# tests/scores, tests/subset, tests/embeddings and tests/importers kill the stages with kill -9 as well


def test_a_restart_of_scoring_loses_only_the_shard_under_way(call: Call, tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (4, 4, 4, 4))

    def stop(at: Progress) -> None:
        if at.shards_done == 3:
            raise Stopped

    with pytest.raises(Stopped):
        score_shards(shards, tmp_path / "out", [parse_scorer("caption")], progress=stop)
    before = {path: path.stat().st_mtime_ns for path in list_parts(tmp_path / "out")}
    assert len(before) == 3
    command = ("score", tmp_path / "in", "--scorer", "caption")
    done = call(*command, "--out", tmp_path / "out", "--json")
    assert json.loads(done.stdout)["this_run"]["shards"] == 1
    assert {path: path.stat().st_mtime_ns for path in before} == before
    call(*command, "--out", tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_restart_of_resharding_loses_only_the_shard_under_way(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (6, 6))
    wanted = manifest(dict.fromkeys(range(12), 2))

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise Stopped

    def write(out: Path, **options: object) -> None:
        write_subset(wanted, out, format="shards", shards=shards, pairs_per_shard=5, **options)  # type: ignore[arg-type]

    with pytest.raises(Stopped):
        write(tmp_path / "out", progress=stop)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.tar")}
    assert len(before) >= 3
    assert not (tmp_path / "out/sizes.json").exists()
    write(tmp_path / "out")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    write(tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


# duplicates that came from upsampling land in one contrastive batch (datacomp #92);
# tests/train/test_stream.py has it for our own training


def test_copies_that_upsampling_makes_stand_in_no_batch_together(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (30, 30))
    repeats = {number: 4 if number % 6 == 0 else 1 for number in range(60)}
    write_subset(manifest(repeats), tmp_path / "out", format="shards", shards=shards, pairs_per_shard=20)
    drawn = []
    for path in sorted((tmp_path / "out").glob("*.tar")):
        with tarfile.open(path) as tar:
            drawn += [name.partition("-")[0] for name in tar.getnames() if name.endswith(".jpg")]
    assert len(drawn) == sum(repeats.values())
    for start in range(len(drawn) - 15):
        assert len(set(drawn[start : start + 16])) == 16, "a pair stands twice in a batch of 16 read in order"


# "how many epochs is that?" (datacomp #48, #55)


def test_a_subset_says_how_many_epochs_its_budget_is(
    call: Call, stages: SimpleNamespace, tmp_path: Path
) -> None:
    command = ("subset", stages.plan, "--budget", "4k", "--pools", stages.pools)
    said = call(*command, "--out", tmp_path / "out").stdout
    assert "one pass is 40 samples; 100 x 40 come nearest to the budget of 4000 samples seen" in said
    meta = json.loads((tmp_path / "out/meta.json").read_text())
    assert (meta["num_unique"], meta["num_rows"], meta["samples_seen"]) == (40, 40, 4000)


# everyone recomputes the same scores; masked-image scores of T-MARS were never shipped
# (datacomp #90, T-MARS #4, #5)


def test_published_scores_are_imported_and_cut_without_an_image(call: Call, tmp_path: Path) -> None:
    masked = pa.array([1 - clip_score(number) for number in range(50)], pa.float32())
    write_metadata(tmp_path / "metadata", range(50), tmars=masked)
    columns = ("--column", "clip=clip_l14_similarity_score", "--column", "tmars")
    done = call("import-scores", tmp_path / "metadata", *columns, "--out", tmp_path / "scores")
    assert (done.exit_code, done.stderr) == (0, "")
    for by, best in (("clip", max), ("tmars", min)):
        call("cut", tmp_path / "scores", "--by", by, "--edges", "0.02,1", "--out", tmp_path / by)
        top = pq.read_table(tmp_path / by / "pools.parquet").to_pylist()[0:50]
        assert [row["uid"] for row in top if row["pool"] == 0] == [uid(best(range(50), key=clip_score))]


# a forgotten quote around a brace pattern reads one tar; a missing .txt writes nothing; both silently
# (clip-retrieval #245, #153, #200)


@needs_bash
def test_a_forgotten_quote_around_a_brace_pattern_reads_every_tar(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_shards(Path("in"), (2, 3, 1))
    words = _by_bash("in/{00000..00002}.tar")
    assert len(words) == 3
    done = call("score", *words, "--scorer", "caption", "--out", "out", "--json")
    assert (done.exit_code, json.loads(done.stdout)["pairs"]) == (0, 6)
    words = _by_bash("in/{00000..00003}.tar")  # one more than there are
    done = call("score", *words, "--scorer", "caption", "--out", "out")
    assert done.exit_code == 2
    assert done.stderr == (
        "thresher: 1 of the 4 shards named are missing, the first is in/00003.tar; correct the range, and "
        "put brace patterns in quotes so that the shell leaves them alone\n"
    )


def test_a_missing_txt_is_said_and_costs_no_other_pair(call: Call, tmp_path: Path) -> None:
    members: list[tuple[str, bytes] | tarfile.TarInfo] = []
    for number in range(6):
        pair = pair_members(f"{number:09d}", jpeg(number), caption(number), uid(number))
        members += [member for member in pair if number not in (2, 5) or not member[0].endswith(".txt")]
    write_tar(tmp_path / "00000.tar", members)
    done = call("score", tmp_path / "00000.tar", "--scorer", "caption", "--out", tmp_path / "out")
    assert scored(tmp_path / "out") == [uid(number) for number in (0, 1, 3, 4)]
    assert set(reasons(tmp_path / "out")) == {"000000002", "000000005"}
    assert "2 in quarantine:\n  2  no .txt member beside .jpg" in done.stdout
    only = [member for member in members if member[0].startswith(("000000002", "000000005"))]  # type: ignore[index]
    write_tar(tmp_path / "00001.tar", only)
    done = call("score", tmp_path / "00001.tar", "--scorer", "caption", "--out", tmp_path / "none")
    assert done.exit_code == 1
    assert "no pair was scored; look at the quarantine for the reasons" in done.stderr


# scoring leaves the GPU idle, one forward a sample (data-juicer #199)


def test_a_model_gets_whole_batches(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def counting(*, batch_size: int = 8) -> Scorer:
        def score(images_BHWC: np.ndarray | None, prepared: Sequence[str]) -> object:
            assert images_BHWC is not None
            assert len(images_BHWC) == len(prepared)
            sizes.append(len(images_BHWC))
            return lambda: images_BHWC.mean(axis=(1, 2, 3)).astype(np.float32)

        return Scorer(
            fingerprint="counting", spec=ImageSpec(8), batch_size=batch_size, prepare=list, score=score
        )  # type: ignore[arg-type]

    monkeypatch.setitem(SCORERS, "counting", counting)
    write_shards(tmp_path / "in", (30, 9))
    command = ("score", tmp_path / "in", "--scorer", "counting:batch_size=8", "--workers", "1")
    assert call(*command, "--out", tmp_path / "out").exit_code == 0
    assert sum(sizes) == 39
    assert len(sizes) <= 6, "a batch is 8 pairs, and only the last of a shard may be smaller"


# stuck at 99%, memory spikes (img2dataset #74, #289, #338)


@pytest.mark.slow
def test_the_last_image_of_a_run_cannot_hold_it_at_its_end(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shards(tmp_path / "in", (3, 2))  # pair 4, the last one, is the one that is 44 pixels wide
    monkeypatch.setattr("thresher.sharded.shard.DECODE", "tests.scores.stuck:decode_images")
    ask = Worker.ask

    def ask_in_haste(self: Worker, task: DecodeTask, timeout_s: float) -> tuple[str, object]:
        return ask(self, task, 1.0 if never_ends(task) else timeout_s)

    monkeypatch.setattr(Worker, "ask", ask_in_haste)  # only of a task that gets no answer however long
    command = ("score", tmp_path / "in", "--scorer", "image:feature=entropy", "--workers", "2")
    done = call(*command, "--out", tmp_path / "out", "--json")
    assert (done.exit_code, json.loads(done.stdout)["pairs"]) == (0, 4)
    assert "never ends" in reasons(tmp_path / "out")["000000004"]
    assert (tmp_path / "out/scores.json").exists()


def test_a_shard_of_large_images_is_not_held_in_memory(call: Call, tmp_path: Path) -> None:
    ballast = bytes(2**20)  # behind the end of the picture, where a decoder does not look
    members = [
        member
        for number in range(96)
        for member in pair_members(f"{number:09d}", jpeg(number) + ballast, caption(number), uid(number))
    ]
    write_tar(tmp_path / "00000.tar", members)
    del members
    tracemalloc.start()
    try:
        command = ("score", tmp_path / "00000.tar", "--scorer", "image:feature=entropy", "--workers", "0")
        done = call(*command, "--batch-size", "4", "--out", tmp_path / "out")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (done.exit_code, len(scored(tmp_path / "out"))) == (0, 96)
    assert peak < 64 * 2**20, f"{peak / 2**20:.0f} MiB were held of a shard of 96 MiB"


# a failed worker or missing shard only logs, exit code 0; --overwrite deletes nothing and stale shards mix in
# (datacomp resharder)


def test_a_missing_or_damaged_shard_ends_in_an_exit_code(
    call: Call, stages: SimpleNamespace, tmp_path: Path
) -> None:
    command = ("subset", stages.plan, "--budget", "80", "--pools", stages.pools, "--format", "shards")
    shards = write_shards(tmp_path / "in", (3, 4))
    done = call(*command, "--shards", tmp_path / "in/{00000..00002}.tar", "--out", tmp_path / "a")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "there is no" in done.stderr or "are missing" in done.stderr
    done = call(*command, "--shards", shards[0], "--out", tmp_path / "b")  # not the shards of the plan
    assert done.exit_code != 0
    assert not (tmp_path / "b/sizes.json").exists()
    Path(shards[1]).write_bytes(b"")
    done = call("score", *shards, "--scorer", "caption", "--out", tmp_path / "scores")
    assert done.exit_code == 1
    assert f"1 of 2 shards gave no pairs, the first is {shards[1]}" in done.stderr


def test_stale_shards_of_another_subset_never_mix_in(
    call: Call, stages: SimpleNamespace, tmp_path: Path
) -> None:
    command = ("subset", stages.plan, "--budget", "80", "--pools", stages.pools, "--format", "shards")
    out = ("--shards", stages.shards, "--out", tmp_path / "out")
    assert call(*command, *out, "--pairs-per-shard", "7").exit_code == 0
    before = contents(tmp_path / "out")
    done = call(*command, *out, "--pairs-per-shard", "20")
    assert done.exit_code == 2
    assert "holds another subset" in done.stderr
    assert contents(tmp_path / "out") == before
    (tmp_path / "out/00000099.tar").write_bytes(b"of an earlier run")
    done = call(*command, *out, "--pairs-per-shard", "7")
    assert done.exit_code == 2
    assert "00000099.tar" in done.stderr


# filtering needs a reshard first (datacomp #11)


def test_a_filtered_subset_is_read_from_the_shards_as_they_are(
    call: Call, stages: SimpleNamespace, tmp_path: Path
) -> None:
    before = stages.shards.read_bytes()
    command = ("subset", stages.plan, "--budget", "80", "--pools", stages.pools, "--candidate", "0-50%")
    done = call(*command, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    chosen = read_npy_subset(next((tmp_path / "out").glob("*.npy"))).column("uid").to_pylist()
    index = build_index([str(stages.shards)], cache=None)
    assert 0 < len(chosen) < len(index)
    with tarfile.open(stages.shards) as tar:
        for row, name in zip(index.rows(chosen), chosen, strict=True):
            file = tar.extractfile(f"{int(name, 16):03d}.jpg")
            assert file is not None
            assert index.image_bytes(row) == file.read()
    assert stages.shards.read_bytes() == before


# plans built on the metadata while a tenth of the pool no longer downloads (datacomp #3, #39, #68)


def test_pools_are_sized_from_what_the_tars_hold_and_the_difference_is_said(
    call: Call, tmp_path: Path
) -> None:
    write_shards(tmp_path / "in", (20, 16))  # of the 40 pairs of the metadata 4 no longer download
    write_metadata(tmp_path / "metadata", range(40))
    done = call(
        *("import-scores", tmp_path / "metadata", "--shards", tmp_path / "in", "--out", tmp_path / "scores"),
        *("--column", "clip=clip_l14_similarity_score"),
    )
    assert done.exit_code == 0
    assert "4 of 40 rows (10.0%) are about pairs that the shards do not hold" in done.stderr
    cut = call(
        "cut", tmp_path / "scores", "--by", "clip", "--edges", "0.5,1", "--out", tmp_path / "pools", "--json"
    )
    assert [pool["num_samples"] for pool in json.loads(cut.stdout)["pools"]] == [18, 18]
    pools = pq.read_table(tmp_path / "pools/pools.parquet").column("uid").to_pylist()
    assert set(pools) == {uid(number) for number in range(36)}


def _by_bash(text: str) -> list[str]:
    """What bash makes of the text as arguments of a command."""
    command = ["bash", "-c", f"printf '%s\\n' {text}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize("after", [0.05, 0.15, 0.3, 0.6])
def test_ctrl_c_at_the_start_is_one_sentence(tmp_path: Path, after: float) -> None:
    command = [str(Path(sys.executable).with_name("thresher")), "score", str(tmp_path / "absent.tar")]
    process = subprocess.Popen([*command, "--out", str(tmp_path / "s")], stderr=subprocess.PIPE, text=True)
    time.sleep(after)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode in (2, 130, -signal.SIGINT)  # it was through; stopped; Python had not begun
    if process.returncode == 130:
        assert said.startswith("thresher: stopped")
        assert said.count("\n") == 1
