"""Shards in from a store and out to it: through fsspec's memory here, and a local S3 server where moto is."""

import itertools
import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest

from tests.small_pool import contents, uid, write_shards
from thresher.curate.subset.write import write_subset
from thresher.data.patterns import expand
from thresher.errors import InputError

DRAWS = {1: 1, 4: 2, 5: 1, 9: 3}


def table_of(repeats: dict[int, int]) -> pa.Table:
    """A manifest that draws pair n so many times."""
    return pa.table(
        {
            "uid": [uid(n) for n in repeats],
            "pool": ["0-10%"] * len(repeats),
            "repeats": pa.array(list(repeats.values()), pa.int32()),
        }
    )


def write(out: str | Path, shards: list[str], draws: dict[int, int] = DRAWS, **options: Any) -> None:
    write_subset(table_of(draws), out, format="shards", shards=shards, pairs_per_shard=3, **options)


def below(url: str, options: dict[str, Any] | None = None) -> dict[str, bytes]:
    """Every object below a URL by its relative name."""
    fs, root = fsspec.core.url_to_fs(url, **(options or {}))
    fs.invalidate_cache()
    return {
        str(path).removeprefix(f"{root}/"): fs.cat_file(path)
        for path in fs.find(root)
        if not str(path).endswith("_mark.json")
    }


@pytest.fixture
def memory() -> Iterator[str]:
    fs = fsspec.filesystem("memory")
    yield "memory://pool"
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A subset written from local shards to a local folder."""
    write(tmp_path / "local", write_shards(tmp_path / "in", (5, 6)))
    return tmp_path / "local"


def copy_in(folder: Path, url: str) -> list[str]:
    fs, root = fsspec.core.url_to_fs(url)
    for path in sorted(folder.glob("*.tar")):
        fs.pipe_file(f"{root}/{path.name}", path.read_bytes())
    return expand([f"{url}/*.tar"])


def same_but_for_names(found: dict[str, bytes], expected: dict[str, bytes]) -> None:
    """Equal files; `meta.json` names the shards by a digest, which differs."""
    assert found.keys() == expected.keys()
    for name, content in expected.items():
        if name == "meta.json":
            digests = [json.loads(text).pop("shards") for text in (found[name], content)]
            assert found[name].replace(digests[0].encode(), digests[1].encode()) == content
        else:
            assert found[name] == content, name


def test_shards_come_from_a_store_and_go_to_it(memory: str, local: Path, tmp_path: Path) -> None:
    shards = copy_in(tmp_path / "in", f"{memory}/in")
    write(f"{memory}/out", shards)
    same_but_for_names(below(f"{memory}/out"), contents(local))
    write(tmp_path / "back", shards)
    same_but_for_names(contents(tmp_path / "back"), contents(local))


def test_what_a_store_holds_as_it_was_uploaded_is_kept_and_the_rest_is_written_again(
    memory: str, local: Path, tmp_path: Path
) -> None:
    shards = [str(tmp_path / "in" / name) for name in ("00000.tar", "00001.tar")]
    write(f"{memory}/out", shards)
    fs = fsspec.filesystem("memory")
    made = {path: fs.info(path)["created"] for path in fs.find("/pool/out") if path.endswith(".tar")}
    assert len(made) == 3
    torn, other = "/pool/out/00000000.tar", "/pool/out/00000001.tar"
    fs.pipe_file(torn, fs.cat_file(torn)[:-512])
    fs.pipe_file(other, fs.cat_file(other)[::-1])  # as long as it was
    write(f"{memory}/out", shards)
    same_but_for_names(below(f"{memory}/out"), contents(local))
    kept = "/pool/out/00000002.tar"
    assert fs.info(kept)["created"] == made[kept]


def test_a_subset_of_other_pairs_at_that_address_is_refused(memory: str, tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "in", (5, 6))
    write(f"{memory}/out", shards)
    with pytest.raises(InputError, match=r"memory://pool/out holds another subset"):
        write(f"{memory}/out", shards, {2: 1})
    fsspec.filesystem("memory").pipe_file("/pool/stray/00000007.tar", b"")
    with pytest.raises(InputError, match=r"memory://pool/stray holds 00000007.tar and no meta.json"):
        write(f"{memory}/stray", shards)


def test_the_other_formats_go_to_a_store_too(memory: str, tmp_path: Path) -> None:
    for format, name in (("npy", "subset.npy"), ("parquet", "subset.parquet")):
        write_subset(table_of(DRAWS), f"{memory}/{format}", format=format)
        write_subset(table_of(DRAWS), tmp_path / format, format=format)
        assert below(f"{memory}/{format}")[name] == (tmp_path / format / name).read_bytes()


def test_a_store_whose_package_is_not_installed_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    used_before = import_module("fsspec.registry")._registry
    monkeypatch.delitem(used_before, "s3", raising=False)
    with pytest.raises(
        InputError, match=r's3://b/out.* needs an optional part: pip install "thresher\[s3\]"'
    ):
        write("s3://b/out", write_shards(tmp_path / "in", (5, 6)))


_buckets = itertools.count()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a bucket of an S3 server on this machine."""
    pytest.importorskip("s3fs")
    server_module = pytest.importorskip("moto.server")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    bucket = f"bucket-{next(_buckets)}"  # the server's buckets live as long as the process
    s3fs.S3FileSystem().mkdir(bucket)
    yield f"s3://{bucket}"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.mark.slow  # starts a server
def test_shards_come_from_s3_and_go_to_s3_by_processes_and_are_kept(
    store: str, local: Path, tmp_path: Path
) -> None:
    shards = copy_in(tmp_path / "in", f"{store}/in")
    assert shards == [f"{store}/in/0000{n}.tar" for n in range(2)]
    write(f"{store}/out", shards, workers=2)
    same_but_for_names(below(f"{store}/out"), contents(local))
    fs, out = fsspec.core.url_to_fs(f"{store}/out")
    first = {path: fs.info(path, refresh=True)["LastModified"] for path in fs.find(out)}
    fs.pipe_file(f"{out}/00000001.tar", b"x" * fs.size(f"{out}/00000001.tar"))
    write(f"{store}/out", shards)
    same_but_for_names(below(f"{store}/out"), contents(local))
    for path in (f"{out}/00000000.tar", f"{out}/00000002.tar"):
        assert fs.info(path, refresh=True)["LastModified"] == first[path]


@pytest.mark.slow
def test_a_bucket_that_is_not_there_and_credentials_that_are_not_there_are_one_sentence(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = write_shards(tmp_path / "in", (5, 6))
    with pytest.raises(InputError, match=r"s3://absent/out/meta.json cannot be written.*make the bucket"):
        write("s3://absent/out", shards)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(InputError, match=r"s3://bucket.*set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        write(f"{store}/out", shards)
