"""The columns of scores that are taken from a table: its own numbers, and published rules applied to it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from thresher.errors import InputError, nearest
from thresher.scores.imported.pair_ids import Naming, Rows
from thresher.scores.imported.parquet_files import ParquetSource, need_column
from thresher.scores.rules import COLUMNS as RULE_COLUMNS
from thresher.scores.rules import RULES
from thresher.scores.rules import judge as judge_by_rule
from thresher.sharded.parts import ROW_COLUMNS

PUBLISHED = {
    "clip_b32_similarity_score": "OpenAI ViT-B-32",
    "clip_l14_similarity_score": "OpenAI ViT-L-14",
}
"""Columns of DataComp's metadata that are scores -> the model that made them."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of scores: its name here, and where it comes from - a column, or a published rule."""

    name: str
    source: str
    rule: bool = False

    @property
    def fingerprint(self) -> str:
        """What stands for the scorer that made it."""
        if self.rule:
            return f"rule {self.source} on imported columns"
        model = f" ({PUBLISHED[self.source]})" if self.source in PUBLISHED else ""
        return f"imported {self.source}{model}"


def choose(
    sources: Sequence[ParquetSource], columns: Sequence[str], rules: Sequence[str]
) -> tuple[Column, ...]:
    """The columns of scores that a person named, or those of the first file.

    Raises:
        InputError: a name cannot be a column, stands twice, or there is no rule of that name; or there is
            nothing to take.
    """
    chosen = []
    for text in columns:
        name, equals, source = text.partition("=")
        chosen.append(Column(name.strip(), source.strip() if equals else name.strip()))
    if not columns and not rules:
        names = sources[0].schema.names
        usual = [name for name in PUBLISHED if name in names]
        floating = [field.name for field in sources[0].schema if pa.types.is_floating(field.type)]
        chosen = [Column(name, name) for name in usual or floating]
        if not chosen:
            raise InputError(
                f"{sources[0].path} has no column of floating-point numbers among {', '.join(names)}; name a "
                "column of scores with --column"
            )
    for rule in rules:
        if rule not in RULES:
            raise InputError(f"there is no rule {rule!r}; {nearest(rule, list(RULES))}")
        chosen.append(Column(rule, rule, rule=True))
    seen: set[str] = set()
    for column in chosen:
        if column.name in ROW_COLUMNS or not column.name.isidentifier():
            raise InputError(
                f"{column.name!r} cannot be the name of a score column; write NAME={column.source} with "
                f"letters, digits and _, and none of {', '.join(ROW_COLUMNS)}"
            )
        if column.name in seen:
            raise InputError(f"two columns are to be called {column.name!r}; rename one with NAME=COLUMN")
        seen.add(column.name)
    return tuple(chosen)


def check(source: ParquetSource, columns: Sequence[Column], carry: Sequence[str]) -> None:
    """Refuse a file that lacks a column, or whose column holds no numbers."""
    for column in columns:
        if column.rule:
            continue
        kind = source.schema.field(need_column(source, column.source)).type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
            floating = [field.name for field in source.schema if pa.types.is_floating(field.type)]
            raise InputError(
                f"the column {column.source!r} of {source.path} is {kind}, not a number; columns of "
                f"numbers are {', '.join(floating) or 'none'}"
            )
    for name in carry:
        need_column(source, name)
        if name in ROW_COLUMNS or name in {column.name for column in columns}:
            raise InputError(f"the column {name!r} is written already; leave it out of --carry")


def columns_read(
    source: ParquetSource, columns: Sequence[Column], carry: Sequence[str], naming: Naming
) -> list[str]:
    """The columns of a file that its pairs, scores and rules are read from, and those that are carried."""
    wanted = [*naming.columns, *carry, *(column.source for column in columns if not column.rule)]
    for column in columns:
        if column.rule:
            known = [name for reads in RULES[column.source].reads for name in RULE_COLUMNS[reads]]
            wanted += [name for name in known if name in source.schema.names]
    return list(dict.fromkeys(wanted))


def scores_of(table: pa.Table, column: Column) -> npt.NDArray[np.float32]:
    """Scores as float32 [n]; NaN where there is none."""
    if column.rule:
        return judge_by_rule(table, column.source)
    values = table.column(column.source)
    if pa.types.is_boolean(values.type):
        values = pc.cast(values, pa.uint8())
    numbers = values.to_numpy().astype(np.float64)
    with np.errstate(over="ignore"):
        scores: npt.NDArray[np.float32] = numbers.astype(np.float32)
    return scores


def judge(scores: dict[str, npt.NDArray[np.float32]], rows: Rows) -> None:
    """Refuse rows without any score; one that lacks some stays, with a remark for `cut`."""
    finite = {name: np.isfinite(values) for name, values in scores.items()}
    none = ~np.any(list(finite.values()), axis=0)
    for name, has in finite.items():
        for lacking, tell in ((~has & none, rows.refuse), (~has & ~none, rows.remark)):
            values = scores[name][lacking & rows.kept]
            words = ("missing (NaN)" if np.isnan(value) else "infinite" for value in values)
            tell(lacking, [f"the score '{name}' is {word}" for word in words])
