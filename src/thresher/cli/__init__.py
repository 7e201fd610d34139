"""The command line: one thin command a stage, loaded when it is called."""

import functools
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any, cast


def _stop(*_: object) -> None:
    os.write(2, b"thresher: stopped before anything was done\n")
    os._exit(130)


def _leave_on_interrupt() -> None:
    """Until a command begins, a Ctrl-C ends at once: nothing can be left behind yet."""
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stop)


def _raise_on_interrupt() -> None:
    if signal.getsignal(signal.SIGINT) is _stop:
        signal.signal(signal.SIGINT, signal.default_int_handler)


_leave_on_interrupt()

import typer
from typer.core import TyperCommand, TyperGroup

import thresher
from thresher.cli.guard import guarded, manual
from thresher.cli.options import expand_options, first_of_all, flag

COMMANDS = (
    *("demo", "init", "run"),
    *("score", "embed", "score-embedded", "filter-network", "import-scores", "import-embeddings", "combine"),
    *("dedup", "balance", "softcap", "cut", "probe", "import", "fit", "predict", "plan", "mixture", "subset"),
    *("train", "picks", "evaluate", "report"),
)
"""The commands in the order of the stages; `import-scores` is the function `import_scores` of its module."""

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave the process with its exit code: 0 only when all was done."""
    _leave_on_interrupt()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    words = first_of_all(sys.argv[1:] if arguments is None else arguments)
    app(expand_options(words), prog_name="thresher")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"thresher {thresher.__version__}")
        raise typer.Exit


def _overview(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    allow_outside: Annotated[
        bool, flag("--allow-outside", "Let tables name images that are not below their own folder.")
    ] = False,
    allow_remote: Annotated[bool, flag("--allow-remote", "Let tables name addresses of images.")] = False,
) -> None:
    """Decides which image-text pairs to train on, for the compute you have.

    You bring shards of image-caption pairs and a budget. Thresher scores the pairs, cuts them into pools,
    learns from small training runs how fast each pool wears out when it is repeated, and says which mix of
    pools wins at your budget. `thresher demo` runs every stage on a pool that it makes; `thresher init`
    writes a config for your own shards, and `thresher run` runs it. Every stage is also a command:

        shards > score > cut > probe > fit > plan > subset > train > evaluate, and report at any time

    Results go to stdout (as JSON with --json), progress and warnings to stderr. Counts may be written 12800,
    32M, 1.5B or 4e7. Shards are tar files, folders or tables; brace patterns such as
    'shards/{00000..00099}.tar', globs, several sources joined by :: and addresses such as s3://... work, in
    quotes. A stage that was stopped continues when it is called again.

    Exit codes:
        0    everything was done
        1    something was left undone, such as an unreadable shard; stderr says what
        2    the command cannot run; stderr says why in one sentence
        130  interrupted from the keyboard
    """
    del version  # its callback has done the work
    if allow_outside or allow_remote:
        from thresher.data.cells import allow

        allow(outside=allow_outside, remote=allow_remote)


class _Commands(Mapping[str, TyperCommand]):
    """The commands by name, each loaded when it is asked for."""

    def __getitem__(self, name: str) -> TyperCommand:
        if name not in COMMANDS:
            raise KeyError(name)
        return _load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Command(TyperCommand):
    def invoke(self, context: Any) -> Any:
        _raise_on_interrupt()  # from here on the command is guarded
        return super().invoke(context)


class _Group(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands()  # type: ignore[assignment]  # nothing is ever added to it


def _application(**settings: Any) -> typer.Typer:
    return typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, **settings
    )


@functools.cache
def _load(name: str) -> TyperCommand:
    function = name.replace("-", "_") + ("_" if name == "import" else "")
    command = getattr(import_module(f"thresher.cli.{function}"), function)
    command.__name__ = name  # as people type it
    alone = _application()
    alone.command(cls=_Command, help=manual(command), context_settings=SETTINGS)(guarded(command))
    return cast(TyperCommand, typer.main.get_command(alone))


app = _application(cls=_Group, no_args_is_help=True, context_settings=SETTINGS)
app.callback(help=manual(_overview))(_overview)

_raise_on_interrupt()
