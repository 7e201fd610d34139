"""The config file to start from, written out of the sections so that it cannot drift from them."""

import json
import textwrap
from pathlib import Path

from pydantic.fields import FieldInfo

from thresher.pipeline.config import Config, sections
from thresher.settings import Section

_HEADER = """\
# Settings of `thresher run`. Relative paths are taken from the folder of this file.
# Counts may be written "32M", "1.5B" or "4e7". A key or section right behind a # is off: delete the # to
# turn it on.
"""


def commented_config() -> str:
    """A whole config file in TOML: every key of every section with its meaning and default.

    Keys and sections that may be left out stand behind a `#` without a space, with an example for a value.
    """
    blocks = [_HEADER, _keys(Config, off=False)]
    for name, kind in sections().items():
        off = (
            "#"
            if not Config.model_fields[name].is_required() and Config.model_fields[name].default is None
            else ""
        )
        blocks.append(f"# {kind.__doc__}\n{off}[{name}]\n{_keys(kind, off=bool(off))}")
    return "\n".join(blocks)


def example_of(field: FieldInfo) -> str:
    """A value for a key, in TOML: its example, or else its default."""
    return _toml(field.examples[0] if field.examples else field.default)


def needed_keys(section: str) -> str:
    """The keys that a section cannot do without, as TOML."""
    fields = sections()[section].model_fields
    return ", ".join(f"{key} = {example_of(field)}" for key, field in fields.items() if _is_shown(field))


def _keys(kind: type[Section], *, off: bool) -> str:
    """The lines of a section; the keys of a section that is off are off as well."""
    lines = []
    for key, field in kind.model_fields.items():
        if kind is Config and key in sections():
            continue
        lines += textwrap.wrap(field.description or "", 100, initial_indent="# ", subsequent_indent="# ")
        is_open = _is_shown(field) or field.default not in (None, ())
        lines.append(f"{'' if is_open and not off else '#'}{key} = {example_of(field)}")
    return "\n".join(lines) + "\n"


def _is_shown(field: FieldInfo) -> bool:
    """Whether the file to start from has to show an example for the key."""
    return field.is_required() or field.json_schema_extra == {"shown": True}


def _toml(value: object) -> str:
    """A value as TOML writes it, on one line."""
    match value:
        case dict():
            return "{" + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
        case Path():
            return json.dumps(str(value))
    return json.dumps(value, ensure_ascii=False)
