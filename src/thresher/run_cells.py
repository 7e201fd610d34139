"""Cells of a table and values of a JSON object as the fields of a run."""

import json
import re
from collections.abc import Mapping
from typing import Any

from thresher.budget import parse_count
from thresher.errors import InputError

_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_FRACTION = re.compile(r"[0-9]{1,5}\.[0-9]*[1-9][0-9]*")


def text(name: str, value: object) -> str:
    """The value as text without spaces around it; no object or list."""
    if isinstance(value, Mapping | list):
        raise InputError(f"`{name}` is {value!r}; write a text")
    return str(value).strip()


def number(name: str, value: object) -> float:
    """The value as a number, which may be infinite or not a number."""
    try:
        if not isinstance(value, bool):
            return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        pass
    raise InputError(f"`{name}` is {value!r}; write a number")


def count(name: str, value: object) -> int:
    """The value as a number of samples, such as 12800, `32M` or 4e7."""
    written = str(value).strip()
    try:
        return parse_count(written)
    except InputError as error:
        hint = f", or write {written}M if it counts in millions" if _FRACTION.fullmatch(written) else ""
        raise InputError(f"`{name}`: {error}{hint}") from None


def size(name: str, value: object) -> float:
    """A number that may be written with a suffix, such as `151M` or `1.5B`."""
    written = isinstance(value, str) and value.strip()[:1].isdigit() and value.strip()[-1:].isalpha()
    return float(count(name, value)) if written else number(name, value)


def mapping(name: str, value: object) -> Mapping[str, Any]:
    """The value as an object; a cell of a CSV holds it as JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise InputError(f'`{name}` is {value!r}; write a JSON object like {{"0-10%": 0.5}}') from None
    if not isinstance(value, Mapping):
        raise InputError(f"`{name}` is {value!r}; write an object, one entry a pool")
    return value


def counts(name: str, value: object) -> int | dict[str, int]:
    """One number of samples, or one for each pool."""
    if isinstance(value, Mapping) or (isinstance(value, str) and value.lstrip().startswith("{")):
        return {str(pool): count(f"{name} of {pool}", held) for pool, held in mapping(name, value).items()}
    return count(name, value)


def numbers(name: str, value: object) -> dict[str, float]:
    """A number for each key of an object."""
    return {str(key): number(f"{name} of {key}", held) for key, held in mapping(name, value).items()}


def seed(name: str, value: object) -> int:
    """The value as a whole number, which may be 0."""
    found = number(name, value)
    if not found.is_integer():
        raise InputError(f"`{name}` is {value!r}; write a whole number")
    return int(found)


def flag(name: str, value: object) -> bool:
    """True or false, as people write them."""
    found = _BOOLEANS.get(str(value).strip().lower())
    if found is None:
        raise InputError(f"`{name}` is {value!r}; write true or false")
    return found
