"""The command line: one thin command a stage, which imports what it needs when it is called."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Annotated


def _stop(*_: object) -> None:
    os.write(2, b"thresher: stopped before anything was done\n")
    os._exit(130)


# A Ctrl-C in the tenths of a second that the imports take: nothing can be left behind yet.
_is_main = threading.current_thread() is threading.main_thread()
_before = signal.signal(signal.SIGINT, _stop) if _is_main else None

import typer

import thresher
from thresher.cli.balance import balance
from thresher.cli.combine import combine
from thresher.cli.cut import cut
from thresher.cli.dedup import dedup
from thresher.cli.demo import demo
from thresher.cli.embed import embed
from thresher.cli.evaluate import evaluate
from thresher.cli.filter_network import filter_network
from thresher.cli.fit import fit
from thresher.cli.guard import guarded, manual
from thresher.cli.import_ import import_
from thresher.cli.import_embeddings import import_embeddings
from thresher.cli.import_scores import import_scores
from thresher.cli.init import init
from thresher.cli.options import expand_options, first_of_all, flag
from thresher.cli.picks import picks
from thresher.cli.plan import plan
from thresher.cli.predict import predict
from thresher.cli.probe import probe
from thresher.cli.report import report
from thresher.cli.run import run
from thresher.cli.score import score
from thresher.cli.score_embedded import score_embedded
from thresher.cli.softcap import softcap
from thresher.cli.subset import subset
from thresher.cli.train import train

COMMANDS: tuple[Callable[..., None], ...] = (
    *(demo, init, run),
    *(score, embed, score_embedded, filter_network, import_scores, import_embeddings, combine),
    *(dedup, balance, softcap, cut, probe, import_, fit, predict, plan, subset),
    *(train, picks, evaluate, report),
)
"""The commands in the order of the stages; a command is called like its function."""

for command in COMMANDS:
    command.__name__ = command.__name__.strip("_").replace("_", "-")  # as people type it

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave the process with its exit code: 0 only when all was done."""
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


def _application() -> typer.Typer:
    application = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings=SETTINGS,
    )
    application.callback(help=manual(_overview))(_overview)
    for command in COMMANDS:
        application.command(help=manual(command), context_settings=SETTINGS)(guarded(command))
    return application


app = _application()

if _is_main:
    signal.signal(signal.SIGINT, _before)
