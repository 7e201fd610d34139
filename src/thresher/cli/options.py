"""Options that several commands share, and how their values become settings.

The price that turns FLOPs or GPU-hours into samples is among them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from thresher.budget import DEVICES, USUAL_MFU, Price, parse_flops
from thresher.errors import InputError

if TYPE_CHECKING:
    from thresher.models.evaluation.settings import Evaluate
    from thresher.pipeline.config import Config
    from thresher.settings import Section
    from thresher.train.settings import TrainingConfig


def option(metavar: str, help: str, **bounds: Any) -> Any:
    """An option: what stands for its value on the command's page, and what it means."""
    return typer.Option(metavar=metavar, help=help, **bounds)


def flag(names: str, help: str) -> Any:
    """An option without a value."""
    return typer.Option(names, help=help)


def argument(metavar: str, help: str) -> Any:
    """An argument, as `option`."""
    return typer.Argument(metavar=metavar, help=help)


Shards = Annotated[
    list[str], argument("SHARDS", "Tar files, folders or tables of pairs; patterns in quotes.")
]
Workers = Annotated[int, option("PROCESSES", "Processes that decode images; 0 uses none.", min=0)]
Exclude = Annotated[
    Path | None,
    option(
        "UIDS",
        "Pairs never to use (opt-outs, unsafe pairs, evaluation images): their uids as text, one a "
        "line, as .npy (u8,u8) or as a Parquet column uid. Refused beside a config that names a list.",
    ),
]
Json = Annotated[bool, flag("--json", "Print the result as JSON on stdout.")]
Dtype = Annotated[str, option("fp16|int8", "Form of the stored vectors; int8 takes half the space.")]
Index = Annotated[Path | None, option("DIR", "Folder that keeps the index of the shards for the next time.")]
Device = Annotated[str | None, option("NAME", "auto (a GPU where there is one), cpu, cuda or cuda:N.")]
ConfigFile = Annotated[Path, argument("CONFIG.toml", "Settings; `thresher init` writes them to start from.")]

Value = TypeVar("Value")

Zeroshot = Annotated[list[str] | None, option("SHARDS", "Labelled images for zero-shot accuracy.")]
Retrieval = Annotated[list[str] | None, option("SHARDS", "Images with captions for retrieval recall.")]
LabelKey = Annotated[str | None, option("KEY", "Key of the label in each pair's json.  [default: class]")]
Template = Annotated[
    list[str] | None,
    option("TEXT", "Caption of a class, {} is its name; repeat it for several.  [default: a photo of a {}.]"),
]

Executor = Annotated[
    str,
    option(
        "local|ray", "Where the work is done: on this machine, or on a Ray cluster. The files are the same."
    ),
]
RayAddress = Annotated[
    str | None,
    option(
        "HOST:PORT",
        "Head of the Ray cluster, or auto for the one of this machine.  [default: RAY_ADDRESS, else a "
        "Ray that starts here and ends with the run]",
    ),
]

Kind = TypeVar("Kind", bound="Section")
AnyConfig = TypeVar("AnyConfig", "Config", "TrainingConfig", "Config | TrainingConfig")

TABLE_OPTIONS = ("--allow-outside", "--allow-remote")
SHARD_OPTIONS = ("--shards", "--data", "--zeroshot", "--retrieval")
SHARD_ENDINGS = (".tar", ".csv", ".tsv", ".parquet")

FlopsPerSample = Annotated[
    str | None,
    option(
        "FLOPS|MODEL",
        "Training FLOPs of one sample seen, or an open_clip model to count them on; for budgets in "
        "FLOPs or GPU-hours.  [default: as the runs tell]",
    ),
]
DeviceFlops = Annotated[
    str | None,
    option("FLOPS|DEVICE", f"Peak FLOP/s of one GPU, or its name ({', '.join(DEVICES)}); for GPU-hours."),
]
Mfu = Annotated[
    float | None, option("SHARE", f"Share of that peak which training reaches.  [default: {USUAL_MFU:g}]")
]


def from_key(section: "type[Section]", key: str, metavar: str, **bounds: Any) -> Any:
    """The option in place of a key of a section: it says what the key means, its choices and its default."""
    from thresher.settings import OneOf

    field = section.model_fields[key]
    words = [field.description or ""]
    for kind in field.metadata:
        if isinstance(kind, OneOf) and not all(name in words[0] for name in kind.names):
            words.append(f"One of {', '.join(kind.names)}.")
    if not field.is_required() and field.default is not None:
        words.append(f" [default: {field.default}]")
    return option(metavar, " ".join(words), **bounds)


def numbers(text: str, option: str) -> tuple[float, ...]:
    """The numbers in `0.1,0.2`.

    Raises:
        InputError: one of them is no number.
    """
    found = []
    for piece in text.split(","):
        try:
            found.append(float(piece))
        except ValueError:
            raise InputError(
                f"{option} {text!r}: {piece!r} is not a number; write them as 0.1,0.2,0.3"
            ) from None
    return tuple(found)


def assignments(texts: Iterable[str], option: str) -> dict[str, float]:
    """The names and values in `d=0.1` and the like.

    Raises:
        InputError: one of them is of another form.
    """
    found = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            raise InputError(f"{option} {text!r} is not of the form NAME=NUMBER, such as d=0.1") from None
    return found


def as_tuple(values: Sequence[Value] | None) -> tuple[Value, ...]:
    """The values of an option that may be repeated."""
    return tuple(values or ())


def evaluation(
    settings: "Config | None",
    zeroshot: list[str] | None,
    retrieval: list[str] | None,
    label_key: str | None,
    templates: list[str] | None,
    metric: str | None,
) -> "Evaluate":
    """What to measure on: the config's section [evaluate] with the options in place of its keys."""
    from thresher.models.evaluation.settings import Evaluate

    if settings is None and not zeroshot and not retrieval:
        raise InputError("name the shards to measure on with --zeroshot or --retrieval, or a --config")
    if settings is None and metric is None and not zeroshot:
        metric = "retrieval_error"
    return override(
        Evaluate,
        settings.evaluate if settings is not None else None,
        zeroshot=as_tuple(zeroshot),
        retrieval=as_tuple(retrieval),
        label_key=label_key,
        templates=as_tuple(templates),
        metric=metric,
    )


def with_options(config: AnyConfig, path: Path, *, device: str | None, exclude: Path | None) -> AnyConfig:
    """The config in the file `path`, with device and exclude list from the command line.

    Raises:
        InputError: both it and the command line name an exclude list.
    """
    if device is not None:
        config = config.model_copy(update={"device": device})
    if exclude is None:
        return config
    chosen = one_exclude_list(path, config, exclude.absolute())
    shards = config.shards.model_copy(update={"exclude": chosen})
    return config.model_copy(update={"shards": shards})


def one_exclude_list(
    path: Path | None, config: "Config | TrainingConfig | None", exclude: Path | None
) -> Path | None:
    """The exclude list of the command line, or else of the config in the file `path`.

    Raises:
        InputError: both name one.
    """
    named = config.shards.exclude if config is not None else None
    if named is not None and exclude is not None:
        raise InputError(
            f"{path} names the exclude list {named}, and --exclude another; put all uids into one list"
        )
    return exclude or named


def override(kind: type[Kind], base: Kind | None, **options: object) -> Kind:
    """The section `base` (its defaults without one) with every option that was given.

    An option that is None or an empty tuple was not given.

    Raises:
        InputError: the values do not go together; the first of them is named.
    """
    from pydantic import ValidationError

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


def expand_options(arguments: Sequence[str]) -> list[str]:
    """The arguments with the option repeated before each of several shards that follow it.

    >>> expand_options(["probe", "pools", "--shards", "0.tar", "1.tar", "--out", "runs.jsonl"])
    ['probe', 'pools', '--shards', '0.tar', '--shards', '1.tar', '--out', 'runs.jsonl']
    """
    expanded: list[str] = []
    option, values = "", 0
    for argument in arguments:
        if argument.startswith("-"):
            option, values = (argument, 0) if argument in SHARD_OPTIONS else ("", 0)
        elif option and values and argument.lower().endswith(SHARD_ENDINGS):
            expanded.append(option)
        elif values:
            option = ""
        values += 1
        if argument == option:
            values = 0
        expanded.append(argument)
    return expanded


def first_of_all(arguments: Sequence[str]) -> list[str]:
    """The arguments with the options about tables, which go anywhere, before the command.

    >>> first_of_all(["score", "t.csv", "--allow-remote"])
    ['--allow-remote', 'score', 't.csv']
    """
    return sorted(arguments, key=lambda argument: argument not in TABLE_OPTIONS)


def price_of(
    flops_per_sample: str | None, device_flops: str | None, mfu: float | None, config: "Config | None" = None
) -> Price:
    """The price in the config's section [plan], with every option that was given in place of its key."""
    price = config.plan.price if config is not None else Price()
    if flops_per_sample is not None:
        price = replace(price, flops_per_sample=flops_of(flops_per_sample, training=True))
    if device_flops is not None:
        price = replace(price, device_flops=device_flops)
    return price if mfu is None else replace(price, mfu=mfu)


def flops_of(text: str, *, training: bool) -> float:
    """FLOPs as a number, or counted on a pass of the model of that name."""
    if text[:1].isdigit():
        return parse_flops(text)
    from thresher.models.flops import forward_flops, training_flops
    from thresher.models.towers import context_length, load_towers

    towers = load_towers(text)
    num_tokens = context_length(towers)
    return training_flops(towers, num_tokens) if training else forward_flops(towers, num_tokens)
