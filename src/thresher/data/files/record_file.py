"""Dataclasses as JSON objects: names and order are those of the fields, so the same data give the same bytes.

A field with another name in the file says so, `field(metadata=named("from"))`. Numbers get the type of their
field when they are read, and a field that the file lacks gets its default.
"""

import json
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from thresher.errors import InputError, naming

Built = TypeVar("Built")
Forms = Mapping[type, Callable[[Any], Any]]
"""Classes whose JSON form is not that of their fields, to what makes it of one, or one of it."""

_OF_DAMAGE = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError),
    *(pickle.UnpicklingError, zipfile.BadZipFile),
)


def named(key: str) -> dict[str, str]:
    """The metadata of a field that is called `key` in the file."""
    return {"key": key}


def to_record(value: Any, forms: Forms | None = None) -> Any:
    """The JSON form of a dataclass and of all that it holds."""
    form = (forms or {}).get(type(value))
    if form is not None:
        return form(value)
    if is_dataclass(value):
        return {_key(field): to_record(getattr(value, field.name), forms) for field in fields(value)}
    if isinstance(value, Mapping):
        return {name: to_record(held, forms) for name, held in value.items()}
    if isinstance(value, tuple):
        return [to_record(held, forms) for held in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


def from_record(kind: Any, record: Any, forms: Forms | None = None, place: str = "") -> Any:
    """What `to_record` made `record` of; keys that no field has are ignored.

    Args:
        kind: A dataclass, a tuple or a mapping of them, a union with None, int, float, bool, str or Any.
        record: What JSON gave.
        forms: See `Forms`.
        place: Name of the value in its file, for errors.

    Raises:
        ValueError: a field without a default is missing, or a value is of another type (with its place).
    """
    form = (forms or {}).get(kind)
    if form is not None:
        return form(record)
    if isinstance(kind, type) and is_dataclass(kind):
        if not isinstance(record, dict):
            raise _wrong(place, record, "an object")
        types = get_type_hints(kind)
        values = {}
        for field in fields(kind):
            key = _key(field)
            inner = f"{place}.{key}".lstrip(".")
            if key in record:
                values[field.name] = from_record(types[field.name], record[key], forms, inner)
            elif (field.default, field.default_factory) == (MISSING, MISSING):
                raise ValueError(f"{inner} is missing")
        return kind(**values)
    origin, held = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return None if record is None else from_record(held[0], record, forms, place)
    if origin is tuple:
        kinds = held[:1] * len(record) if isinstance(record, list) and Ellipsis in held else held
        if not isinstance(record, list) or len(kinds) != len(record):
            raise _wrong(place, record, "a list" if Ellipsis in held else f"a list of {len(held)}")
        pairs = enumerate(zip(kinds, record, strict=True))
        return tuple(from_record(of, one, forms, f"{place}[{number}]") for number, (of, one) in pairs)
    if origin in (Mapping, dict):
        if not isinstance(record, dict):
            raise _wrong(place, record, "an object")
        return {name: from_record(held[1], one, forms, f"{place}.{name}") for name, one in record.items()}
    return _plain(kind, record, place)


def _plain(kind: Any, record: Any, place: str) -> Any:
    """A number or a text of that type; of any other type whatever it is."""
    if kind is float and isinstance(record, int | float) and not isinstance(record, bool):
        return float(record)
    if kind in (int, bool, str, float) and type(record) is not kind:
        raise _wrong(place, record, _WORDS[kind])
    return record


_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def _wrong(place: str, record: Any, wanted: str) -> ValueError:
    return ValueError(f"{place or 'it'} is {json.dumps(record, default=str)[:60]}, not {wanted}")


def _key(field: "Field[Any]") -> str:
    return str(field.metadata.get("key", field.name))


@contextmanager
def own_file(path: Path, remedy: str) -> Iterator[None]:
    """Makes one sentence of whatever goes wrong while the block reads a file that a command has written.

    Tables, arrays and checkpoints are read in such a block as well: what pyarrow, numpy and torch raise about
    a file that is absent, cut off or of another kind becomes an `InputError` with its name and the remedy.
    """
    try:
        yield
    except InputError:
        raise
    except _OF_DAMAGE as error:
        told = f"{error} is missing" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise InputError(f"{path} is damaged ({told.splitlines()[0][:200]}); {remedy}") from error


def read_record(
    path: Path, schema: str, version: int, command: str, build: Callable[[Mapping[str, Any]], Built]
) -> Built:
    """`build` applied to the JSON object at `path`; every way to fail becomes an `InputError`."""
    try:
        record = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror}); make it with `{command}`") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path} is not JSON; make it again with `{command}`") from None
    found = (record.get("schema"), record.get("version")) if isinstance(record, dict) else (None, None)
    if found != (schema, version):
        raise InputError(
            f"{path} holds {found[0]!r} version {found[1]!r}, not {schema!r} version {version}; "
            f"make it with `{command}`"
        )
    with own_file(path, f"make it again with `{command}`"), naming(str(path)):
        return build(record)
