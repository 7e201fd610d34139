"""Dataclasses as JSON objects: names and order are those of the fields, so the same data give the same bytes.

A field with another name in the file says so, `field(metadata=named("from"))`. Numbers get the type of their
field when they are read, and a field that the file lacks gets its default.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from thresher.errors import InputError

Built = TypeVar("Built")
Forms = Mapping[type, Callable[[Any], Any]]
"""Classes whose JSON form is not that of their fields, to what makes it of one, or one of it."""


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


def from_record(kind: Any, record: Any, forms: Forms | None = None) -> Any:
    """What `to_record` made `record` of; keys that no field has are ignored.

    Raises:
        KeyError: a field without a default is missing; other errors for values that are none of its type.
    """
    form = (forms or {}).get(kind)
    if form is not None:
        return form(record)
    if isinstance(kind, type) and is_dataclass(kind):
        types = get_type_hints(kind)
        return kind(
            **{
                field.name: from_record(types[field.name], record[_key(field)], forms)
                for field in fields(kind)
                if _key(field) in record or (field.default, field.default_factory) == (MISSING, MISSING)
            }
        )
    origin, held = get_origin(kind), get_args(kind)
    if type(None) in held:
        return None if record is None else from_record(held[0], record, forms)
    if origin is tuple:
        kinds = held[:1] * len(record) if Ellipsis in held else held
        return tuple(from_record(of, one, forms) for of, one in zip(kinds, record, strict=True))
    if origin is Mapping:
        return {name: from_record(held[1], one, forms) for name, one in record.items()}
    return kind(record) if kind in (int, float, bool) else record


def _key(field: "Field[Any]") -> str:
    return str(field.metadata.get("key", field.name))


def read_record(
    path: Path, schema: str, version: int, command: str, build: Callable[[Mapping[str, Any]], Built]
) -> Built:
    """`build` applied to the JSON object at `path`; every way to fail becomes an `InputError`."""
    try:
        record = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror}); make it with `{command}`") from None
    except ValueError:
        raise InputError(f"{path} is not JSON; make it again with `{command}`") from None
    found = (record.get("schema"), record.get("version")) if isinstance(record, dict) else (None, None)
    if found != (schema, version):
        raise InputError(
            f"{path} holds {found[0]!r} version {found[1]!r}, not {schema!r} version {version}; "
            f"make it with `{command}`"
        )
    try:
        return build(record)
    except InputError:
        raise
    except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise InputError(f"{path} lacks a field or holds a wrong one ({error}); make it again") from None
