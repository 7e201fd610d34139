"""Brace patterns: `{00000..00099}.tar` and `{train,val}/0.tar` stand for names, which need not exist."""

import re
from collections.abc import Iterator
from itertools import pairwise

from thresher.errors import InputError

MAX_NAMES = 10_000_000
"""Longest range that is taken for meant."""

_NUMBERS = re.compile(r"(-?\d{1,18})\.\.(-?\d{1,18})(?:\.\.(\d{1,18}))?")
_LETTERS = re.compile(r"([A-Za-z])\.\.([A-Za-z])")


def expand_braces(text: str) -> Iterator[str]:
    """Every name that the ranges and lists of `text` stand for, leftmost slowest; zeros in front are kept.

    >>> list(expand_braces("{a,b}/{08..10}.tar"))
    ['a/08.tar', 'a/09.tar', 'a/10.tar', 'b/08.tar', 'b/09.tar', 'b/10.tar']

    Raises:
        InputError: a brace is not closed or not opened, or holds neither a range nor a list.
    """
    start = text.find("{")
    if start < 0:
        if "}" in text:
            raise InputError(
                f"the pattern {text!r} closes a brace that it never opened; put patterns in quotes"
            )
        yield text
        return
    cuts = _top_level_cuts(text, start)
    options = [text[left + 1 : right] for left, right in pairwise(cuts)]
    choices = options if len(options) > 1 else _range(options[0], text)
    for choice in choices:
        for middle in expand_braces(choice):
            for rest in expand_braces(text[cuts[-1] + 1 :]):
                yield text[:start] + middle + rest


def _top_level_cuts(text: str, start: int) -> list[int]:
    """Places of the opening brace, of the commas at its level and of its closing brace."""
    cuts = [start]
    depth = 0
    for position in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return [*cuts, position]
        if depth == 1 and text[position] == ",":
            cuts.append(position)
    raise InputError(f"the pattern {text!r} opens a brace that it never closes; put patterns in quotes")


def _range(inner: str, text: str) -> list[str]:
    letters = _LETTERS.fullmatch(inner)
    if letters:
        first, last = ord(letters[1]), ord(letters[2])
        return [chr(value) for value in _values(first, last, 1)]
    numbers = _NUMBERS.fullmatch(inner)
    if not numbers:
        raise InputError(
            f"{{{inner}}} in {text!r} is neither a range such as {{00000..00099}} nor a list such as {{a,b}}"
        )
    first, last, step = int(numbers[1]), int(numbers[2]), int(numbers[3] or 1)
    if step == 0 or abs(last - first) // step >= MAX_NAMES:
        raise InputError(f"the range {{{inner}}} in {text!r} stands still or has more than {MAX_NAMES} names")
    padded = any(len(side) > 1 and side.lstrip("-").startswith("0") for side in numbers.group(1, 2))
    width = max(len(numbers[1]), len(numbers[2])) if padded else 0
    return [f"{value:0{width}d}" for value in _values(first, last, step)]


def _values(first: int, last: int, step: int) -> range:
    sign = 1 if last >= first else -1
    return range(first, last + sign, step * sign)
