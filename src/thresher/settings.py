"""The types of values in a config: counts, shares, paths, patterns, models."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationInfo,
)
from pydantic_core import CoreSchema, core_schema

from thresher.budget import Price, parse_budget, parse_count, parse_device, parse_flops
from thresher.data.files.location import is_remote
from thresher.data.patterns import split_sources

PRECISIONS = ("auto", "fp32", "bf16")
"""Number formats in which a model runs."""


def _count(value: object) -> object:
    """Number of samples from `32M`, `4e7` or an integer; anything else is left for the type check."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return parse_count(value) if isinstance(value, str) else value


def _budget(value: object, info: ValidationInfo) -> object:
    """Samples seen of a budget; one in FLOPs or GPU-hours at the price in the keys before it."""
    if not isinstance(value, str):
        return _count(value)
    keys = ("flops_per_sample", "device_flops", "mfu")
    return parse_budget(value, Price(**{key: info.data[key] for key in keys if info.data.get(key)}))


def _flops(value: object) -> object:
    return parse_flops(value) if isinstance(value, str) else value


def _device(value: object) -> object:
    return parse_device(value) if isinstance(value, str) else value


def _path(value: Path, info: ValidationInfo) -> Path:
    """A path, a relative one taken from the folder of the config."""
    folder = (info.context or {}).get("folder")  # none when the settings do not come from a file
    return Path(os.path.normpath(folder / value.expanduser())) if isinstance(folder, Path) else value


def _pattern(value: str, info: ValidationInfo) -> str:
    """Sources joined by `::`, each taken from the folder of the config; `s3://...` and the like stay."""
    sources = split_sources(value)
    return "::".join(source if is_remote(source) else str(_path(Path(source), info)) for source in sources)


def _model(value: str, info: ValidationInfo) -> str:
    """A file beside the config where one has that name, a `local-dir:` likewise; else the name as it is."""
    if value.startswith("local-dir:"):
        return f"local-dir:{_path(Path(value.removeprefix('local-dir:')), info)}"
    path = _path(Path(value), info)
    return str(path) if path.is_file() else value


def _reference(value: str, info: ValidationInfo) -> str:
    """A folder beside the config where one has that name; else a model, with its weights `,pretrained=`."""
    name, comma, weights = value.partition(",pretrained=")
    path = _path(Path(name), info)
    if path.is_dir():
        return str(path)
    return _model(name, info) + comma + (_model(weights, info) if comma else "")


def _scorer(value: str, info: ValidationInfo) -> str:
    """A scorer with its options, `NAME:key=value,key=value`; a value that names something there is a path."""
    name, colon, options = value.partition(":")
    pairs = [option.partition("=") for option in options.split(",")]
    return name + colon + ",".join(key + equals + _option(key, text, info) for key, equals, text in pairs)


def _option(key: str, text: str, info: ValidationInfo) -> str:
    if key.strip() == "network":
        return _reference(text, info)
    return _model(text, info) if text else ""


Count = Annotated[int, BeforeValidator(_count), Field(gt=0)]
StartCount = Annotated[int, BeforeValidator(_count), Field(ge=0)]
Budget = Annotated[int, BeforeValidator(_budget), Field(gt=0)]
Flops = Annotated[float, BeforeValidator(_flops), Field(gt=0)]
DeviceFlops = Annotated[float, BeforeValidator(_device), Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]
Pattern = Annotated[str, Field(min_length=1), AfterValidator(_pattern)]
FilePath = Annotated[Path, AfterValidator(_path)]
ModelName = Annotated[str, Field(min_length=1), AfterValidator(_model)]
ReferenceName = Annotated[str, Field(min_length=1), AfterValidator(_reference)]
Mix = dict[str, Annotated[float, Field(gt=0)]]
ScorerText = Annotated[str, Field(pattern=r"^[a-z_0-9]+(:|$)"), AfterValidator(_scorer)]


@dataclass(frozen=True, slots=True)
class OneOf:
    """A name among `names`, the dictionary or list that the code itself chooses from."""

    names: Collection[str]

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        del source, handler  # what is annotated is a str
        return core_schema.literal_schema(list(self.names))


class Section(BaseModel):
    """Strict types, no unknown keys, no change after loading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=()
    )


class Workplace(Section):
    """Where a run works, and on what."""

    workdir: FilePath = Field(
        default=Path("work"),
        description="Folder for everything that the stages write.",
    )
    device: str = Field(
        default="auto", description="auto, cpu, cuda or cuda:N; auto takes a GPU when there is one."
    )
