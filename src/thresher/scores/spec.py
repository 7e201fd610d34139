"""A scorer as people write it: `clip:model=ViT-B-32,pretrained=weights.pt,as=clip_b32`.

Scorers opened together share the models that they have in common.

The parts of a scores folder, one a shard, and what two runs must have in common to share them.
"""

import contextlib
import inspect
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thresher.errors import InputError, nearest
from thresher.sharded.parts import ROW_COLUMNS, Stage
from thresher.sharded.scorer import Scorer
from thresher.sharded.summary import FolderSummary

OUTSIDE_FINGERPRINT = frozenset({"device", "batch_size"})
"""Options that say how to compute and not what: a run may go on with others."""

WITH_MODEL = frozenset({"clip", "laion", "tmars"})
"""Scorers that take a model and its weights."""

ScorerFactory = Callable[..., Scorer]
Factory = Callable[..., object]
"""Any function whose keyword arguments are the options of a scorer."""

Thing = TypeVar("Thing")

_opened: ContextVar[dict[Hashable, object] | None] = ContextVar("opened", default=None)


@dataclass(frozen=True, slots=True)
class ScorerSpec:
    """A scorer's name in `SCORERS`, its options in a fixed order, and the column that its scores get.

    The column is called like the scorer, with _ for -, or `caption_score` where the name is taken by another
    column.
    """

    name: str
    options: tuple[tuple[str, str], ...] = ()
    column: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(sorted(self.options)))
        object.__setattr__(self, "column", self.column or _default_column(self.name))


def parse_spec(
    text: str, scorers: Mapping[str, Factory], defaults: Mapping[str, str] | None = None
) -> ScorerSpec:
    """The spec that `text` stands for; `defaults` fill in options of the scorer that the text leaves out.

    Raises:
        InputError: an unknown scorer or option (the nearest known one is named), or text of another form.
    """
    name, colon, rest = text.strip().partition(":")
    factory = _factory(name, scorers)
    options: dict[str, str] = {}
    for piece in rest.split(",") if colon else ():
        key, equals, value = (part.strip() for part in piece.partition("="))
        if not (key and equals and value):
            raise InputError(f"scorer {text!r}: {piece!r} is no option; write {name}:key=value,key=value")
        if key in options:
            raise InputError(f"scorer {text!r} gives {key} twice; keep one")
        options[key] = value
    column = options.pop("as", _default_column(name))
    known = inspect.signature(factory).parameters
    for key in options:
        if key not in known:
            raise InputError(f"scorer {name} has no option {key!r}; {nearest(key, [*known, 'as'])}")
    for key, value in (defaults or {}).items():
        if key in known:
            options.setdefault(key, value)
    _check_column(column)
    spec = ScorerSpec(name, tuple(options.items()), column)
    arguments(spec, scorers)
    return spec


def arguments(spec: ScorerSpec, scorers: Mapping[str, Factory]) -> dict[str, Any]:
    """The options as the scorer's function takes them: numbers as numbers.

    Raises:
        InputError: an option that should be a number is none or one that is needed is missing, or the scorer
            is unknown.
    """
    known = inspect.signature(_factory(spec.name, scorers)).parameters
    values: dict[str, Any] = {}
    for key, text in spec.options:
        if key not in known:
            raise InputError(f"scorer {spec.name} has no option {key!r}; {nearest(key, list(known))}")
        values[key] = _value(spec.name, key, text, known[key].annotation)
    for key, option in known.items():
        if option.default is option.empty and key not in values:
            raise InputError(f"scorer {spec.name} needs {key}; write {spec.name}:{key}=...")
    return values


def _value(scorer: str, key: str, text: str, kind: object) -> object:
    if kind is int:
        if not text.isdecimal():
            raise InputError(f"scorer {scorer}: {key}={text!r} is not a whole number")
        return int(text)
    if kind in (float, float | None):
        try:
            return float(text)
        except ValueError:
            raise InputError(f"scorer {scorer}: {key}={text!r} is not a number") from None
    return text


def check_columns(specs: Sequence[ScorerSpec]) -> None:
    """Refuse an empty list of scorers and two scorers with one column."""
    if not specs:
        raise InputError("no scorer is given; name at least one, for example caption")
    seen: set[str] = set()
    for spec in specs:
        if spec.column in seen:
            raise InputError(f"two scorers write the column {spec.column!r}; rename one with as=NAME")
        seen.add(spec.column)


def is_random(spec: ScorerSpec) -> bool:
    """Whether a scorer has a model without weights: its ranking means nothing.

    >>> is_random(ScorerSpec("clip")), is_random(ScorerSpec("clip", (("pretrained", "dfn.pt"),)))
    (True, False)
    """
    options = dict(spec.options)
    own_weights = options.get("model", "").startswith(("local-dir:", "hf-hub:"))
    return spec.name in WITH_MODEL and "pretrained" not in options and not own_weights


def _factory(name: str, scorers: Mapping[str, Factory]) -> Factory:
    if name not in scorers:
        raise InputError(f"there is no scorer {name!r}; {nearest(name, list(scorers))}")
    return scorers[name]


def _default_column(name: str) -> str:
    column = name.replace("-", "_")
    return f"{column}_score" if column in ROW_COLUMNS else column


def _check_column(column: str) -> None:
    if column in ROW_COLUMNS or not column.isidentifier():
        raise InputError(
            f"{column!r} cannot be the name of a score column; take letters, digits and _, "
            f"and none of {', '.join(ROW_COLUMNS)}"
        )


def entries(specs: Sequence[ScorerSpec], fingerprints: Mapping[str, str]) -> list[dict[str, Any]]:
    """What `scores.json` says of each scorer; fingerprints by column."""
    return [
        {
            "column": spec.column,
            "name": spec.name,
            "options": {key: value for key, value in spec.options if key not in OUTSIDE_FINGERPRINT},
            "fingerprint": fingerprints[spec.column],
        }
        for spec in specs
    ]


@contextlib.contextmanager
def model_cache() -> Iterator[None]:
    """Within it, `cached` gives the same thing for the same key; nothing is kept after it."""
    token = _opened.set({})
    try:
        yield
    finally:
        _opened.reset(token)


def cached(key: Hashable, make: Callable[[], Thing]) -> Thing:
    """What `make` gives, or what it gave for this key before; outside `model_cache` always a new one.

    `key` has to name all that `make` depends on, the kind of thing among it.

    >>> with model_cache():
    ...     cached("list", list) is cached("list", list)
    True
    """
    opened = _opened.get()
    if opened is None:
        return make()
    if key not in opened:
        opened[key] = make()
    thing: Thing = opened[key]  # type: ignore[assignment]
    return thing


def _other_scorers(found: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    if set(found) != set(now):
        return (
            f"has the scores {', '.join(sorted(found))}, this run makes {', '.join(sorted(now))}; "
            "name another folder, or delete this one to score again"
        )
    for column, fingerprint in now.items():
        if found[column] != fingerprint:
            return (
                f"was scored by another {column}: its fingerprint is {found[column][:12]}, this run's is "
                f"{fingerprint[:12]} (weights, preprocessing or precision differ); give the same options, "
                "name another folder, or delete this one to score again"
            )
    return None


SCORE = Stage(
    name="score",
    done="scored",
    noun="scores",
    differs=_other_scorers,
    exclude_remedy="give the same list here and the new one to `cut`, or name another folder",
)


def score_table(
    columns: Mapping[str, Sequence[str]], scores: Mapping[str, npt.NDArray[np.float32]]
) -> pa.Table:
    """The table of a scored shard: the columns of its rows, then one column a scorer."""
    arrays = [pa.array(columns[name], pa.string()) for name in ROW_COLUMNS]
    arrays += [pa.array(np.asarray(values, dtype=np.float32)) for values in scores.values()]
    return pa.table(arrays, names=[*ROW_COLUMNS, *scores])


def scores_json(summary: FolderSummary, scorers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The content of `scores.json`, given what it says of each scorer."""
    return {
        "schema": "thresher.scores",
        "version": 1,
        "scorers": list(scorers),
        **summary.content(),
    }
