import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_loop_of_ones_own_learns_from_mostly_right_pairs() -> None:
    assert load("own_loop").main(steps=20, reference_steps=120) > 0.55  # of all pairs .41 are right


def test_an_open_clip_model_trains_on_what_was_chosen() -> None:
    assert load("open_clip_loop").main(steps=6, reference_steps=60) > 0.55  # of all .48


@pytest.mark.filterwarnings("ignore")  # transformers' own
def test_a_siglip_model_of_hugging_face_trains_on_what_was_chosen() -> None:
    pytest.importorskip("transformers", reason="needs the package transformers, which nothing else here uses")
    assert load("huggingface_siglip").main(steps=4, reference_steps=50) > 0.55  # of all .48


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_about_twenty_lines_bring_the_selector_into_a_loop(path: Path) -> None:
    text = path.read_text()
    added = text.partition("# ---- joint selection")[2].partition("# ---- that was all")[0]
    code = [line for line in added.splitlines()[1:] if line.strip() and '"""' not in line]
    marks = ("choose(embed", "uid_keys([", "reference = embed")
    calls = [line for line in text.splitlines() if any(mark in line for mark in marks)]
    assert len(calls) == 3
    assert len(code) + len(calls) <= 24
