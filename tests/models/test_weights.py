"""Checkpoints as the tools that trained them wrap them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from tests.models.small import VIT
from thresher.errors import InputError
from thresher.models.towers import load_towers

State = dict[str, torch.Tensor]


def prefixed(prefix: str, held: State) -> State:
    return {prefix + name: tensor for name, tensor in held.items()}


WRAPPERS: dict[str, Callable[[State], Any]] = {
    "data parallel": lambda held: {"epoch": 3, "state_dict": prefixed("module.", held)},
    "compiled": lambda held: {"state_dict": prefixed("_orig_mod.", held)},
    "compiled, data parallel": lambda held: prefixed("module._orig_mod.", held),
    "a compiled tower": lambda held: {
        name.replace("visual.", "visual._orig_mod.", 1): tensor for name, tensor in held.items()
    },
    "Lightning": lambda held: {"state_dict": prefixed("model.", held), "hyper_parameters": {"lr": 0.1}},
    "Lightning with a temperature": lambda held: {
        "state_dict": {"loss.logit_scale": torch.ones([]), **prefixed("clip.", held)}
    },
    "torch's average": lambda held: {"n_averaged": torch.tensor(7), **prefixed("module.", held)},
    "an average": lambda held: {"ema": {"decay": 0.999, "shadow": held}},
    "the same twice": lambda held: {"model": held, "ema": dict(held)},
    "with an optimizer": lambda held: {
        "model": held,
        "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}},
    },
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_one_model_is_found_in_whatever_wraps_it(tmp_path: Path, wrap: Callable[[State], Any]) -> None:
    towers = load_towers(VIT, seed=3)
    torch.save(wrap(towers.model.state_dict()), tmp_path / "a.pt")
    assert load_towers(VIT, pretrained=str(tmp_path / "a.pt")).fingerprint == towers.fingerprint


def test_one_model_is_found_in_safetensors(tmp_path: Path) -> None:
    towers = load_towers(VIT, seed=3)
    held = {name: tensor.contiguous() for name, tensor in towers.model.state_dict().items()}
    safetensors.torch.save_file(prefixed("_orig_mod.", held), tmp_path / "a.safetensors")
    found = load_towers(VIT, pretrained=str(tmp_path / "a.safetensors"))
    assert found.fingerprint == towers.fingerprint


@pytest.mark.parametrize(
    ("wrap", "named"),
    [
        (lambda one, other: {"state_dict": one, "state_dict_ema": other}, "state_dict, state_dict_ema"),
        (lambda one, other: {"ema": other, "model": one}, "ema, model"),
        (lambda one, other: {**prefixed("model.", one), **prefixed("ema_model.", other)}, "model, ema_model"),
        (lambda one, other: {**one, **prefixed("ema.", other)}, "at the top, ema"),
    ],
)
def test_which_of_two_models_is_meant_is_not_guessed(
    tmp_path: Path, wrap: Callable[[State, State], Any], named: str
) -> None:
    one, other = (load_towers(VIT, seed=seed).model.state_dict() for seed in (3, 4))
    torch.save(wrap(one, other), tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"holds several models \((.*)\); save the weights") as refusal:
        load_towers(VIT, pretrained=str(tmp_path / "a.pt"))
    assert sorted(named.split(", ")) == sorted(str(refusal.value).split("(")[1].split(")")[0].split(", "))


def test_weights_without_a_scale_are_refused_in_words(tmp_path: Path) -> None:
    torch.save({"visual.proj": torch.zeros(3, 3)}, tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"the weights are of another model \("):
        load_towers("thresher-tiny-32", pretrained=str(tmp_path / "a.pt"))


def test_damaged_safetensors_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{not json at all}")
    with pytest.raises(InputError, match=r"a.safetensors' cannot be loaded: .*header"):
        load_towers(VIT, pretrained=str(tmp_path / "a.safetensors"))
