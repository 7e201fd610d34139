"""The config of a whole run: its sections, the file they are read from, and a file to start from.

Each stage has one frozen, validated section. A mistake in a file becomes one sentence. The file to start from
is written out of the sections, so it cannot drift from them.
"""

import difflib
import json
import textwrap
import tomllib
import typing
from pathlib import Path
from typing import Self, TypeVar

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from thresher.budget import parse_budget
from thresher.curate.settings import Cut, Subset
from thresher.data.cells import allow
from thresher.errors import InputError
from thresher.models.evaluation.settings import Evaluate
from thresher.planning.settings import Fit, Plan
from thresher.scores.settings import Score, Shards
from thresher.scores.spec import ScorerSpec, is_random
from thresher.settings import Section, Workplace
from thresher.train.settings import Filter, Probe, Train, TrainingConfig

Kind = TypeVar("Kind", "Config", TrainingConfig)

_HEADER = """\
# Settings of `thresher run`. Relative paths are taken from the folder of this file.
# Counts may be written "32M", "1.5B" or "4e7". A key or section right behind a # is off: delete the # to
# turn it on.
"""


class Report(Section):
    """One self-contained page."""

    title: str = Field(default="Thresher report", description="Heading of the page.")
    gallery: int = Field(default=12, ge=0, description="Pairs shown of each pool.")


class Config(Workplace):
    """All the settings of a run; one section a stage, in the order of the stages."""

    shards: Shards
    filter: Filter | None = None
    score: Score = Score()
    cut: Cut = Cut()
    probe: Probe = Probe()
    evaluate: Evaluate
    fit: Fit = Fit()
    plan: Plan
    subset: Subset = Subset()
    train: Train | None = None
    report: Report = Report()

    @field_validator("subset", mode="before")
    @classmethod
    def _priced_as_planned(cls, value: object, info: ValidationInfo) -> object:
        """A budget in FLOPs or GPU-hours buys what it buys in [plan]; another text is left as it is."""
        plan, written = info.data.get("plan"), value.get("budget") if isinstance(value, dict) else None
        if not (isinstance(value, dict) and isinstance(plan, Plan) and isinstance(written, str)):
            return value
        try:
            return {**value, "budget": parse_budget(written, plan.price)}
        except InputError:
            return value

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        specs = [_spec(scorer) for scorer in self.score.scorers]
        columns = [spec.column for spec in specs]
        if self.cut.by not in columns:
            raise ValueError(
                f"[cut] by = '{self.cut.by}' is no column of [score], which has {', '.join(columns)}"
            )
        for text, spec in zip(self.score.scorers, specs, strict=True):
            if self.filter is None and is_random(spec):
                raise ValueError(
                    f"[score] scorers: '{text}' has no weights and would rank pairs at random; name some, "
                    "as in clip:model=ViT-B-32,pretrained=laion2b_s34b_b79k, or add a section [filter]"
                )
        if self.subset.budget is not None and self.subset.budget not in self.plan.budgets:
            raise ValueError(f"[subset] budget = {self.subset.budget} is none of the budgets of [plan]")
        return self


def _spec(scorer: str) -> ScorerSpec:
    """A scorer as it is written, its options unchecked; `as=NAME` names its column."""
    name, _, rest = scorer.partition(":")
    pairs = (option.partition("=") for option in rest.split(","))
    given = {key.strip(): value.strip() for key, _, value in pairs if key.strip()}
    column = given.pop("as", "")
    return ScorerSpec(name, tuple(given.items()), column)


def sections(config: type[Section] = Config) -> dict[str, type[Section]]:
    """The section classes of a config by name, in the order of the stages."""
    found: dict[str, type[Section]] = {}
    for name, field in config.model_fields.items():
        for kind in typing.get_args(field.annotation) or (field.annotation,):
            if isinstance(kind, type) and issubclass(kind, Section):
                found[name] = kind
    return found


def load_config(path: str | Path) -> Config:
    """Settings of a TOML file; its relative paths are taken from the folder it lies in.

    What tables may name ([shards] `allow_outside`, `allow_remote`) holds for this process from then on.

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
        config = kind.model_validate_json(text, context={"folder": path.absolute().parent})
    except ValidationError as error:
        errors = error.errors(include_url=False)
        # An unknown key first: a key that is "missing" is often the one that is misspelt.
        errors.sort(key=lambda item: item["type"] != "extra_forbidden")
        more = f" ({len(errors) - 1} more to mend)" if len(errors) > 1 else ""
        raise InputError(f"{path}: {_sentence(errors[0])}{more}") from None
    allow(outside=config.shards.allow_outside, remote=config.shards.allow_remote)
    return config


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
    except (ValueError, RecursionError) as error:  # what is no TOML, or too long or nested too deeply
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
        needed = (f"{name} = {example_of(field)}" for name, field in fields.items() if _is_shown(field))
        return f"the section [{section}] is missing; add it with {', '.join(needed)}"
    return f"[{section}] needs '{key}', for example {key} = {example_of(fields[key])}"


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
