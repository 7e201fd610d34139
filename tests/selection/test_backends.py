import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.selection.made import keys, made
from tests.selection.oracle import logits_after
from tests.selection.test_joint import running_logits, worst_error
from thresher.selection.backends import BACKENDS, make_backend
from thresher.selection.choices import LOSSES
from thresher.selection.sub_batch import select

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton comes with torch for CUDA only"
)


def test_automatic_choice_on_a_cpu_is_plain_tiles() -> None:
    assert make_backend("auto", CPU) == make_backend("tiles", CPU)
    assert set(BACKENDS) == {"tiles", "compile", "triton"}


def test_a_backend_that_cannot_work_here_says_what_to_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ValueError, match=r"backend 'triton' needs .*; take 'tiles' or 'auto'"):
        select(made(8), made(8), keys(8), size=2, step=0, seed=0, backend="triton")


@needs_triton
def test_triton_kernels_equal_the_full_matrix_in_the_interpreter() -> None:
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(["src", "."])}
    command = [sys.executable, "-m", "tests.selection.interpreted"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    errors = json.loads(done.stdout)
    assert errors.pop("picks that differ") == 0
    assert len(errors) == 6
    assert max(errors.values()) < 1e-5, errors


@needs_triton
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # triton's own, of its next release
@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_triton_kernels_compile_to_an_h100s_matrix_instructions(dtype: str) -> None:
    """No device is needed for that; on one there is `benchmarks/selection_speed.py`."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    from thresher.selection import triton_tiles

    like = {"bf16": torch.bfloat16, "fp16": torch.float16}[dtype]
    shape = triton_tiles.block_shape(torch.empty(0, 768, dtype=like))
    options = {name: shape.pop(name) for name in ("num_warps", "num_stages", "enable_fp_fusion")}
    for kernel, constants in (
        (triton_tiles.sigmoid_kernel, {**shape, "D": 768, "SIDES": 4}),
        (triton_tiles.softmax_kernel, {**shape, "D": 768}),
    ):
        types = {name: _triton_type(name, dtype) for name in kernel.arg_names}
        source = ASTSource(
            fn=kernel,
            signature=types | dict.fromkeys(constants, "constexpr"),
            constexprs=constants,
            attrs={
                (place,): [["tt.divisibility", 16]]
                for place, kind in enumerate(types.values())
                if kind.startswith("*")
            },
        )
        compiled: Any = compile(source, target=GPUTarget("cuda", 90, 32), options=options)
        assert compiled.metadata.shared <= 227 * 1024
        assert "wgmma.mma_async" in compiled.asm["ptx"]


def _triton_type(name: str, dtype: str) -> str:
    if name == "out":
        return "*fp32"
    if name.startswith(("image", "text", "chunk")):
        return f"*{dtype}"
    return "i32" if name.startswith("num_") else "fp32"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler's own
@pytest.mark.parametrize("loss", LOSSES)
def test_compiled_tiles_equal_the_full_matrix(loss: str) -> None:
    learner, reference = made(700, seed=4, scale=30, bias=-5), made(700, seed=5)
    chosen = torch.arange(0, 700, 3)
    found = running_logits(learner, reference, "learnability", loss, chosen, backend="compile")
    expected = logits_after(learner, reference, "learnability", loss, chosen)
    assert worst_error(found, expected, chosen) < 1e-5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_device_picks_what_the_cpu_picks(backend: str) -> None:
    learner, reference = made(2000, 64, seed=1), made(2000, 64, seed=2)
    on_device = [
        type(model)(
            image_BD=model.image_BD.cuda(), text_BD=model.text_BD.cuda(), scale=model.scale, bias=model.bias
        )
        for model in (learner, reference)
    ]
    expected = select(learner, reference, keys(2000), size=400, step=0, seed=0).places_b
    found = select(*on_device, keys(2000).cuda(), size=400, step=0, seed=0, backend=backend).places_b
    assert len(set(expected.tolist()) & set(found.tolist())) >= 396
