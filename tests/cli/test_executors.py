import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Call
from tests.small_pool import write_shards

COMMANDS = {
    "score": ("--scorer", "caption"),
    "embed": ("--model", "thresher-tiny-32"),
    "dedup": (),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--executor", "spark"), "there is no executor 'spark'; known: local, ray"),
        (("--ray-address", "head:6379"), "--ray-address head:6379 goes with --executor ray"),
    ],
)
def test_a_place_that_cannot_be_is_one_sentence(
    call: Call, tmp_path: Path, command: str, options: tuple[str, ...], sentence: str
) -> None:
    (shard,) = write_shards(tmp_path / "in", (1,))
    done = call(command, shard, "--out", tmp_path / "out", *COMMANDS[command], *options)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"thresher: {sentence}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_without_ray_the_install_is_named(
    call: Call, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    (shard,) = write_shards(tmp_path / "in", (1,))
    done = call(command, shard, "--out", tmp_path / "out", *COMMANDS[command], "--executor", "ray")
    assert done.exit_code == 2
    assert 'pip install "thresher[ray]"' in done.stderr


@pytest.mark.parametrize("command", [*COMMANDS, "subset"])
def test_help_names_the_executors(call: Call, command: str) -> None:
    text = call(command, "--help").stdout
    assert "--executor" in text
    assert "--ray-address" in text
