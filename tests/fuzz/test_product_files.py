"""Files that commands leave for each other, damaged a field at a time: one sentence, or it is not missed."""

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.curate.pools.scores import write_scores
from tests.planning.predicting import mix_error
from tests.report.planted import NAMES, SIZES, planted_laws, planted_plan
from thresher.curate.pools.cut import cut
from thresher.curate.pools.record import load_pools, missing_pairs
from thresher.errors import InputError
from thresher.planning.laws.laws_file import load_laws, save_laws
from thresher.planning.plans.plan import load_plan, save_plan
from thresher.planning.runs.ledger import read_runs

FEW: tuple[Any, ...] = (None, "x")
MANY: tuple[Any, ...] = (-3, 0.5, True, [], {}, [[1]])
"""What stands in place of a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A file and what reads it."""

    path: Path
    use: Callable[[], object]


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Product]:
    root = tmp_path_factory.mktemp("products")
    scores = write_scores(root / "scores", [[0.9, 0.8, 0.1], [0.3, 0.2, 0.5]])
    cut(scores, by="clip", out=root / "pools", edges=[0.5, 1.0])
    save_laws(root / "laws.json", planted_laws())
    save_plan(root / "plan.json", planted_plan())
    runs = [json.dumps({"pool": "a", "unique_samples": 9, "samples_seen": n, "error": 0.5}) for n in (10, 20)]
    (root / "runs.jsonl").write_text("\n".join(runs) + "\n")
    return {
        "laws.json": Product(
            path=root / "laws.json",
            use=lambda: mix_error(load_laws(root / "laws.json"), {NAMES[0]: 1.0}, SIZES, 1e6),
        ),
        "plan.json": Product(path=root / "plan.json", use=lambda: load_plan(root / "plan.json")),
        "pools.json": Product(
            path=root / "pools" / "pools.json",
            use=lambda: (load_pools(root / "pools").sizes, missing_pairs(root / "pools")),
        ),
        "scores.json": Product(
            path=scores / "scores.json",
            use=lambda: cut(scores, by="clip", out=root / "again", edges=[0.5]),
        ),
        "runs.jsonl": Product(path=root / "runs.jsonl", use=lambda: read_runs(root / "runs.jsonl")),
    }


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key, and the first two places of every list."""
    inner = (
        value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    )
    for key, held in inner:
        yield (*place, key)
        yield from places(held, (*place, key))


def damaged(content: Any, place: tuple[Any, ...], others: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    """The content without the value at a place, and with others in place of it."""
    for change in ("gone", *others):
        made = copy.deepcopy(content)
        parent = made
        for key in place[:-1]:
            parent = parent[key]
        if change == "gone":
            del parent[place[-1]]
        elif type(parent[place[-1]]) is type(change):
            continue
        else:
            parent[place[-1]] = change
        yield str(change), made


@pytest.mark.parametrize("name", ["laws.json", "plan.json", "pools.json", "scores.json", "runs.jsonl"])
@pytest.mark.parametrize("others", [FEW, pytest.param(MANY, marks=pytest.mark.soak)])
def test_every_field_gone_or_of_another_type_is_one_sentence(
    products: dict[str, Product], name: str, others: tuple[Any, ...]
) -> None:
    product = products[name]
    whole = product.path.read_text()
    content = [json.loads(line) for line in whole.splitlines()] if name.endswith("l") else json.loads(whole)
    said: list[str] = []
    wrong: list[str] = []
    try:
        for place in places(content):
            for change, made in damaged(content, place, others):
                lines = made if name.endswith("l") else [made]
                product.path.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
                try:
                    product.use()
                except InputError as error:
                    said.append(str(error))
                except Exception as error:  # noqa: BLE001 - none may come through
                    wrong.append(f"{place} {change}: {error!r}")
    finally:
        product.path.write_text(whole)
    assert wrong == []
    assert len(said) > 5
    assert max(map(len, said)) < 700
