"""All stages of a config in order: filter, score, cut, probe, fit, plan, verify, subset, train, report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thresher.curate.pools.cut import cut
from thresher.curate.pools.record import POOLS_FILE, TABLE_FILE, Pools
from thresher.curate.subset.from_plan import subset_from_plan
from thresher.data.digests import digest, hasher
from thresher.data.exclude import read_exclude
from thresher.data.files.atomic import atomic_path
from thresher.data.files.lock import folder_lock
from thresher.data.files.provenance import claim, is_empty, mark
from thresher.data.files.quarantine import merge_quarantine
from thresher.data.index import build_index
from thresher.data.patterns import expand
from thresher.data.shard_index import digest_of_marks, marks_of
from thresher.models.evaluation.settings import Evaluate
from thresher.models.saved import WEIGHTS_FILE
from thresher.models.towers import resolve_device
from thresher.pipeline.config import Config
from thresher.pipeline.estimate import check_config, check_probes
from thresher.planning import api
from thresher.planning.laws.fit import fit
from thresher.planning.laws.laws_file import save_laws
from thresher.planning.laws.result import Laws
from thresher.planning.plans.costs import costs_of_runs
from thresher.planning.plans.plan import Plan, save_plan
from thresher.planning.plans.result import winner
from thresher.planning.runs.ledger import read_runs
from thresher.planning.runs.record import Run, is_loss
from thresher.report.page import write_report
from thresher.report.workdir import comparable
from thresher.scores.registry import parse_scorer
from thresher.scores.score import score_shards
from thresher.scores.spec import OUTSIDE_FINGERPRINT
from thresher.sharded.parts import digest_of, list_quarantines, shard_state
from thresher.sharded.stage import Progress
from thresher.sharded.summary import FolderSummary
from thresher.tables import gap_text, rate
from thresher.train.probe.stage import plan_trials, recipe_of, run_probes, verification_trials
from thresher.train.probe.trials import Trial
from thresher.train.settings import Filter
from thresher.train.stage import train_filter, train_from_config

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a finished run left behind; `runs` are those of the fit's metric, recipe and model."""

    workdir: Path
    scores: FolderSummary
    pools: Pools
    runs: tuple[Run, ...]
    laws: Laws
    plan: Plan
    report: Path


def run(config: Config, *, progress: Say) -> Outcome:
    """Walk all stages of a config; finished ones are not run again, half-finished ones go on.

    Args:
        config: from `load_config`.
        progress: called with a sentence for whatever is finished.

    Raises:
        InputError: what a stage cannot use, named.
    """
    work = config.workdir
    work.mkdir(parents=True, exist_ok=True)
    with folder_lock(work):
        shards = expand(config.shards.paths)
        device = resolve_device(config.device)
        exclude = read_exclude(config.shards.exclude)
        check_config(config, len(build_index(shards, cache=_index_cache(work), exclude=exclude)))
        scores = _score(config, shards, exclude, device, progress)
        pools = cut(
            work / "scores",
            by=config.cut.by,
            out=work / "pools",
            edges=() if config.cut.thresholds else config.cut.edges,
            thresholds=config.cut.thresholds or (),
            exclude=exclude,
        )
        progress("cut: " + ", ".join(f"{name} has {size} pairs" for name, size in pools.sizes.items()))
        if parts := [*list_quarantines(work / "scores"), *work.glob("pools/quarantine.parquet")]:
            merge_quarantine(parts, work / "quarantine.parquet")
        check_probes(config, pools.sizes)
        _forget_other_probes(work, config.evaluate, progress)
        _probe(config, shards, exclude, device, progress)
        laws, plan = _plan(config, pools, progress)
        if config.probe.verify:
            trials = verification_trials(plan, config.probe.seeds)
            _probe(config, shards, exclude, device, progress, stage="verify", trials=trials)
        subset = _subset(config, plan, shards, exclude, progress)
        if config.train is not None:
            _make_room_to_train(config, subset, shards, exclude, progress)
            train_from_config(config, progress=progress)
        report = write_report(
            work, work / "report.html", title=config.report.title, gallery=config.report.gallery
        )
        progress(f"report: {report}")
    return Outcome(
        workdir=work,
        scores=scores,
        pools=pools,
        runs=tuple(comparable(read_runs(work / "runs.jsonl"), laws)),
        laws=laws,
        plan=plan,
        report=report,
    )


def _score(
    config: Config, shards: list[str], exclude: frozenset[str], device: str, progress: Say
) -> FolderSummary:
    defaults = {"batch_size": str(config.score.batch_size), "device": device}
    filter_made_of = None
    if config.filter is not None:
        folder, filter_made_of = _filter(config, config.filter, exclude, device, progress)
        defaults |= {"model": config.filter.model, "pretrained": str(folder / WEIGHTS_FILE)}
    specs = [parse_scorer(text, defaults) for text in config.score.scorers]
    asked = [
        (spec.column, spec.name, [option for option in spec.options if option[0] not in OUTSIDE_FINGERPRINT])
        for spec in map(parse_scorer, config.score.scorers)
    ]
    _make_room(config.workdir / "scores", {"scorers": asked, "filter": filter_made_of}, progress)

    def tell(state: Progress) -> None:
        if state.shards_done == state.num_shards:
            progress(f"score: {state.pairs:,} pairs, {rate(state.pairs, state.seconds)}")

    summary = score_shards(
        shards,
        config.workdir / "scores",
        specs,
        workers=config.score.workers,
        progress=tell,
    )
    for sentence in summary.status:
        progress(f"score: {sentence}")
    return summary


def _filter(
    config: Config, section: Filter, exclude: frozenset[str], device: str, progress: Say
) -> tuple[Path, dict[str, Any]]:
    """The folder of the filter network, and what it was made of.

    Only the part of the exclude list that is curated counts, so that the network outlives a list that grows.
    """
    curated = expand(section.shards)
    index = build_index(curated, cache=_index_cache(config.workdir))
    listed = sorted(exclude.intersection(index.table.column("uid").to_pylist())) if exclude else []
    path = config.workdir / "cache" / "filter-exclude.txt"
    if listed:
        with atomic_path(path) as temporary:
            temporary.write_text("\n".join(listed) + "\n")
    settings = section.model_dump(mode="json")
    made_of = {"settings": settings, "shards": digest_of_marks(marks_of(curated)), "exclude": digest(listed)}
    _make_room(config.workdir / "filter", made_of, progress)
    own = config.shards.model_copy(update={"exclude": path if listed else None})
    config = config.model_copy(update={"shards": own})
    folder = train_filter(config, section, device=device, progress=lambda said: progress(f"filter: {said}"))
    return folder, made_of


def _index_cache(work: Path) -> Path:
    return work / "cache" / "index"


def _make_room(folder: Path, made_of: Mapping[str, Any], progress: Say) -> None:
    """Mark the folder as made of `made_of`, and set aside what was made otherwise.

    A folder that is filled and has no mark stays as it is: what is in it is for the stage to judge.
    """
    if claim(folder, made_of, "set aside", progress=progress) is None and is_empty(folder):
        mark(folder, made_of)


def _probe(
    config: Config,
    shards: list[str],
    exclude: frozenset[str],
    device: str,
    progress: Say,
    *,
    stage: str = "probe",
    trials: list[Trial] | None = None,
) -> None:
    work = config.workdir
    run_probes(
        work / "pools",
        shards,
        work / "runs.jsonl",
        probe=config.probe,
        evaluate=config.evaluate,
        targets=config.plan.budgets,
        work=work,
        device=device,
        exclude=exclude,
        progress=lambda sentence: progress(f"{stage}: {sentence}"),
        trials=trials,
    )


def _forget_other_probes(work: Path, evaluate: Evaluate, progress: Say) -> None:
    """Set aside the runs of pools that were cut, or models that were measured, otherwise.

    The ledger could not tell them from new ones: names of pools may be equal where their pairs are not.
    """
    measured = evaluate.model_dump(mode="json", exclude={"metric"})
    made_of = {"evaluate": measured, "pools": _digest_of_pools(work)}
    runs = work / "runs.jsonl"
    if claim(work / "trials", made_of, "set aside", along=[runs], progress=progress) is None:
        mark(work / "trials", made_of)


def _digest_of_pools(work: Path) -> str:
    """What stands for the pools of a workdir."""
    files = (work / "pools" / name for name in (POOLS_FILE, TABLE_FILE))
    return hasher(*(path.read_bytes() for path in files)).hexdigest()


def _plan(config: Config, pools: Pools, progress: Say) -> tuple[Laws, Plan]:
    work = config.workdir
    probes = plan_trials(pools.names, config.probe, config.plan.budgets, pools.sizes)
    runs = read_runs(work / "runs.jsonl")
    fitted = fit(
        runs,
        law=config.fit.law,
        metric=config.evaluate.metric,
        recipe=recipe_of(probes, config.probe).label,
        pool_order=pools.names,
        within=config.plan.within,
        num_draws=config.fit.bootstrap,
        seed=config.fit.seed,
    )
    save_laws(work / "laws.json", fitted)
    for sentence in (*fitted.status, *fitted.warnings):
        progress(f"fit: {sentence}")
    if fitted.check.mae is not None:
        loss = is_loss(fitted.metric)
        progress(
            f"fit: mean absolute error {gap_text(fitted.check.mae, loss)} on check mixes that it never saw "
            f"({gap_text(fitted.check.mae_of_mean or 0.0, loss)} by predicting their mean)"
        )
    plan = api.plan(
        fitted,
        config.plan.budgets,
        sizes=pools.sizes,
        weights=config.plan.weights,
        spent=costs_of_runs(runs),
    )
    save_plan(work / "plan.json", plan)
    for budget in plan.budgets:
        progress(f"plan: {budget.decision}")
    if plan.payback is not None:
        progress(f"plan: {plan.payback.sentence}")
    return fitted, plan


def _subset(
    config: Config, plan: Plan, shards: list[str], exclude: frozenset[str], progress: Say
) -> dict[str, Any]:
    """Write the subset; what it was made of."""
    work = config.workdir
    budget = config.subset.budget or max(config.plan.budgets)
    chosen = next(winner(planned) for planned in plan.budgets if planned.samples_seen == budget)
    states = [(shard, shard_state(shard)) for shard in shards] if config.subset.format == "shards" else []
    made_of = {
        "weights": dict(chosen.weights),
        "budget": budget,
        "format": config.subset.format,
        "shards": digest(states),
        "exclude": digest_of(exclude),
        "pools": _digest_of_pools(work),
    }
    _make_room(work / "subset", made_of, progress)
    summary = subset_from_plan(
        work / "plan.json",
        budget,
        pools=work / "pools",
        out=work / "subset",
        format=config.subset.format,
        shards=shards,
        exclude=exclude,
        index_cache=_index_cache(work),
        workers=None,
    )
    progress(f"subset: {summary.num_unique} pairs for {budget} samples, in {summary.folder}")
    return made_of


def _make_room_to_train(
    config: Config, subset: Mapping[str, Any], shards: list[str], exclude: frozenset[str], progress: Say
) -> None:
    assert config.train is not None
    how = config.train.model_dump(
        mode="json", exclude={"cache_limit", "workers", "checkpoint_seconds", "log"}
    )
    made_of = {
        "settings": how,
        "subset": subset,
        "shards": digest_of_marks(marks_of(shards)),
        "exclude": digest_of(exclude),
    }
    _make_room(config.workdir / "train", made_of, progress)


def measured_order(runs: tuple[Run, ...], plan: Plan) -> Mapping[int, list[Run]]:
    """The verification runs at each budget, best first."""
    ends = {budget.samples_seen for budget in plan.budgets}
    found: dict[int, list[Run]] = {}
    for run in runs:
        if run.role == "verify":
            nearest = min(ends, key=lambda end: abs(end - run.samples_seen))
            found.setdefault(nearest, []).append(run)
    return {end: sorted(found[end], key=lambda run: run.error) for end in sorted(found)}
