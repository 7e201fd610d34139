"""Settings: runs that differ in samples seen and seed alone, with a name and a mark."""

import collections
import dataclasses
from collections.abc import Sequence

from thresher.budget import format_count
from thresher.planning.runs.record import Run, mix_unique, mix_weights
from thresher.report.chart import DASHES, SYMBOLS, Mark, Marks, mark_of
from thresher.report.wording import mix_text

NEXT_SYMBOL = 3
"""Symbols from one setting of a pool to the next, so that neighbouring pools do not share them."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunGroup:
    """Runs that one curve describes."""

    name: str
    mark: Mark
    runs: tuple[Run, ...]


def settings_of(runs: Sequence[Run], marks: Marks) -> list[RunGroup]:
    """The settings of fit and check runs: single pools by score first, then mixes, check runs last.

    A pool's further settings (subsamples or models of another size) share its colour and differ in line
    and symbol; check runs are open.
    """
    groups: dict[tuple[object, ...], list[Run]] = {}
    for run in runs:
        if run.role in ("fit", "check"):
            groups.setdefault(_key(run), []).append(run)
    ordered = sorted(groups.values(), key=lambda members: _place(members[0], marks))
    sized = len({run.params for run in runs}) > 1
    counts = collections.Counter(_mix_and_role(members[0]) for members in ordered)
    taken: collections.Counter[str] = collections.Counter()
    made = []
    for members in ordered:
        run = members[0]
        alone = len(mix_weights(run)) > 1 and counts[_mix_and_role(run)] == 1
        mix = mix_text(mix_weights(run))
        made.append(
            RunGroup(
                name=_name(run, with_unique=not alone, with_params=sized),
                mark=_mark(mark_of(marks, mix), taken[mix], is_check=run.role == "check"),
                runs=tuple(members),
            )
        )
        taken[mix] += 1
    return made


def _key(run: Run) -> tuple[object, ...]:
    mix, unique = mix_weights(run), mix_unique(run)
    return (
        tuple(sorted(mix.items())),
        tuple(sorted(unique.items())),
        run.role,
        run.params,
        bool(run.replacement),
    )


def _place(run: Run, marks: Marks) -> tuple[bool, int, int]:
    weights = mix_weights(run)
    first = min(marks.ranks.get(pool, len(marks.ranks)) for pool in weights)
    return run.role == "check", len(weights), first


def _mix_and_role(run: Run) -> tuple[str, str]:
    return mix_text(mix_weights(run)), run.role


def _name(run: Run, *, with_unique: bool, with_params: bool) -> str:
    words = [mix_text(mix_weights(run))]
    if with_unique:
        words.append(f"{format_count(sum(mix_unique(run).values()))} unique")
    if with_params and run.params is not None:
        words.append(f"{format_count(run.params)} parameters")
    if run.replacement:
        words.append("with replacement")
    return f"{', '.join(words)}{' (check)' if run.role == 'check' else ''}"


def _mark(base: Mark, place: int, *, is_check: bool) -> Mark:
    """Another dash and symbol for each further setting of a pool; open for check runs."""
    dash = DASHES[(DASHES.index(base.dash) + place) % len(DASHES)]
    symbol = SYMBOLS[(SYMBOLS.index(base.symbol) + NEXT_SYMBOL * place) % len(SYMBOLS)]
    return dataclasses.replace(base, dash=dash, symbol=symbol, filled=not is_check)
