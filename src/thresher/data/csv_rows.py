"""The one reader of CSV and TSV: each record with its line, and no line lost in a quote that stays open."""

import csv
import io
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

MAX_FIELD_CHARS = 2**24
"""The usual 131,072 characters would end a file at one long cell."""

MAX_LINES = 1000
"""Lines of one record; a longer one is a quote that was never closed."""

DELIMITERS = ",\t;"


@dataclass(frozen=True, slots=True)
class BadRecord:
    """Why the record that begins at a line cannot be read; the next one begins a line later."""

    reason: str


IsRow = Callable[[list[str], range], bool]

Record = tuple[int, list[str] | BadRecord]
"""A line number (the first line of the file is 1), and the fields of the record that begins there."""


def delimiter_of(header: str) -> str:
    r"""The delimiter that a header uses most, a comma where it uses none.

    >>> delimiter_of("image\tcaption")
    '\t'
    """
    return max(DELIMITERS, key=header.count)


def records(
    text: io.TextIOBase, delimiter: str, *, first_line: int = 1, is_row: IsRow | None = None
) -> Iterator[Record]:
    """Every record from where `text` stands, blank lines left out.

    Between tabs a quotation mark is a character as any other, so that every line is a record. Elsewhere a
    quoted field may hold line breaks. A quote that is never closed would take the rows that follow it for
    text. It is told by its end (the file, another quote amid a field, `MAX_LINES`), or by rows inside a
    field; its line alone is then a `BadRecord`, and reading goes on with the line after it.

    Args:
        text: An open text file without newline translation (`newline=""`).
        delimiter: What parts the fields.
        first_line: Number of the line that comes next.
        is_row: Whether fields, those of the places `inside` found within one field, are a row of the table;
            without it no line break is doubted.
    """
    lines = _Lines(text)
    number, reader = first_line, _reader(lines, delimiter)
    while True:
        lines.taken.clear()
        try:
            fields = next(reader, None)
            if fields is None:
                return
            problem = _swallowed(fields, delimiter, is_row) if is_row and len(lines.taken) > 1 else ""
        except csv.Error as error:
            problem = str(error)
        if problem:
            yield number, BadRecord(f"line {number}: {problem}")
            lines.give_back(lines.taken[1:])
            number, reader = number + 1, _reader(lines, delimiter)
            continue
        if fields:
            yield number, fields
        number += len(lines.taken)


class _Lines:
    """The lines of a file, of which some can be given back; `taken` are those of the current record."""

    def __init__(self, text: io.TextIOBase) -> None:
        self._text = text
        self._waiting: deque[str] = deque()
        self.taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        while line := self._waiting.popleft() if self._waiting else self._text.readline():
            self.taken.append(line)
            if len(self.taken) > MAX_LINES:
                raise csv.Error(f"a quote is not closed within {MAX_LINES:,} lines")
            yield line

    def give_back(self, lines: Sequence[str]) -> None:
        self._waiting.extendleft(reversed(lines))


def _reader(lines: _Lines, delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(MAX_FIELD_CHARS)
    if delimiter == "\t":
        return csv.reader(iter(lines), delimiter=delimiter, quoting=csv.QUOTE_NONE)
    return csv.reader(iter(lines), delimiter=delimiter, strict=True)


def _swallowed(fields: list[str], delimiter: str, is_row: IsRow) -> str:
    """What is wrong where a field holds rows; empty where its line breaks are text.

    The first line inside a field goes on from the fields before it, the last into those after it. The cell
    at the very end of a field is no row's: in a row no quote stands behind it.
    """
    for place, field in enumerate(fields):
        first, *between = field.replace("\r\n", "\n").split("\n")
        if not between:
            continue
        last = between.pop()
        start, end = first.split(delimiter), last.split(delimiter)
        found = [(cells, range(len(cells))) for cells in (line.split(delimiter) for line in between)]
        found.append(([*fields[:place], *start], range(place, place + len(start))))
        found.append(([*end, *fields[place + 1 :]], range(len(end) - 1)))
        if any(is_row(*row) for row in found):
            return "a quote is not closed, so that the field holds rows"
    return ""
