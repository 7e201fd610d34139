"""Combining scores: several columns into one, as a scores folder that `cut` takes.

Shapes: n pairs, C columns.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from thresher.data.digests import digest, hasher
from thresher.data.files.lock import folder_lock
from thresher.data.files.provenance import claim
from thresher.data.files.quarantine import refused_rows
from thresher.data.uids import UidRows
from thresher.errors import InputError
from thresher.scores.combine.joined import Joined, join
from thresher.scores.combine.labels import Labels, read_labels
from thresher.scores.combine.learned import LearnedModel, learn, load_model, save_model
from thresher.scores.combine.rank_shares import columns_of, rank_shares
from thresher.scores.spec import SCORE, scores_json
from thresher.sharded.job import FolderRun, Made, Part, make_parts, plan_anew, sum_up, write_made
from thresher.sharded.parts import (
    PARTS_FOLDER,
    ROW_COLUMNS,
    SUMMARY_FILE,
    list_parts,
    read_part,
    read_stamp,
    rejects_of,
)
from thresher.sharded.summary import count_folder

MODEL_FILE = "model.json"
LEARNED = "learned"

Table = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float64]
Usable = npt.NDArray[np.bool_]


def mean_of_ranks(values_nC: Table) -> Scores:
    """Mean over the columns of the share of pairs below each pair, float64 [n] in (0, 1)."""
    total_n = np.zeros(len(values_nC))
    for values_n in columns_of(values_nC):
        total_n += rank_shares(values_n)
    mean_n: Scores = total_n / values_nC.shape[1]
    return mean_n


def product(values_nC: Table) -> Scores:
    """Product of the scores, float64 [n].

    A negative score counts as 0, so that no two of them make a good one.
    """
    found: Scores = np.maximum(values_nC, 0).astype(np.float64).prod(axis=1)
    return found


METHODS: dict[str, Callable[[Table], Scores]] = {"rank": mean_of_ranks, "product": product}
"""Ways to combine scores without labels; `learned` is the way with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """A finished combination.

    Attributes:
        folder: The scores folder.
        column: Column of the combined score.
        num_pairs: Pairs that have it.
        num_quarantined: Pairs in the quarantine, those without a score among them.
        model: What was learned or applied; None for the other methods.
        status: Sentences on what needs attention.
    """

    folder: Path
    column: str
    num_pairs: int
    num_quarantined: int
    model: LearnedModel | None
    status: tuple[str, ...]


def combine(
    folders: Sequence[str | Path],
    out: str | Path,
    *,
    columns: Sequence[str] = (),
    method: str = "rank",
    labels: str | Path | None = None,
    model: str | Path | None = None,
    name: str = "combined",
    l2: float = 1.0,
) -> Combination:
    """Combine score columns into one and write a scores folder with it beside them.

    Args:
        folders: Scores folders; the rows of the first are kept, the others are looked up by uid.
        out: Folder for the combined scores; what was combined otherwise is replaced.
        columns: Which columns; each stands in one folder. A model names its own.
        method: `rank`, `product` or `learned`.
        labels: Table of labelled pairs, to learn from; see `read_labels`.
        model: A model that was learned before, to be applied in place of learning one.
        name: Column of the combined score.
        l2: Penalty on large weights, of `learned`.

    Returns:
        What was made. A pair with NaN in one of the columns is left out and goes to the quarantine.

    Raises:
        InputError: the arguments do not go together, a folder or column cannot be used, or a uid is missing
            in one of the folders.
    """
    folder, sources = Path(out), [Path(one) for one in folders]
    if method not in (*METHODS, LEARNED):
        raise InputError(f"there is no method {method!r}; take one of {', '.join((*METHODS, LEARNED))}")
    if (method == LEARNED) != ((labels is None) != (model is None)):
        raise InputError(
            "learned needs labelled pairs or a model (one of them), and no other method takes any"
        )
    if folder.resolve() in {source.resolve() for source in sources}:
        raise InputError(f"{folder} is one of the folders to combine; name another one to write into")
    given = load_model(Path(model)) if model is not None else None
    known = read_labels(Path(labels)) if labels is not None else None
    joined = join(sources, _names(columns, given, name))
    made_of = _digest(joined, method, name, l2, labels, model)
    with folder_lock(folder):
        done = claim(folder, {"made_of": made_of}, "replace", record=SUMMARY_FILE)
        if done is None or [part.name for part in list_parts(folder)] != [part.name for part in joined.parts]:
            usable_n: Usable = np.all(np.isfinite(joined.values_nC), axis=1)
            if not usable_n.any():
                raise InputError(
                    f"no pair has a score in all of {', '.join(joined.columns)}; score them again"
                )
            learned = given
            if known is not None:
                learned = _learn(joined, usable_n, known, l2)
            scores_n = np.full(len(usable_n), np.nan)
            of = learned.scores if learned is not None else METHODS[method]
            scores_n[usable_n] = of(joined.values_nC[usable_n])
            run = write_parts(folder, joined, scores_n, name, made_of)
            if learned is not None:
                save_model(learned, folder / MODEL_FILE)
            else:
                (folder / MODEL_FILE).unlink(missing_ok=True)
            own = {
                "column": name,
                "name": "combine",
                "options": {"columns": ",".join(joined.columns), "method": method},
                "fingerprint": made_of,
            }
            sum_up(run, lambda summary: {**scores_json(summary, [*joined.scorers, own]), "made_of": made_of})
    made = _outcome(folder, joined, method, name, given)
    if known is not None and made.model is not None and made.model.held_out.num_pairs < len(known.uids):
        lost = len(known.uids) - made.model.held_out.num_pairs
        sentence = f"{lost:,} of {len(known.uids):,} labelled pairs are not among those that have all scores"
        made = replace(made, status=(*made.status, sentence))
    return made


def _names(columns: Sequence[str], given: LearnedModel | None, name: str) -> list[str]:
    names = list(dict.fromkeys(columns)) or [column.name for column in (given.columns if given else ())]
    if given is not None and names != [column.name for column in given.columns]:
        wanted = ", ".join(column.name for column in given.columns)
        raise InputError(f"the model combines {wanted}, in this order; leave the columns out")
    if not names:
        raise InputError("name the columns to combine, for example clip,caption_score")
    if name in names or name in ROW_COLUMNS or not name.isidentifier():
        raise InputError(
            f"{name!r} cannot be the name of the combined score; take letters, digits and _, and no other "
            "column's name"
        )
    return names


def _digest(
    joined: Joined, method: str, name: str, l2: float, labels: str | Path | None, model: str | Path | None
) -> str:
    read = (Path(path).read_bytes() for path in (labels, model) if path is not None)
    return hasher(digest(joined.digest, joined.columns, method, name, l2).encode(), *read).hexdigest()


def _learn(joined: Joined, usable_n: Usable, known: Labels, l2: float) -> LearnedModel:
    """A model of the labelled pairs that have all scores."""
    rows = UidRows(joined.uids[usable_n]).find(known.uids)
    found = rows >= 0
    if not found.any():
        raise InputError(
            f"none of the {len(found)} labelled pairs is among the {usable_n.sum()} that have all scores; "
            "check that the labels are of these pairs (by uid)"
        )
    scores = joined.values_nC[usable_n]
    return learn(scores, rows[found], known.taking(found), joined.fingerprints, l2=l2)


def _outcome(folder: Path, joined: Joined, method: str, name: str, given: LearnedModel | None) -> Combination:
    num_pairs, num_quarantined, _ = count_folder(folder, SCORE)
    model = load_model(folder / MODEL_FILE) if method == LEARNED else None
    status = []
    if num_pairs < len(joined.uids):
        status.append(
            f"{len(joined.uids) - num_pairs:,} of {len(joined.uids):,} pairs have no score in one of "
            f"{', '.join(joined.columns)}; they are in the quarantine and not in the combined scores"
        )
    if joined.left_over:
        status.append(f"{joined.left_over:,} rows of the other folders are of pairs that the first has not")
    if method == "product":
        for column, values_n in zip(joined.columns, joined.values_nC.T, strict=True):
            if below := int((values_n < 0).sum()):
                status.append(f"{below:,} negative scores of {column} count as 0 in the product")
    foreign = [
        of.name
        for of in (given.columns if given is not None else ())
        if of.fingerprint != joined.fingerprints[of.name]
    ]
    if foreign:
        status.append(f"{', '.join(foreign)}: made otherwise here than where the model was learned")
    if (
        model is not None
        and given is None
        and model.held_out.gain.value < 2 * model.held_out.gain.standard_error
    ):
        status.append(
            f"the combination is not clearly better than {model.held_out.best} alone; label more pairs, or "
            f"use {model.held_out.best}"
        )
    return Combination(
        folder=folder,
        column=name,
        num_pairs=num_pairs,
        num_quarantined=num_quarantined,
        model=model,
        status=tuple(status),
    )


def write_parts(
    folder: Path, joined: Joined, scores_n: npt.NDArray[np.float64], name: str, made_of: str
) -> FolderRun:
    """The rows that have a score, in parts as those of the first folder; the others go to the quarantine."""
    parts = []
    for number, source in enumerate(joined.parts):
        stamp = replace(read_stamp(source, SCORE), scorers={**joined.fingerprints, name: made_of})
        rows = range(int(joined.starts[number]), int(joined.starts[number + 1]))
        parts.append(Part(folder / PARTS_FOLDER / source.name, stamp, rows))

    def make(parts: Sequence[Part], _: FolderRun) -> Generator[Made]:
        for source, part in zip(joined.parts, parts, strict=True):
            rows = slice(part.rows.start, part.rows.stop)
            table = read_part(source, SCORE, ROW_COLUMNS)
            for column, values_n in zip(joined.columns, joined.values_nC[rows].T, strict=True):
                table = table.append_column(column, pa.array(np.ascontiguousarray(values_n)))
            table = table.append_column(name, pa.array(scores_n[rows].astype(np.float32)))
            absent = np.flatnonzero(np.isnan(scores_n[rows]))
            reasons = [_reason(joined.columns, values_C) for values_C in joined.values_nC[rows][absent]]
            refused = refused_rows(table.take(pa.array(absent)), "combine", reasons, absent)
            rejects = pa.concat_tables([rejects_of(source), refused]).combine_chunks()
            kept = pa.array(~np.isnan(scores_n[rows]))
            yield write_made(part, table.filter(kept), rejects, SCORE)

    return make_parts(plan_anew(folder, parts, SCORE), make)


def _reason(columns: Sequence[str], values_C: npt.NDArray[np.float32]) -> str:
    absent = [name for name, value in zip(columns, values_C, strict=True) if not np.isfinite(value)]
    return f"no score: {', '.join(absent)} is not finite"
