"""The same stages on a Ray cluster of two nodes: one cluster for all of these tests."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from tests.data.bad_pool import jpeg, pair_members, write_tar
from tests.killing import kill_when_ready, wait_until_gone
from tests.small_pool import contents, plant_modules, uid, write_shards
from thresher.curate.duplicates.hashing import hash_folder
from thresher.curate.subset.write import write_subset
from thresher.errors import InputError
from thresher.executor.local import TaskFailed
from thresher.executor.run import open_workers
from thresher.scores.embeddings.embed import embed_shards
from thresher.scores.registry import parse_scorer
from thresher.scores.score import score_shards
from thresher.scores.spec import ScorerSpec
from thresher.sharded.stage import Progress

HERE = "tests.executor.functions"
WORKERS_OF_RAY = "ray::_Remote"
CAPTION = parse_scorer("caption")
TINY = parse_scorer("clip:model=thresher-tiny-32,device=cpu,precision=fp32,batch_size=4")
BRIGHT = parse_scorer("image:feature=entropy")

pytestmark = pytest.mark.slow  # a cluster takes a quarter of a minute to start, and every worker some seconds


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of two nodes with one core each, on this machine."""
    pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
        from ray.cluster_utils import Cluster

        node = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
        nodes = Cluster(initialize_head=True, head_node_args=node)
        nodes.add_node(**node)
        yield nodes.address
        nodes.shutdown()


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Five shards, one of them with an image that does not decode, and one that is no tar."""
    folder = tmp_path_factory.mktemp("pool")
    shards = write_shards(folder, (30, 17, 24, 5))
    members = [*pair_members("good", jpeg(1), "a red house"), *pair_members("bad", jpeg(2)[:200], "a dog")]
    write_tar(folder / "00004.tar", members)
    (folder / "00005.tar").write_bytes(b"no tar at all")
    return [*shards, str(folder / "00004.tar"), str(folder / "00005.tar")]


def workers_of_ray(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those of the processes that are workers of ours on a Ray."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            words = process.cmdline() or [""]
            if words[0].startswith(WORKERS_OF_RAY):
                found.append(process)
    return found


def test_two_nodes_work_at_once(cluster: str, tmp_path: Path) -> None:
    """Each of two tasks waits for the other, which only a worker on the other node can do."""
    with open_workers(f"{HERE}:meet", executor="ray", address=cluster) as apply:
        found = list(apply([str(tmp_path)] * 2))
    assert len({node for _, node in found}) == 2


@pytest.mark.parametrize("model", [(), pytest.param((TINY,), marks=pytest.mark.soak)])
def test_scores_are_the_same_to_the_byte(
    cluster: str, pool: list[str], tmp_path: Path, model: tuple[ScorerSpec, ...]
) -> None:
    specs = [*model, CAPTION, BRIGHT]
    here = score_shards(pool, tmp_path / "here", specs, workers=1)
    seen: list[Progress] = []
    there = score_shards(
        *(pool, tmp_path / "there", specs),
        workers=1,
        executor="ray",
        ray_address=cluster,
        progress=seen.append,
    )
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    assert there.unreadable == here.unreadable
    assert list(there.unreadable) == [pool[5]]
    assert (there.num_pairs, there.num_quarantined, there.new_pairs) == (77, 2, 77)
    assert [at.shards_done for at in seen] == list(range(7))


@pytest.mark.soak
def test_embeddings_are_the_same_to_the_byte(cluster: str, pool: list[str], tmp_path: Path) -> None:
    options = {"device": "cpu", "batch_size": 8, "dtype": "int8", "workers": 1}
    embed_shards(pool[:3], "thresher-tiny-32", tmp_path / "here", **options)
    there = {**options, "executor": "ray", "ray_address": cluster}
    embed_shards(pool[:3], "thresher-tiny-32", tmp_path / "there", **there)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


@pytest.mark.soak
def test_hashes_are_the_same_to_the_byte(cluster: str, pool: list[str], tmp_path: Path) -> None:
    here = hash_folder(tmp_path / "here", pool, workers=1)
    there = hash_folder(tmp_path / "there", pool, workers=1, executor="ray", ray_address=cluster)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    assert there == here
    assert list(there) == [pool[5]]


def test_resharded_tars_are_the_same_to_the_byte(cluster: str, pool: list[str], tmp_path: Path) -> None:
    numbers = list(range(0, 76, 2))
    repeats = pa.array([1 + number % 3 for number in numbers], pa.int32())
    table = pa.table({"uid": [uid(n) for n in numbers], "pool": ["all"] * len(numbers), "repeats": repeats})
    options = {"format": "shards", "shards": pool[:4], "pairs_per_shard": 20}
    write_subset(table, tmp_path / "here", **options)
    write_subset(table, tmp_path / "there", executor="ray", ray_address=cluster, workers=None, **options)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    assert len(list((tmp_path / "there").glob("*.tar"))) == 4


@pytest.mark.soak
def test_killed_workers_are_replaced_and_the_bytes_are_the_same(
    cluster: str, pool: list[str], tmp_path: Path
) -> None:
    score_shards(pool[:5], tmp_path / "here", [BRIGHT], workers=1)
    killed: list[int] = []

    def kill(at: Progress) -> None:
        if at.shards_done in (1, 3):
            for process in workers_of_ray(psutil.Process().children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
                    killed.append(process.pid)

    there = score_shards(
        *(pool[:5], tmp_path / "there", [BRIGHT]),
        workers=1,
        executor="ray",
        ray_address=cluster,
        progress=kill,
    )
    assert killed
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    assert there.deaths
    assert not there.incomplete
    assert "worker processes died and were replaced" in there.status[-1]


def test_a_task_that_kills_every_worker_is_named_and_the_others_are_done(cluster: str) -> None:
    deaths: list[str] = []
    with open_workers(f"{HERE}:die", executor="ray", address=cluster, deaths=deaths) as apply:
        found = dict(apply(["a", "always", "b"]))
    assert found["always"] == TaskFailed("3 workers died of it")
    assert (found["a"], found["b"]) == ("a", "b")
    assert len(deaths) >= 3


def test_a_run_whose_driver_was_killed_goes_on_and_ends_the_same(
    cluster: str, pool: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "there"
    kill_when_ready("tests.executor.killed_on_ray", cluster, Path(pool[0]).parent, out)
    done = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    assert done
    assert not (out / "scores.json").exists()
    monkeypatch.setenv("RAY_ADDRESS", cluster)
    score_shards(pool, out, [CAPTION], workers=1, executor="ray")
    score_shards(pool, tmp_path / "here", [CAPTION])
    assert contents(out) == contents(tmp_path / "here")
    assert {path: path.stat().st_mtime_ns for path in done} == done


@pytest.mark.soak
def test_what_the_scorers_need_and_nobody_has_is_one_sentence(
    cluster: str, pool: list[str], tmp_path: Path
) -> None:
    absent = parse_scorer("clip:model=thresher-tiny-32,pretrained=absent.pt")
    with pytest.raises(InputError, match=r"absent\.pt"):
        score_shards(pool, tmp_path, [absent], executor="ray", ray_address=cluster, workers=1)


@pytest.mark.soak
def test_an_own_ray_starts_and_ends_with_the_command_and_stdout_is_json_alone(
    pool: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    environment |= {"RAY_worker_niceness": "0"}
    environment.pop("RAY_ADDRESS", None)
    before = set(psutil.pids())
    plant_modules(tmp_path)
    words = ["score", *pool[:2], "--out", "out", "--scorer", "caption", "--executor", "ray", "--json"]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "thresher.cli", *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["pairs"] == 47
    assert not (tmp_path / "executed").exists()  # the current folder is no place for modules
    orphans = [process for process in psutil.process_iter() if process.pid not in before]
    wait_until_gone(*(process.pid for process in workers_of_ray(orphans)))


LISTENING = """
import psutil
from thresher.executor.cluster import connect
connection = connect("local")
me = psutil.Process()
connection.ray.get(connection.ray.remote(lambda: 1).remote())
for process in [me, *me.children(recursive=True)]:
    for found in process.net_connections(kind="inet"):
        if found.status == "LISTEN":
            print(process.name(), found.laddr.ip)
connection.close()
"""


def test_an_embedded_ray_listens_on_the_loopback_interface_alone(tmp_path: Path) -> None:
    """Also where Ray was imported, and its view of the machine made, before."""
    plant_modules(tmp_path)
    code = ["-P", "-c", "import ray\n" + LISTENING]
    done = subprocess.run([sys.executable, *code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert not (tmp_path / "executed").exists()  # the current folder is no place for modules
    lines = done.stdout.split("\n")[:-1]
    assert len(lines) >= 4
    assert {line.split()[-1].removeprefix("::ffff:") for line in lines} == {"127.0.0.1"}, lines
