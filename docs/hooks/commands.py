"""Writes the reference of the commands from their own help, when the documentation is built."""

import re

import typer.core
import typer.main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from thresher.cli import app

PAGE = "commands.md"
HEADER = """\
# Commands

What `thresher COMMAND --help` prints, made from the code. The order is that of the stages.
"""
_NOTE = re.compile(r"\s+\[([^\[\]]*)\]$")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files of the documentation and the page of the commands."""
    files.append(File.generated(config, PAGE, content=page()))
    return files


def page() -> str:
    """The whole page, in Markdown."""
    group = typer.main.get_command(app)
    return "\n".join([HEADER, *(_command(name, group.commands[name]) for name in group.commands)])


def _command(name: str, command: typer.core.TyperCommand) -> str:
    """One command: its usage, its help, and a table of what it takes."""
    context = command.context_class(command, info_name=f"thresher {name}")
    usage = " ".join(["thresher", name, *command.collect_usage_pieces(context)])
    records = [parameter.get_help_record(context) for parameter in command.params]
    rows = [_row(*record) for record in records if record is not None]
    lines = ["| argument or option | meaning | default |", "|---|---|---|", *rows]
    text = "\n\n".join(_paragraph(part) for part in (command.help or "").split("\n\n"))
    return f"## {name}\n\n```text\n{usage}\n```\n\n{text}\n\n" + "\n".join(lines) + "\n"


def _paragraph(text: str) -> str:
    """A paragraph of the help; one with examples or a list becomes a block of code under its title."""
    if not text.startswith("\b"):
        return _escaped(text)
    title, _, rest = text.removeprefix("\b\n").partition("\n")
    block = "\n".join(line.removeprefix("    ") for line in rest.splitlines())
    return f"{_escaped(title)}\n\n```bash\n{block}\n```" if rest else _escaped(title)


def _row(name: str, text: str) -> str:
    """A row of the table; what stands in brackets at the end of the help is its default or its range."""
    notes = []
    while found := _NOTE.search(text):
        notes.insert(0, found.group(1))
        text = text[: found.start()]
    default = "; ".join(notes).removeprefix("default: ")
    return f"| `{name}` | {_escaped(text)} | {_escaped(default)} |"


def _escaped(text: str) -> str:
    """The text with the signs that Markdown or its tables would read as markup, code left alone."""
    pieces = text.split("`")
    pieces[::2] = [re.sub(r"([*|_])", r"\\\1", piece.replace("<", "&lt;")) for piece in pieces[::2]]
    return "`".join(pieces)
