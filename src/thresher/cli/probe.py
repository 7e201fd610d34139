"""`thresher probe`: small training runs on the pools, or which of them to make next."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from thresher.cli.options import (
    Device,
    DeviceFlops,
    Exclude,
    FlopsPerSample,
    Json,
    LabelKey,
    Mfu,
    Retrieval,
    Template,
    Zeroshot,
    argument,
    as_tuple,
    evaluation,
    flag,
    from_key,
    one_exclude_list,
    option,
    override,
    price_of,
)
from thresher.cli.progress import is_first_rank, sentences
from thresher.cli.text import answer
from thresher.errors import InputError
from thresher.train.settings import Probe

if TYPE_CHECKING:
    from thresher.budget import Price
    from thresher.pipeline.config import Config

Shards = Annotated[list[str] | None, option("SHARDS", "Where the pairs are.")]


def probe(
    pools: Annotated[Path, argument("POOLS", "Folder that `thresher cut` wrote.")],
    out: Annotated[
        Path | None, option("RUNS.jsonl", "Ledger to which finished runs are added; needed to train.")
    ] = None,
    shards: Shards = None,
    config: Annotated[
        Path | None,
        option(
            "CONFIG.toml",
            "Take what no option says from its sections [probe] and [evaluate], the targets from "
            "[plan], shards and exclude list from [shards] (which --exclude may not be given beside).",
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        option(
            "BUDGET",
            "Budget of a real run (32M, 1e18FLOPs, 100gpu-h) whose repetition the probes copy; repeat "
            "it for several.",
        ),
    ] = None,
    scale: Annotated[float | None, from_key(Probe, "scale", "SHARE", min=0, max=1)] = None,
    fraction: Annotated[
        list[float] | None,
        option(
            "SHARE",
            "Share of every pool that probes draw from; repeat it for several.  [default: that of "
            "--scale, where pairs come back as often as at the target, and 1, where they are fresh]",
            min=0,
            max=1,
        ),
    ] = None,
    model: Annotated[str | None, from_key(Probe, "model", "NAME")] = None,
    zeroshot: Zeroshot = None,
    retrieval: Retrieval = None,
    label_key: LabelKey = None,
    template: Template = None,
    metric: Annotated[
        str | None,
        option(
            "NAME",
            "Error to record: zeroshot_error, retrieval_error, recall_error, mrr_error, retrieval_loss "
            "or average_error.  [default: zeroshot_error, or retrieval_error without --zeroshot]",
        ),
    ] = None,
    jobs: Annotated[int | None, from_key(Probe, "jobs", "N", min=1)] = None,
    seed: Annotated[
        list[int] | None,
        option("N", "Seed; repeat it to learn how much runs differ by chance.  [default: 0]", min=0),
    ] = None,
    work: Annotated[
        Path | None,
        option(
            "DIR",
            "Folder for trials/ (checkpoints, results) and cache/ (decoded images).  [default: that of "
            "RUNS.jsonl]",
        ),
    ] = None,
    device: Device = None,
    exclude: Exclude = None,
    suggest: Annotated[
        bool, flag("--suggest", "Train nothing; rank the runs that could be made next.")
    ] = False,
    laws: Annotated[Path | None, option("LAWS.json", "Laws of the runs so far, with --suggest.")] = None,
    budget: Annotated[
        list[str] | None,
        option(
            "BUDGET",
            "Budget to plan for (32M, 1e18FLOPs, 100gpu-h), with --suggest; repeat it for several.  "
            "[default: [plan] of CONFIG]",
        ),
    ] = None,
    flops_per_sample: FlopsPerSample = None,
    device_flops: DeviceFlops = None,
    mfu: Mfu = None,
    as_json: Json = False,
) -> None:
    """Train small models on each pool to learn its worth.

    Trains on every pool alone, and on a few mixes that check the laws and take no part in their fit. A
    probe at a sixteenth of a target's samples draws once from a sixteenth of the pool, so that pairs repeat
    as often as in the real run, and once from the whole pool, to learn what fresh pairs are worth. The
    learning rate warms up, stays constant, and cools down in a short branch before each measurement, so one
    run gives several finished points.

    With --suggest nothing is trained. The runs that would reduce the plan's uncertainty most for their cost
    are ranked, from LAWS.json and the budgets; or the command says that none is worth its cost.

    Reads POOLS and the shards; adds a line to RUNS.jsonl for every measurement. Measurements that are there
    are not repeated, and a run that was stopped continues from its last checkpoint.

    Batch size, learning rate and the other training settings are keys of [probe] in a config; without a
    config they have the defaults that `thresher init` shows.

    Examples:
        thresher probe pools --config config.toml --out runs.jsonl
        thresher probe pools --shards 'shards/*.tar' --target 128M --zeroshot eval.tar --out runs.jsonl
        thresher probe pools --config config.toml --seed 0 --seed 1 --seed 2 --jobs 1 --out runs.jsonl
        thresher probe pools --suggest --laws laws.json --budget 32M --budget 128M
    """
    from thresher.budget import parse_budget
    from thresher.data.exclude import read_exclude
    from thresher.data.patterns import expand
    from thresher.pipeline.config import load_config

    settings = load_config(config) if config is not None else None
    price = price_of(flops_per_sample, device_flops, mfu, settings)
    if suggest:
        _suggest(pools, laws, as_tuple(budget), settings, price, as_json=as_json)
        return
    if laws is not None or budget:
        raise InputError("--laws and --budget go with --suggest; to train, give --target")
    if out is None:
        raise InputError("name the ledger of finished runs with --out, such as --out runs.jsonl")
    sources = as_tuple(shards) or (settings.shards.paths if settings is not None else ())
    if not sources:
        raise InputError("name the shards of the pairs with --shards, or a config with --config")
    section = override(
        Probe,
        settings.probe if settings is not None else None,
        model=model,
        targets=tuple(parse_budget(text, price) for text in as_tuple(target)),
        scale=scale,
        fractions=as_tuple(fraction),
        jobs=jobs,
        seeds=as_tuple(seed),
    )
    targets = section.targets or (settings.plan.budgets if settings is not None else ())
    if not targets and section.samples is None:
        raise InputError("say which budgets the probes stand for, such as --target 32M --target 128M")
    measure = evaluation(settings, zeroshot, retrieval, label_key, template, metric)
    left_out = one_exclude_list(config, settings, exclude)

    from thresher.planning.laws.fit import BASIC, ordered_pools
    from thresher.planning.laws.registry import LAWS
    from thresher.planning.laws.signal import nothing_in, signal_of
    from thresher.planning.runs.record import is_loss, run_to_record
    from thresher.tables import error_text
    from thresher.train.probe.stage import run_probes

    with sentences("probe") as progress:
        runs = run_probes(
            pools,
            expand(sources),
            out,
            probe=section,
            evaluate=measure,
            targets=targets,
            work=work or out.parent,
            device=device or (settings.device if settings is not None else "auto"),
            exclude=read_exclude(left_out),
            progress=progress,
        )
    if not is_first_rank():
        return
    best = min(runs, key=lambda run: run.error)
    lowest = error_text(best.error, is_loss(best.metric))
    text = f"{len(runs)} measurements in {out}; the lowest {best.metric} is {lowest} ({best.run})"
    fit_runs = [run for run in runs if run.role == "fit"]
    nothing = nothing_in(signal_of(LAWS[BASIC], fit_runs, ordered_pools(fit_runs, None), {})[0])
    warnings = [f"nothing to decide yet: {nothing}"] if nothing else []
    answer([run_to_record(run) for run in runs], text, as_json, warnings=warnings)


def _suggest(
    pools: Path,
    laws: Path | None,
    budget: Sequence[str],
    settings: "Config | None",
    price: "Price",
    *,
    as_json: bool,
) -> None:
    """Rank the runs that could be made next."""
    from thresher.planning import api
    from thresher.planning.laws.laws_file import load_laws

    if laws is None:
        raise InputError("--suggest ranks runs by what is known so far; name the laws with --laws laws.json")
    budgets = budget or (settings.plan.budgets if settings is not None else ())
    if not budgets:
        raise InputError("say what to plan for with --budget, such as --budget 32M --budget 128M")
    found = api.suggest(load_laws(laws), budgets, sizes=pools, price=price)
    answer([asdict(suggestion) for suggestion in found], str(found), as_json)
