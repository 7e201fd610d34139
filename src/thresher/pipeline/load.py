"""Reads a config file; a mistake in it becomes one sentence."""

import difflib
import json
import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from thresher.errors import InputError
from thresher.pipeline.config import Config, sections
from thresher.pipeline.template import example_of, needed_keys
from thresher.settings import Section
from thresher.train.settings import TrainingConfig

Kind = TypeVar("Kind", bound=Section)


def load_config(path: str | Path) -> Config:
    """Settings of a TOML file; its relative paths are taken from the folder it lies in.

    Raises:
        InputError: the file cannot be read, or the first thing that is wrong in it, with section and key.
    """
    path = Path(path)
    return _validated(path, Config, _read(path))


def load_training_config(path: str | Path) -> Config | TrainingConfig:
    """Settings to train by: of a whole run, or of training alone where no other stage has a section.

    Raises:
        InputError: as `load_config`.
    """
    path = Path(path)
    table = _read(path)
    others = sections().keys() - sections(TrainingConfig).keys()
    if others & table.keys():
        return _validated(path, Config, table)
    return _validated(path, TrainingConfig, table)


def _validated(path: Path, kind: type[Kind], given: dict[str, object]) -> Kind:
    # Defaults are not validated, hence not resolved; the one that is a path is given as if it were written.
    table = {"workdir": str(Config.model_fields["workdir"].default)} | given
    # JSON mode keeps types strict, yet takes lists for tuples and strings for paths, as TOML has them.
    text = json.dumps(table, default=str)
    try:
        return kind.model_validate_json(text, context={"folder": path.absolute().parent})
    except ValidationError as error:
        errors = error.errors(include_url=False)
        # An unknown key first: a key that is "missing" is often the one that is misspelt.
        errors.sort(key=lambda item: item["type"] != "extra_forbidden")
        more = f" ({len(errors) - 1} more to mend)" if len(errors) > 1 else ""
        raise InputError(f"{path}: {_sentence(errors[0])}{more}") from None


def _read(path: Path) -> dict[str, object]:
    """The table in a TOML file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"there is no config file {path}; `thresher init` writes one to start from"
        ) from None
    except OSError as error:
        raise InputError(f"config file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"config file {path} is not UTF-8 text; save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"config file {path} is not valid TOML: {error}") from None


def _sentence(error: ErrorDetails) -> str:
    """One validation error as a sentence with section, key, value and remedy."""
    parts = error["loc"]
    section = str(parts[0]) if parts and parts[0] in sections() else None
    keys = parts[1:] if section else parts
    message = error["msg"].removeprefix("Value error, ")
    match error["type"]:
        case "extra_forbidden":
            return _unknown(section, str(keys[-1]))
        case "missing" if section:
            return _missing(section, str(keys[-1]) if keys else None)
        case "model_type":
            return f"'{parts[0]}' has to be a section, opened by a line [{parts[0]}]"
        case "too_short":
            message = f"at least {error['ctx']['min_length']} is needed"
    where = f"[{section}] " if section else ""
    if not keys:
        return where + message
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in keys).removeprefix(".")
    value = json.dumps(error["input"], default=str, ensure_ascii=False)
    return f"{where}{key} = {value}: {message[0].lower()}{message[1:]}"


def _unknown(section: str | None, key: str) -> str:
    """What to write in place of a key, or a section, that does not exist."""
    known = list(sections()[section].model_fields if section else Config.model_fields)
    where = f"unknown key '{key}' in [{section}]" if section else f"unknown section or key '{key}'"
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    is_typo = bool(near) and difflib.SequenceMatcher(None, key, near[0]).ratio() > 0.8
    homes = [name for name, kind in sections().items() if key in kind.model_fields]
    if homes and not is_typo:
        return f"{where}; it belongs to [{homes[0]}]"
    if near:
        return f"{where}; did you mean '{near[0]}'?"
    return f"{where}; known are {', '.join(known)}"


def _missing(section: str, key: str | None) -> str:
    """What to add for a section, or a key, that has to be there."""
    fields = sections()[section].model_fields
    if key is None:
        return f"the section [{section}] is missing; add it with {needed_keys(section)}"
    return f"[{section}] needs '{key}', for example {key} = {example_of(fields[key])}"
