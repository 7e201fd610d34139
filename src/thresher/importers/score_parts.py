"""Writing a part of imported scores: the pairs of some rows with their scores."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thresher.errors import InputError
from thresher.importers.joining import JOINED, OTHER_JOIN, Joining
from thresher.importers.naming import Named, Naming, Verdicts, name_rows, refuse_repeats
from thresher.importers.parquet_files import Source, read_rows
from thresher.importers.pieces import Piece, write_part_of
from thresher.importers.repeats import difference
from thresher.importers.score_columns import Column, columns_read, judge, scores_of
from thresher.scores.parts import Stage


def _other_columns(found: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    remedy = "name another folder, or delete this one to import again"
    if set(found) != set(now):
        had, has = (", ".join(sorted(set(names) - {JOINED})) for names in (found, now))
        return f"has the scores {had}, this run imports {has}; {remedy}"
    differing = [name for name in now if found[name] != now[name]]
    if differing == [JOINED]:
        return f"{OTHER_JOIN}; {remedy}"
    return f"has another {differing[0]}; {remedy}" if differing else None


REMEDY = "leave one of them out, or take the first of such rows with --first"

IMPORT_SCORES = Stage(
    name="import-scores",
    done="imported",
    noun="scores",
    differs=_other_columns,
    exclude_remedy="name another folder",
)


class ScoreWriter:
    """Makes parts of the pieces of files."""

    def __init__(
        self,
        columns: Sequence[Column],
        carry: tuple[str, ...],
        joining: Joining,
        first: bool,
    ) -> None:
        self._columns = columns
        self._carry = carry
        self._joining = joining
        self._first = first

    def make(self, source: Source, pieces: Sequence[Piece], rows_a_part: int) -> Iterator[tuple[Piece, int]]:
        """Write the parts of some pieces of a file, in their order."""
        naming = self._joining.namings[source.number]
        read = columns_read(source, self._columns, self._carry, naming)
        by_start = {piece.start: piece for piece in pieces}
        for start, table in read_rows(source.path, read, rows_a_part, frozenset(by_start)):
            yield by_start[start], self._write(source.path, by_start[start], table, naming)

    def _write(self, path: str, piece: Piece, table: pa.Table, naming: Naming) -> int:
        verdicts = Verdicts(table.num_rows)
        named = name_rows(table, naming, self._joining.pairs, path, verdicts)
        scores = {column.name: scores_of(table, column) for column in self._columns}
        judge(scores, verdicts)
        self._check_repeats(path, named, scores, refuse_repeats(named, piece.start, verdicts))
        kept = pa.array(np.flatnonzero(verdicts.kept))
        made = named.table.take(kept)
        for name, values in scores.items():
            made = made.append_column(name, pa.array(values).take(kept))
        for name in self._carry:
            made = made.append_column(name, table.column(name).take(kept))
        rejects = verdicts.quarantine(named.table, named.known, path, piece.start, IMPORT_SCORES.name)
        write_part_of(piece, made, rejects, IMPORT_SCORES)
        return int(made.num_rows)

    def _check_repeats(
        self,
        path: str,
        named: Named,
        scores: dict[str, npt.NDArray[np.float32]],
        repeated: Sequence[tuple[int, int]],
    ) -> None:
        if self._first:
            return
        for row, earlier in repeated:
            for name, values in scores.items():
                one, other = float(values[earlier]), float(values[row])
                if one != other and not (np.isnan(one) and np.isnan(other)):
                    uid = named.table.column("uid")[row].as_py()
                    raise InputError(f"{difference(uid, name, (one, other), (path, path))}; {REMEDY}")
