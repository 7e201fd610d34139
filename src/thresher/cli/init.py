"""`thresher init`: a config to start from."""

from pathlib import Path
from typing import Annotated

import typer

from thresher.cli.options import argument, flag
from thresher.errors import InputError


def init(
    config: Annotated[Path, argument("CONFIG.toml", "File to write.")] = Path("config.toml"),
    force: Annotated[bool, flag("--force", "Replace a file of that name.")] = False,
) -> None:
    """Write a config to start from, with every key explained.

    The file has every key of every section, with its meaning and its default. Fill in three sections: the
    shards in [shards], the evaluation data in [evaluate], the budgets in [plan]. The rest may stay as it is.

    Examples:
        thresher init
        thresher init runs/config.toml
    """
    from thresher.data.files.atomic import atomic_path
    from thresher.pipeline.config import commented_config

    if config.exists() and not force:
        raise InputError(f"{config} exists already; name another file, or replace it with --force")
    with atomic_path(config) as temporary:
        temporary.write_text(commented_config(), encoding="utf-8")
    typer.echo(f"{config}\nfill in [shards], [evaluate] and [plan], then: thresher run {config} --dry-run")
