"""Products of commands, and how they are damaged: a field at a time, or cut off."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thresher.errors import InputError

FEW: tuple[Any, ...] = (None, "x")
MANY: tuple[Any, ...] = (-3, 0.5, True, [], {}, [[1]])
"""What stands in place of a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A file and what reads it.

    Attributes:
        path: the file.
        use: what a command makes of it, to be compared.
        defaults: places that may be absent or null, and mean something then; None where many may, and what
            is asked is only that no other error comes through.
        unread: places that nothing reads back; the outcome is the same whatever stands there.
    """

    path: Path
    use: Callable[[], object]
    defaults: frozenset[str] | None = frozenset()
    unread: frozenset[str] = frozenset()


@dataclass(slots=True)
class Told:
    """What came of the changes: how many, the sentences, and those that did not do well."""

    changes: int
    said: list[str]
    wrong: list[str]


def places(value: Any, place: tuple[Any, ...] = (), most: int = 2) -> Iterator[tuple[Any, ...]]:
    """Every key, and the first `most` places of every list."""
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value[:most])
        if isinstance(value, list)
        else ()
    )
    for key, held in inner:
        yield (*place, key)
        yield from places(held, (*place, key), most)


def damaged(content: Any, place: tuple[Any, ...], others: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    """The content without the value at a place, and with others in place of it."""
    for change in ("gone", *others):
        made = copy.deepcopy(content)
        parent = made
        for key in place[:-1]:
            parent = parent[key]
        if change == "gone":
            del parent[place[-1]]
        elif type(parent[place[-1]]) is type(change) or _is_same(parent[place[-1]], change):
            continue
        else:
            parent[place[-1]] = change
        yield str(change), made


def _is_same(value: Any, change: Any) -> bool:
    """Whether a change is none: true stands for 1, and a whole number is a number as well."""
    if not isinstance(value, bool | int | float | str):
        return False  # a tensor, which equals nothing as a whole
    return value == change or (isinstance(value, float) and type(change) is int)


def name_of(place: tuple[Any, ...]) -> str:
    """`a.b.*`, where a star is any place of a list."""
    return ".".join("*" if isinstance(key, int) else str(key) for key in place)


def use_damaged(
    product: Product, content: Any, others: tuple[Any, ...], write: Callable[[Any], None], known: list[Any]
) -> Told:
    """Damage every field of the content once in each way, and see what the reader says."""
    told = Told(0, [], [])
    whole = product.use()
    for place in known:
        name = name_of(place)
        for change, made in damaged(content, place, others):
            write(made)
            told.changes += 1
            shorter = change == "gone" and isinstance(place[-1], int)  # nothing says how long the list was
            judge(told, product, f"{name} {change}", whole, name=name, any_outcome=shorter)
    return told


def judge(
    told: Told, product: Product, what: str, whole: object, *, name: str = "", any_outcome: bool = False
) -> None:
    """Use a damaged product; the outcome has to be a sentence with its name, or what the fields allow."""
    defaults = product.defaults
    try:
        found = product.use()
    except InputError as error:
        sentence = str(error)
        told.said.append(sentence)
        named = product.path.name in sentence or str(product.path.parent) in sentence
        if not named or len(sentence) > 700 or "\n" in sentence:
            told.wrong.append(f"{what}: says {sentence!r}")
    except Exception as error:  # noqa: BLE001 - none may come through
        told.wrong.append(f"{what}: {error!r}")
    else:
        if any_outcome or defaults is None or name in defaults:
            return
        if found != whole:
            told.wrong.append(f"{what}: not missed, and the outcome differs")
        elif name not in product.unread:
            told.wrong.append(f"{what}: not missed")
