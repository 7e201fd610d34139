"""Model files: weights wrapped by the tools that trained them, of odd content, or damaged."""

import collections
import functools
import io
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import safetensors.torch
import torch

from tests.fuzz.case import Case, Fault, must, sentence
from tests.fuzz.damage import damaged
from tests.models.small import VIT
from thresher.errors import InputError
from thresher.models.saved import CONFIG_FILE, WEIGHTS_FILE, save_model
from thresher.models.towers import Towers, load_towers
from thresher.train.state import load

State = dict[str, Any]


def checkpoints(case: Case) -> None:
    random = case.random
    match random.randrange(10):
        case 0 | 1 | 2 | 3:
            wrapped(case)
        case 4 | 5:
            odd_content(case)
        case 6 | 7 | 8:
            damaged_file(case)
        case _:
            damaged_folder(case)


@functools.cache
def model(seed: int) -> Towers:
    return load_towers(VIT, seed=seed)


def state(seed: int = 0) -> State:
    return {name: tensor.clone() for name, tensor in model(seed).model.state_dict().items()}


def prefixed(prefix: str, held: State) -> State:
    return {prefix + name: tensor for name, tensor in held.items()}


def compiled_inside(held: State) -> State:
    return {name.replace("visual.", "visual._orig_mod.", 1): tensor for name, tensor in held.items()}


OPTIMIZER = {
    "optimizer": {
        "state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(3)}},
        "param_groups": [{"lr": 0.1, "params": [0]}],
    }
}
WRAPPERS: dict[str, Callable[[State], Any]] = {
    "bare": lambda held: held,
    "ordered": collections.OrderedDict,
    "open_clip": lambda held: {"epoch": 3, "name": "x", "state_dict": held, **OPTIMIZER},
    "ddp": lambda held: {"epoch": 3, "state_dict": prefixed("module.", held)},
    "ddp bare": lambda held: prefixed("module.", held),
    "compiled": lambda held: prefixed("_orig_mod.", held),
    "compiled in state_dict": lambda held: {"state_dict": prefixed("_orig_mod.", held), **OPTIMIZER},
    "ddp of compiled": lambda held: {"state_dict": prefixed("module._orig_mod.", held)},
    "compiled of ddp": lambda held: prefixed("_orig_mod.module.", held),
    "compiled tower": compiled_inside,
    "lightning": lambda held: {
        "state_dict": prefixed("model.", held),
        "pytorch-lightning_version": "2.1",
        "hyper_parameters": {},
    },
    "lightning with a loss": lambda held: {
        "state_dict": {**prefixed("model.", held), "loss.scale": torch.ones(1)}
    },
    "lightning with a temperature": lambda held: {
        "state_dict": {"loss.logit_scale": torch.ones([]), **prefixed("clip.", held)}
    },
    "lightning, compiled": lambda held: {"state_dict": prefixed("model._orig_mod.", held)},
    "averaged": lambda held: {"n_averaged": torch.tensor(7), **prefixed("module.", held)},
    "averaged in ema": lambda held: {"ema": {"n_averaged": torch.tensor(7), **prefixed("module.", held)}},
    "model": lambda held: {"model": held, "step": 9},
    "model_state_dict": lambda held: {"model_state_dict": held, **OPTIMIZER},
    "ema alone": lambda held: {"ema": held, "decay": 0.999},
    "shadow": lambda held: {"ema": {"decay": 0.9, "shadow": prefixed("module.", held)}},
    "same twice": lambda held: {
        "model": held,
        "ema": {name: tensor.clone() for name, tensor in held.items()},
    },
    "shared twice": lambda held: {"state_dict": held, "state_dict_ema": held},
    "deep": lambda held: {"app": {"model": {"net": held}}},
    "half": lambda held: {"state_dict": held, "scaler": {"scale": 65536.0}},
}
AMBIGUOUS: dict[str, Callable[[State, State], Any]] = {
    "model and ema": lambda held, other: {"model": held, "ema": other},
    "ema first": lambda held, other: {"ema": other, "model": held},
    "state_dict_ema": lambda held, other: {"state_dict": held, "state_dict_ema": other},
    "lightning ema": lambda held, other: {
        "state_dict": {**prefixed("model.", held), **prefixed("ema_model.", other)}
    },
    "student and teacher": lambda held, other: {**prefixed("student.", held), **prefixed("teacher.", other)},
    "bare beside ema": lambda held, other: {**held, **prefixed("ema.", other)},
}


def save(random: Random, content: Any, path: Path) -> None:
    flat = isinstance(content, dict) and all(isinstance(one, torch.Tensor) for one in content.values())
    if flat and random.random() < 0.3:
        path = path.with_suffix(".safetensors")
        safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in content.items()}, path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=random.random() < 0.8)


def wrapped(case: Case) -> None:
    """Weights in the wrappers of other tools: loaded where they are one model, refused where they are two."""
    random = case.random
    held = state()
    if random.random() < 0.25:
        name = random.choice(list(AMBIGUOUS))
        content, is_one = AMBIGUOUS[name](held, state(1)), False
    else:
        name = random.choice(list(WRAPPERS))
        content, is_one = WRAPPERS[name](held), True
    case.notes.append(name)
    save(random, content, case.inside / random.choice(("a.pt", "a.bin", "epoch_3.pth")))
    path = next(case.inside.iterdir())
    case.seal()
    try:
        found = load_towers(VIT, pretrained=str(path))
    except InputError as error:
        said = sentence(error)
        must(not is_one, f"one model in a wrapper is refused: {said}")
        must("several" in said, f"two models are refused, and it is not said why: {said}")
    else:
        must(is_one, "one of two models was taken in silence")
        must(found.fingerprint == model(0).fingerprint, "other weights were loaded")


def odd_content(case: Case) -> None:
    """Weights that lack something or hold what is no tensor: the right ones, or a sentence."""
    random = case.random
    held = state()
    name = random.choice(list(held))
    tensor = held[name]
    made: dict[str, Callable[[], Any]] = {
        "a key less": lambda: {key: value for key, value in held.items() if key != name},
        "a key more": lambda: {**held, "more.weight": torch.zeros(3)},
        "number": lambda: {**held, name: 3},
        "text": lambda: {**held, name: "x" * 10},
        "none": lambda: {**held, name: None},
        "list": lambda: {**held, name: [1.0, 2.0]},
        "dictionary": lambda: {**held, name: {"a": tensor}},
        "shape": lambda: {**held, name: torch.zeros(random.choice(((), (0,), (3, 5), (1, 1, 1, 1, 1))))},
        "half": lambda: {
            key: value.half() if value.is_floating_point() else value for key, value in held.items()
        },
        "double": lambda: {
            key: value.double() if value.is_floating_point() else value for key, value in held.items()
        },
        "integers": lambda: {**held, name: tensor.long()},
        "complex": lambda: {**held, name: tensor.to(torch.complex64)},
        "sparse": lambda: {**held, name: tensor.to_sparse()},
        "quantized": lambda: {**held, name: torch.quantize_per_tensor(tensor.float(), 0.1, 0, torch.qint8)},
        "nan": lambda: {**held, name: tensor * float("nan")},
        "infinite": lambda: {**held, name: tensor + float("inf")},
        "expanded": lambda: {**held, name: torch.zeros(1).expand(10**9)},
        "number as key": lambda: {**held, 7: tensor},
        "tuple as key": lambda: {("a", 1): held},
        "empty": dict,
        "empty inside": lambda: {"state_dict": {}},
        "state_dict is none": lambda: {"state_dict": None},
        "state_dict is a list": lambda: {"state_dict": [held]},
        "a list": lambda: [held],
        "a tensor": lambda: tensor,
        "a number": lambda: 3,
        "none at all": lambda: None,
        "itself inside": lambda: {"state_dict": {"state_dict": held}},
        "deeper than deep": lambda: functools.reduce(lambda inner, _: {"x": inner}, range(200), held),
        "one tower": lambda: prefixed(
            "visual.", {key: value for key, value in held.items() if "visual" in key}
        ),
        "scale alone": lambda: {"logit_scale": torch.ones([])},
    }
    what = random.choice(list(made))
    case.notes.append(f"{what} at {name}")
    torch.save(made[what](), case.inside / "a.pt")
    case.seal()
    _load(case, case.inside / "a.pt")


@functools.cache
def saved(kind: str) -> bytes:
    if kind == "safetensors":
        return safetensors.torch.save({name: tensor.contiguous() for name, tensor in state().items()})
    file = io.BytesIO()
    torch.save(
        {"epoch": 1, "state_dict": state(), **OPTIMIZER}, file, _use_new_zipfile_serialization=kind == "zip"
    )
    return file.getvalue()


def damaged_file(case: Case) -> None:
    """Bytes changed, mostly where the structure is and not the numbers."""
    random = case.random
    kind = random.choice(("zip", "zip", "old", "safetensors", "safetensors"))
    data = saved(kind)
    match random.randrange(6):
        case 0:
            data = damaged(random, data)
        case 1 | 2:
            cut = random.choice((64, 600, 6000))
            data = damaged(random, data[:cut]) + data[cut:]
        case 3 | 4:
            cut = len(data) - random.choice((64, 600, 6000))
            data = data[:cut] + damaged(random, data[cut:])
        case _:
            data = data[: random.randrange(len(data))]
    suffix = random.choice((".safetensors", ".pt")) if random.random() < 0.1 else f".{kind}"
    path = case.inside / f"a{suffix.replace('.zip', '.pt').replace('.old', '.pt')}"
    path.write_bytes(data)
    case.notes.append(kind)
    case.seal()
    _load(case, path)
    if random.random() < 0.3:
        try:
            load(path, torch.device("cpu"))
        except InputError as error:
            sentence(error)


def damaged_folder(case: Case) -> None:
    """A folder as open_clip keeps models, its configuration changed."""
    random = case.random
    save_model(model(0), case.inside / "m", sigmoid=False, samples_seen=5)
    path = case.inside / "m" / CONFIG_FILE
    config = json.loads(path.read_bytes())
    for _ in range(random.choice((1, 1, 2))):
        place = config
        while True:
            key = random.choice(list(place) or ["more"])
            if not isinstance(place.get(key), dict) or random.random() < 0.15:
                break
            place = place[key]
        odd = random.choice(
            (None, -1, 0, 0.5, True, "x", [], {}, [1, 2], "9" * 5000, 64, "bicubic", [32, 16])
        )
        if random.random() < 0.2:
            place.pop(key, None)
        else:
            place[key] = odd
        case.notes.append(f"{key} = {str(odd)[:20]}")
    text = json.dumps(config).encode()
    path.write_bytes(damaged(random, text) if random.random() < 0.3 else text)
    if random.random() < 0.1:
        (case.inside / "m" / random.choice((CONFIG_FILE, WEIGHTS_FILE))).unlink()
    case.seal()
    try:
        load_towers(f"local-dir:{case.inside / 'm'}")
    except InputError as error:
        sentence(error)


def _load(case: Case, path: Path) -> None:
    try:
        found = load_towers(VIT, pretrained=str(path))
    except InputError as error:
        said = sentence(error)
        if said.rstrip().endswith((": 'logit_scale'", ": ")):
            raise Fault(f"a refusal that tells nothing: {said}") from error
    else:
        must(found.model is not None, "no model")
