"""Sections of a config with options of the command line in place of some of their keys."""

from typing import TypeVar

from pydantic import ValidationError

from thresher.config.sections import Section
from thresher.errors import InputError

Kind = TypeVar("Kind", bound=Section)


def override(kind: type[Kind], base: Kind | None, **options: object) -> Kind:
    """The section `base` (its defaults without one) with every option that was given.

    An option that is None or an empty tuple was not given.

    Raises:
        InputError: the values do not go together; the first of them is named.
    """
    values = base.model_dump() if base is not None else {}
    values |= {key: value for key, value in options.items() if value is not None and value != ()}
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        value = f"{key} = {first['input']!r}: " if key else ""
        raise InputError(f"{value}{message[0].lower()}{message[1:]}") from None
