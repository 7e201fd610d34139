"""Writes the reference of the config from its sections, when the documentation is built."""

import types
import typing
from pathlib import Path

import annotated_types
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from thresher import settings
from thresher.pipeline.config import Config, example_of, sections
from thresher.settings import Section

PAGE = "config.md"
HEADER = """\
# Config

Every key of the TOML file that `thresher run` reads, made from the code. `thresher init` writes the same
keys as a file to start from. An unknown key is refused, and the nearest known one is named. Relative paths
are taken from the folder of the file. A count may be written `12800`, `"32M"`, `"1.5B"` or `"4e7"`.
"""
NAMED = {
    "Budget": "budget",
    "Count": "count",
    "DeviceFlops": "FLOP/s or device",
    "FilePath": "path",
    "Flops": "FLOPs",
    "Mix": "pools and weights",
    "ModelName": "model",
    "Pattern": "shards",
    "ReferenceName": "folder or model",
    "ScorerText": "scorer",
    "Share": "share, above 0 to 1",
    "StartCount": "count from 0",
}
"""What the types of `thresher.settings` are called here."""
KINDS = {getattr(settings, name): words for name, words in NAMED.items() if hasattr(settings, name)} | {
    bool: "true or false",
    float: "number",
    int: "integer",
    str: "text",
    Path: "path",
}
LIMITS = {
    annotated_types.Gt: ("above {}", "gt"),
    annotated_types.Ge: ("from {}", "ge"),
    annotated_types.Lt: ("below {}", "lt"),
    annotated_types.Le: ("to {}", "le"),
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files of the documentation and the page of the config."""
    files.append(File.generated(config, PAGE, content=page()))
    return files


def page() -> str:
    """The whole page, in Markdown."""
    top = {key: field for key, field in Config.model_fields.items() if key not in sections()}
    blocks = [HEADER, "## Top of the file\n", _table(Config, top)]
    for name, kind in sections().items():
        field = Config.model_fields[name]
        if field.is_required():
            note = "Required."
        else:
            note = "The stage is left out without it." if field.default is None else "Optional."
        blocks += [
            f"## [{name}]\n",
            f"{kind.__doc__} {note}\n",
            _table(kind, kind.model_fields),
        ]
    return "\n".join(blocks)


def _table(kind: type[Section], fields: dict[str, FieldInfo]) -> str:
    """The keys of a section, one a row."""
    hints = typing.get_type_hints(kind, include_extras=True)
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key, field in fields.items():
        rows.append(
            f"| `{key}` | {_type(hints[key], field)} | {_default(field)} | {_cell(field.description or '')} |"
        )
    return "\n".join(rows) + "\n"


def _type(hint: object, field: FieldInfo) -> str:
    """The type of a key in words, with the limits of a number."""
    kind = _kind(hint)
    if kind not in ("number", "integer"):
        return _cell(kind)
    limits = [LIMITS[type(limit)] for limit in field.metadata if type(limit) in LIMITS]
    values = [getattr(limit, LIMITS[type(limit)][1]) for limit in field.metadata if type(limit) in LIMITS]
    words = [text.format(f"{value:g}") for (text, _), value in zip(limits, values, strict=True)]
    return " ".join([f"{kind}{',' if words else ''}", *words])


def _kind(hint: object) -> str:
    """A type in words: of a choice its values, of an optional one what it is when it is given."""
    for known, words in KINDS.items():
        if hint == known:
            return words
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_kind(argument) for argument in arguments if argument is not type(None))
    if origin is tuple:
        return f"list of {_kind(arguments[0])}"
    if choices := TypeAdapter(hint).json_schema().get("enum"):
        return ", ".join(f"`{value}`" for value in choices)
    if origin is typing.Annotated:
        return _kind(arguments[0])
    return getattr(hint, "__name__", str(hint))


def _default(field: FieldInfo) -> str:
    """The default of a key as TOML writes it; empty where the key may be left out without one."""
    if field.is_required():
        return "required"
    if field.default in (None, ()):
        return ""
    return f"`{example_of(FieldInfo(default=field.default))}`"


def _cell(text: str) -> str:
    """Text for a cell of a table."""
    return text.replace("|", "\\|").replace("*", "\\*")
