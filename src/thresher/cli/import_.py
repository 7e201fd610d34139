"""`thresher import`: adds runs of other tools to the ledger; it never loads torch."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from thresher.cli.options import Json, argument, as_tuple, flag, option
from thresher.cli.text import answer
from thresher.errors import InputError

PATTERN_OF_ALL = "*"
_EQUALS = re.compile(r"(?<![<>])=")  # those of pools such as >=0.3 belong to their names
_COUNTS = ("--unique", "--pool-samples", "--samples-seen", "--params", "--seed")


def import_(
    sources: Annotated[list[Path], argument("SOURCES", "Folders of runs (open_clip, datacomp), or files.")],
    format: Annotated[str, option("FORMAT", "open_clip, datacomp, wandb or table (CSV, JSONL).")],
    out: Annotated[Path, option("RUNS.jsonl", "Ledger to write; runs that it lacks are added to it.")],
    metric: Annotated[
        list[str] | None,
        option(
            "NAME",
            "What becomes the error: a loss as val_loss, an accuracy as 1-acc1 (100-acc1 in per cent); "
            "datacomp: a task, average-18 or average-38. Repeat it for the first that a row has.  [default: "
            "open_clip and datacomp: ImageNet zero-shot]",
        ),
    ] = None,
    metric_name: Annotated[
        str | None, option("NAME", "Name of the error in the ledger.  [default: acc1_error for 1-acc1]")
    ] = None,
    pool: Annotated[
        list[str] | None, option("[RUN=]NAME", "Pool of all runs, or of those with that name (* and ? work).")
    ] = None,
    unique: Annotated[
        list[str] | None, option("[POOL=]SAMPLES", "Distinct samples that runs on the pool drew from.")
    ] = None,
    pool_samples: Annotated[
        list[str] | None, option("[POOL=]SAMPLES", "Size of the whole pool, where runs used a part of it.")
    ] = None,
    samples_seen: Annotated[
        list[str] | None, option("[RUN=]SAMPLES", "Samples that the runs have seen, repeats counted.")
    ] = None,
    samples_per_epoch: Annotated[
        str | None, option("SAMPLES", "Samples in an epoch, where the source counts epochs only.")
    ] = None,
    samples_per_step: Annotated[
        str | None, option("SAMPLES", "Samples in a step (the global batch), where it counts steps.")
    ] = None,
    model: Annotated[list[str] | None, option("[RUN=]NAME", "Model of the runs.")] = None,
    params: Annotated[
        list[str] | None, option("[MODEL=]NUMBER", "Parameters of the model, such as ViT-B-32=151M.")
    ] = None,
    recipe: Annotated[list[str] | None, option("[RUN=]NAME", "Label of the training recipe.")] = None,
    seed: Annotated[list[str] | None, option("[RUN=]N", "Seed of the runs.")] = None,
    role: Annotated[
        list[str] | None, option("[RUN=]ROLE", "fit, check (tests the fit) or verify (a final training).")
    ] = None,
    final: Annotated[
        bool | None,
        flag("--final/--mid-run", "The learning rate had come down, or not, where the source does not say."),
    ] = None,
    replacement: Annotated[
        bool | None,
        flag("--replacement/--exact-epochs", "Samples were drawn with replacement, or in passes."),
    ] = None,
    facts: Annotated[
        Path | None, option("CSV", "Table with the column run and fields of RUNS, such as weights of a mix.")
    ] = None,
    column: Annotated[
        list[str] | None, option("FIELD=COLUMN", "Column that holds a field, such as samples_seen=tokens.")
    ] = None,
    where: Annotated[
        list[str] | None, option("COLUMN=VALUE", "Take these rows of a table only; != leaves rows out.")
    ] = None,
    average_over: Annotated[
        str | None, option("COLUMN", "Average the error of a run over the tasks that this column names.")
    ] = None,
    all_points: Annotated[
        bool, flag("--all-points", "Every measurement of a run, not only its last.")
    ] = False,
    number_seeds: Annotated[
        bool, flag("--number-seeds", "Runs alike in all but the error are repeats; number their seeds.")
    ] = False,
    sizes_apart: Annotated[
        bool,
        flag("--sizes-apart", "Keep pools apart whose names differ in a size alone (LAION-80M, LAION-2B)."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Import finished runs of other tools into a ledger.

    Reads results of open_clip (checkpoints/results.jsonl and params.txt), of DataComp (eval_results.jsonl),
    CSV exports of Weights & Biases (a chart, or the table of runs) and any CSV or JSONL table. Options
    supply what the source lacks: a run needs its pool, the distinct samples that it drew from, the samples
    seen and the error.

    Adds the runs to RUNS.jsonl, for `thresher fit`; runs that it already holds are left alone. By default
    only the last measurement of each run counts, since laws are about finished runs. A missing value is an
    error that names the row, never an accuracy of zero.

    Examples:
        thresher import logs --format open_clip --pool 'top*=0-10%' --unique 12.8M --out runs.jsonl
        thresher import evals --format datacomp --metric average-38 --facts facts.csv --out runs.jsonl
        thresher import chart.csv --format wandb --metric 1-acc1 --facts facts.csv --out runs.jsonl
        thresher import t.csv --format table --metric loss --column samples_seen=tokens --out runs.jsonl
    """
    from thresher.budget import parse_count
    from thresher.cli.text import runs_text
    from thresher.planning.runs.importers.formats import import_runs
    from thresher.planning.runs.ledger import append_runs
    from thresher.planning.runs.record import run_to_record

    supply = {
        "pool": _by_name(pool, "--pool"),
        "unique_samples": _by_name(unique, "--unique"),
        "pool_samples": _by_name(pool_samples, "--pool-samples"),
        "samples_seen": _by_name(samples_seen, "--samples-seen"),
        "model": _by_name(model, "--model"),
        "params": _by_name(params, "--params"),
        "recipe": _by_name(recipe, "--recipe"),
        "seed": _by_name(seed, "--seed"),
        "role": _by_name(role, "--role"),
        "final": final,
        "replacement": replacement,
    }
    remarks: list[str] = []
    runs = import_runs(
        sources,
        format=format,
        metric=as_tuple(metric),
        metric_name=metric_name,
        supply={name: value for name, value in supply.items() if value is not None},
        facts=facts,
        columns=dict(_pair(text, "--column", "FIELD=COLUMN") for text in as_tuple(column)),
        where=as_tuple(where),
        average_over=average_over,
        all_points=all_points,
        samples_per_step=parse_count(samples_per_step) if samples_per_step else None,
        samples_per_epoch=parse_count(samples_per_epoch) if samples_per_epoch else None,
        number_seeds=number_seeds,
        sizes_apart=sizes_apart,
        remark=remarks.append,
    )
    num_new = append_runs(out, runs)
    text = f"{runs_text(runs)}\n\n{len(runs):,} runs, {num_new:,} of them new in {out}"
    answer([run_to_record(run) for run in runs], text, as_json, warnings=remarks)


def _by_name(texts: Sequence[str] | None, option: str) -> str | dict[str, str] | None:
    """The one value for everything, or values by name; a value without a name serves the names left over."""
    if not texts:
        return None
    plain = [text for text in texts if not _EQUALS.search(text)]
    named = dict(_pair(text, option, "NAME=VALUE") for text in texts if _EQUALS.search(text))
    if len(plain) > 1:
        raise InputError(
            f"{option} {plain[0]!r} and {plain[1]!r} both stand for all; write NAME=VALUE for one"
        )
    if not named:
        return plain[0].strip()
    return {**named, PATTERN_OF_ALL: plain[0].strip()} if plain else named


def _pair(text: str, option: str, form: str) -> tuple[str, str]:
    """The name and the value; a count is what stands behind the last =, since a pool's name may hold one."""
    marks = [match.start() for match in _EQUALS.finditer(text)]
    place = (marks[-1] if option in _COUNTS else marks[0]) if marks else len(text)
    name, value = text[:place].strip(), text[place + 1 :].strip()
    if not (name and value):
        raise InputError(f"{option} {text!r} is not of the form {form}")
    return name, value
