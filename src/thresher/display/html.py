"""Blocks as HTML for notebooks: escaped, with tables and lists alone, no script and no style sheet."""

from collections.abc import Iterable, Sequence
from html import escape

from thresher.display.blocks import Block, Table, filled


def html_of(blocks: Iterable[Block]) -> str:
    """One `div` with the blocks in order; every text of the result is escaped.

    >>> from thresher.display.blocks import sentences
    >>> html_of([sentences("a < b")])
    '<div><p>a &lt; b</p></div>'
    """
    parts = (_table(block) if isinstance(block, Table) else _lines(block.lines) for block in filled(blocks))
    return f"<div>{''.join(parts)}</div>"


def _table(block: Table) -> str:
    rows = "".join(_row("td", row) for row in block.rows)
    return f"<table><thead>{_row('th', block.header)}</thead><tbody>{rows}</tbody></table>"


def _row(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(_cell(tag, cell, right=place > 0) for place, cell in enumerate(cells))}</tr>"


def _cell(tag: str, cell: str, *, right: bool) -> str:
    return f'<{tag} style="text-align: {"right" if right else "left"}">{escape(cell)}</{tag}>'


def _lines(lines: Sequence[str]) -> str:
    return f"<p>{'<br>'.join(escape(line) for line in lines)}</p>"
