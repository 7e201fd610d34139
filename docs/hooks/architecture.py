"""Draws how the parts of the package import each other, when the documentation is built.

The order of the parts is that of the import contract in `pyproject.toml`, the counts are those of the code.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import grimp
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PICTURE = "assets/architecture.svg"
STEP, BOX, MARGIN = 38, 112, 8
STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #222; }
rect { fill: #eef2f7; stroke: #6b7a90; }
.line { fill: none; stroke: #b9c3d0; }
.head { fill: #6b7a90; }
circle { fill: #33658a; }
.count { font-size: 10px; fill: #fff; text-anchor: middle; }
.name { text-anchor: middle; }
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files of the documentation and the picture."""
    project = Path(config.config_file_path).parent / "pyproject.toml"
    parts = parts_in_order(tomllib.loads(project.read_text(encoding="utf-8")))
    files.append(File.generated(config, PICTURE, content=drawing(parts, imports_between())))
    return files


def parts_in_order(project: Mapping) -> list[str]:
    """The parts of the package, the highest first, as the contract of layers lists them."""
    contracts = project["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [part for layer in layers for part in re.split(r"[|: ]+", layer)]


def imports_between() -> Counter[tuple[str, str]]:
    """How many imports lead from a part to another one, those inside functions included."""
    graph = grimp.build_graph("thresher", cache_dir=None)
    counts: Counter[tuple[str, str]] = Counter()
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            ends = module.split(".")[1:2], imported.split(".")[1:2]
            if all(ends) and ends[0] != ends[1]:
                counts[ends[0][0], ends[1][0]] += 1
    return counts


def drawing(parts: Sequence[str], counts: Mapping[tuple[str, str], int]) -> str:
    """The parts as a staircase in SVG: right from an importer, down to what it imports."""
    place = {part: (MARGIN + STEP * number, MARGIN + STEP * number) for number, part in enumerate(parts)}
    lines, dots, boxes = [], [], []
    for (importer, imported), count in sorted(counts.items()):
        if importer not in place or imported not in place:
            continue
        (x, y), (to_x, to_y) = place[importer], place[imported]
        column, row = to_x + BOX / 2, y + STEP / 2 - 4
        lines.append(f'<path class="line" d="M{x + BOX} {row} H{column} V{to_y}"/>')
        dots.append(f'<path class="head" d="M{column - 4} {to_y - 6} H{column + 4} L{column} {to_y} Z"/>')
        dots.append(f'<circle cx="{column}" cy="{row}" r="{9 if count < 100 else 11}"/>')
        dots.append(f'<text class="count" x="{column}" y="{row + 3.5}">{count}</text>')
    for part, (x, y) in place.items():
        boxes.append(f'<rect x="{x}" y="{y}" width="{BOX}" height="{STEP - 8}" rx="4"/>')
        boxes.append(f'<text class="name" x="{x + BOX / 2}" y="{y + STEP / 2}">{part}</text>')
    width = height = 2 * MARGIN + STEP * len(parts)
    width += BOX
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">'
    background = f'<path d="M0 0 H{width} V{height} H0 Z" fill="#fff"/>'
    return "\n".join([opening, f"<style>{STYLE}</style>", background, *lines, *dots, *boxes, "</svg>"])
