import errno
import io
import os
from pathlib import Path

import pytest
import torch

from tests.models.harmful import Harmful
from thresher.errors import InputError
from thresher.models.saved import save_tensors
from thresher.train import state as checkpoint

CPU = torch.device("cpu")


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    content = {"model": {"weight": torch.arange(4.0)}, "step": 7, "held": [1, 2], "name": "ä"}
    save_tensors(tmp_path / "a.pt", content)
    back = checkpoint.load(tmp_path / "a.pt", CPU)
    assert torch.equal(back.pop("model")["weight"], content.pop("model")["weight"])
    assert back == content


def test_nothing_is_left_beside_it(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a.pt", {"step": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_a_checkpoint_with_code_is_refused_and_the_code_not_run(tmp_path: Path) -> None:
    torch.save({"step": Harmful(tmp_path / "harm")}, tmp_path / "a.pt")
    with pytest.raises(InputError, match="holds more than data"):
        checkpoint.load(tmp_path / "a.pt", CPU)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("keep", [0, 10, 400])
def test_a_damaged_checkpoint_is_refused_in_one_sentence(tmp_path: Path, keep: int) -> None:
    save_tensors(tmp_path / "a.pt", {"weight": torch.arange(1000.0)})
    (tmp_path / "a.pt").write_bytes((tmp_path / "a.pt").read_bytes()[:keep])
    with pytest.raises(
        InputError, match=r"^checkpoint \S*a.pt is damaged.* delete it to start the run anew$"
    ):
        checkpoint.load(tmp_path / "a.pt", CPU)


def test_a_full_disk_is_an_error_of_the_disk(tmp_path, monkeypatch):
    """torch makes an error of its own of it, which names neither the disk nor the file."""
    real = Path.open

    class Full(io.BytesIO):
        def write(self, data):
            if self.tell() + len(data) > 4000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    monkeypatch.setattr(Path, "open", lambda path, mode="r": Full() if mode == "wb" else real(path, mode))
    with pytest.raises(OSError, match="No space left on device") as caught:
        save_tensors(tmp_path / "a.pt", {"weight": torch.arange(100_000.0)})
    assert caught.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())
