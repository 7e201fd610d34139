"""The pages of the documentation that are made from the code, and the README's promises about its form."""

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from thresher.pipeline.config import sections

ROOT = Path(__file__).parent.parent

pytest.importorskip("mkdocs")


def hook(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"hook_{name}", ROOT / "docs" / "hooks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_has_every_command_with_every_option() -> None:
    made = hook("commands")
    page, group = made.page(), made.typer.main.get_command(made.app)
    for name, command in group.commands.items():
        part = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert part.startswith(f"\n```text\nthresher {name} ")
        assert [option.name for option in command.params if f"| `{option.opts[0]}" not in part] == [
            option.name for option in command.params if option.param_type_name == "argument"
        ]


def test_the_reference_has_every_key_of_the_config() -> None:
    page = hook("config").page()
    for name, kind in sections().items():
        part = page.partition(f"\n## [{name}]\n")[2].partition("\n## ")[0]
        assert [key for key in kind.model_fields if f"| `{key}` |" not in part] == []


def test_the_picture_has_every_part_of_the_package_and_no_arrow_that_leads_up() -> None:
    made = hook("architecture")
    parts = made.parts_in_order(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8")))
    places = {part: place for place, part in enumerate(parts)}
    own = {path.stem for path in (ROOT / "src" / "thresher").iterdir() if path.suffix in ("", ".py")}
    assert set(parts) == own - {"__init__", "__pycache__"}
    counts = made.imports_between()
    assert [ends for ends in counts if places[ends[0]] >= places[ends[1]]] == []
    picture = made.drawing(parts, counts)
    assert all(f">{part}</text>" in picture for part in parts)


@pytest.mark.parametrize("name", ["README.md", "docs/index.md"])
def test_blocks_of_text_are_narrow_enough_to_be_shown_whole(name: str) -> None:
    blocks = re.findall(r"```text\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), flags=re.DOTALL)
    assert blocks
    assert max(len(line) for block in blocks for line in block.splitlines()) <= 100
