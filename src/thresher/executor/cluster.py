"""Connects to a Ray cluster, or starts one on this machine and stops it again."""

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from thresher.errors import InputError, MissingExtra

JOIN_TRIES = 3
OBJECT_STORE_BYTES = 512 * 2**20
"""Of an embedded Ray: results wait there only until they are written."""

CONNECT_TIMEOUT_S = 10.0
HTTP2_SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HTTP2_SETTINGS
"""What a client of gRPC, which Ray speaks, says first (RFC 9113); a server answers with its own settings."""

ADDRESS_VARIABLE = "RAY_ADDRESS"
TOLD = ("THRESHER_ALLOW",)
"""Variables of this process for workers on other machines: what a person allowed."""

LOOPBACK_VARIABLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


@dataclass(frozen=True, slots=True)
class Connection:
    """A Ray in use; `own` when it ends with its user."""

    ray: Any
    own: bool

    def close(self) -> None:
        """End the Ray that was started, or leave the cluster that was joined."""
        if self.own and self.ray.is_initialized():
            self.ray.shutdown()

    def room(self, cpus: int, *, gpu: bool) -> tuple[int, bool, int]:
        """How many cores a worker gets, whether it gets a GPU, and for how many workers there is room.

        Cores that no node has are not asked for, nor a GPU where there is none.

        Raises:
            InputError: no node has a core.
        """
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        most = max((int(node.get("CPU", 0)) for node in nodes), default=0)
        if most < 1:
            raise InputError("no node of the Ray cluster has a CPU for workers; start some with --num-cpus")
        asked = min(max(cpus, 1), most)
        with_gpu = gpu and any(node.get("GPU", 0) >= 1 for node in nodes)
        fit = sum(
            min(int(node.get("CPU", 0)) // asked, int(node.get("GPU", 0)) if with_gpu else sys.maxsize)
            for node in nodes
        )
        return asked, with_gpu, max(fit, 1)


def load_ray() -> Any:
    """The module `ray`, told not to print on stdout, where results go: we name dead workers ourselves.

    Raises:
        MissingExtra: it is not installed.
    """
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")
    try:
        import ray
        import ray.exceptions
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise MissingExtra("ray", "--executor ray") from error
    return ray


def connect(address: str | None) -> Connection:
    """The Ray at `address`; without one the cluster of RAY_ADDRESS, or a new Ray on this machine.

    A Ray that this process has already joined is used and left as it is. Ray's usage reports stay off unless
    RAY_USAGE_STATS_ENABLED says otherwise.

    Raises:
        InputError: there is no Ray at the address, or it cannot be joined.
        MissingExtra: Ray is not installed.
    """
    ray = load_ray()
    address = address or os.environ.get(ADDRESS_VARIABLE) or None
    if ray.is_initialized():
        joined = str(ray.get_runtime_context().gcs_address)
        if address not in (None, "auto", "local", joined):
            raise InputError(f"this process has joined the Ray at {joined} and cannot join {address} as well")
        return Connection(ray, own=False)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "job_config": _job()}
    if address is None or address == "local":
        with _environment(_for_workers()), _loopback():
            ray.init(
                address="local", include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **quiet
            )
        return Connection(ray, own=True)
    _check_answers(address)
    for left in reversed(range(JOIN_TRIES)):
        try:
            ray.init(address=address, **quiet)
        except (ConnectionError, RuntimeError, ValueError) as error:
            if left and isinstance(error, ConnectionError):  # a busy head answers late
                ray.shutdown()
                continue
            first = str(error).strip().partition("\n")[0]
            raise InputError(f"cannot join the Ray at {address}: {first}; {_REMEDY}") from error
        break
    return Connection(ray, own=True)


class _NoFolders(list[str]):
    """Stays empty: Ray would add the current folder, whose files are data, to where workers find modules."""

    def extend(self, _: Iterable[str]) -> None:
        """Nothing."""


def _job() -> Any:
    from ray.job_config import JobConfig

    told = {name: os.environ[name] for name in TOLD if os.environ.get(name)}
    job = JobConfig(runtime_env={"env_vars": told} if told else None)
    job._py_driver_sys_path = _NoFolders()
    return job


_REMEDY = "give HOST:PORT as `ray start --head` prints it, or no address, for a Ray of this run alone"


def _for_workers() -> dict[str, str]:
    """What the workers of an embedded Ray find in their environment: the modules that this process finds."""
    return {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "RAY_USAGE_STATS_ENABLED": os.environ.get("RAY_USAGE_STATS_ENABLED", "0"),
        LOOPBACK_VARIABLE: "0",
    }


@contextlib.contextmanager
def _loopback() -> Iterator[None]:
    """A Ray that starts inside the block listens on the loopback interface alone.

    It does where Ray takes the machine for one that is in no cluster. Ray reads that from LOOPBACK_VARIABLE
    when it is imported, which may have been long ago.
    """
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _check_answers(address: str) -> None:
    """Refuse an address where nothing listens, for which Ray would wait long and end the process."""
    if address == "auto":
        return
    host, colon, port = address.rpartition(":")
    if "://" in address or not (colon and host and port.isdecimal()):
        raise InputError(f"{address!r} is no address of a Ray cluster; {_REMEDY}")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT_S) as connection:
            connection.sendall(HTTP2_HELLO)
            answer = connection.recv(len(HTTP2_SETTINGS), socket.MSG_WAITALL)
    except (OSError, OverflowError) as error:
        raise InputError(f"nothing answers at {address} ({error}); {_REMEDY}") from error
    frame_type = slice(3, 4)  # after the length
    if answer[frame_type] != HTTP2_SETTINGS[frame_type] and os.environ.get("RAY_USE_TLS") != "1":
        raise InputError(f"what answers at {address} is no Ray; {_REMEDY}")
