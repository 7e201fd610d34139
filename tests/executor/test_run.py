import errno
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from thresher.data.cells import ALLOW_VARIABLE
from thresher.errors import InputError, MissingExtra
from thresher.executor import cluster
from thresher.executor.local import TaskFailed
from thresher.executor.run import check_executor, open_workers

HERE = "tests.executor.functions"


def results(function: str, tasks: list[Any], **options: Any) -> dict[Any, Any]:
    with open_workers(f"{HERE}:{function}", **options) as apply:
        return dict(apply(tasks))


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_every_task_has_its_result(workers: int) -> None:
    assert results("double", list(range(9)), workers=workers) == {task: 2 * task for task in range(9)}


@pytest.mark.parametrize("workers", [0, 2])
def test_a_function_is_made_once_a_worker_with_its_settings(workers: int) -> None:
    found = results("adder", [1, 2, 3, 4, 5, 6], settings={"plus": 10}, workers=workers)
    assert [value for value, _ in found.values()] == [11, 12, 13, 14, 15, 16]
    calls = [(pid, made) for _, (pid, made) in found.values()]
    assert len(set(calls)) == len({pid for pid, _ in calls})  # one number for each process


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("options", [{}, {"settings": "no settings at all"}])
def test_an_error_with_a_remedy_is_raised_as_it_was(workers: int, options: dict[str, str]) -> None:
    function = "refusing" if options else "refuse"
    with pytest.raises(InputError, match="no settings at all; give others"):
        results(function, ["no settings at all"], workers=workers, **options)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_full_disk_in_a_worker_is_a_full_disk_here(workers: int) -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        results("fill_the_disk", ["/data/part"], workers=workers)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "/data/part")


def test_a_task_that_kills_its_workers_is_named_and_the_others_are_done() -> None:
    deaths: list[str] = []
    found = results("die", ["a", "always", "b"], deaths=deaths)
    assert isinstance(found["always"], TaskFailed)
    assert (found["a"], found["b"]) == ("a", "b")
    assert len(deaths) == 2
    assert all("SIGKILL" in sentence for sentence in deaths)


def test_an_executor_that_does_not_exist_is_named() -> None:
    with pytest.raises(InputError, match="there is no executor 'spark'; known: local, ray"):
        check_executor("spark")


def test_an_address_that_nobody_would_use_is_refused() -> None:
    with pytest.raises(InputError, match="--ray-address head:6379 goes with --executor ray"):
        check_executor("local", "head:6379")


def test_ray_that_is_not_installed_is_answered_with_its_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r'--executor ray needs .* pip install "thresher\[ray\]"'):
        check_executor("ray")


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("127.0.0.1:1", "nothing answers at 127.0.0.1:1"),
        ("head", "'head' is no address of a Ray cluster"),
        ("ray://head:10001", "'ray://head:10001' is no address"),
        ("127.0.0.1:99999999", "nothing answers at 127.0.0.1:99999999"),
    ],
)
def test_an_address_without_a_cluster_is_refused_at_once(address: str, sentence: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(InputError, match=f"{sentence}.*give HOST:PORT as `ray start --head` prints it"):
        results("double", [1], executor="ray", address=address)


def test_an_address_where_something_else_answers_is_refused_at_once() -> None:
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request")

        thread = threading.Thread(target=answer)
        thread.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(InputError, match=f"what answers at {address} is no Ray"):
            results("double", [1], executor="ray", address=address)
        thread.join()


def test_nothing_of_ray_is_loaded_for_local_work() -> None:
    script = (
        "import sys, thresher.scores.score, thresher.scores.embeddings, thresher.curate.duplicates.hashing\n"
        "from thresher.executor.run import check_executor\n"
        "check_executor('local')\n"
        "sys.exit('ray' in sys.modules)"
    )
    source = Path(__file__).parents[2] / "src"
    assert subprocess.run([sys.executable, "-c", script], check=False, cwd=source).returncode == 0


def test_only_what_a_person_allowed_travels_to_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    for name in ("THRESHER_ALLOW", "THRESHER_DATA", "THRESHER_WORKER"):
        monkeypatch.setenv(name, "remote")
    assert cluster.TOLD == (ALLOW_VARIABLE,)
    assert cluster._job().runtime_env == {"env_vars": {"THRESHER_ALLOW": "remote"}}
    monkeypatch.delenv("THRESHER_ALLOW")
    assert not cluster._job().runtime_env.get("env_vars")
