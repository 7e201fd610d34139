"""Plans and runs the training runs that measure how useful each pool is."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from thresher.curate.pools.record import Pools, load_pools
from thresher.data.digests import hasher
from thresher.data.files.provenance import claim, mark
from thresher.data.files.quarantine import write_quarantine
from thresher.data.shard_index import digest_of_marks
from thresher.errors import InputError
from thresher.models.evaluation.sets import prepare_tasks, tasks_digest
from thresher.models.evaluation.settings import Evaluate
from thresher.models.towers import load_towers, resolve_device
from thresher.planning.laws.problem import USUAL_NOISE
from thresher.planning.laws.signal import left_chance
from thresher.planning.plans.plan import Plan
from thresher.planning.plans.result import winner
from thresher.planning.runs.record import Run
from thresher.tables import decimal
from thresher.train.dataset import describe_dataset, open_dataset
from thresher.train.distributed import is_first_rank
from thresher.train.probe.trials import Members, Trial, TrialContext, default_jobs, run_trials
from thresher.train.recipe import Recipe
from thresher.train.settings import Probe, make_recipe

_LONGEST_SCALE, _LONGER = 0.25, 4.0
_POOLS_TO_MIX = 3
"""With two pools, the one mix that there is serves as a check."""


def run_probes(
    pools: Path,
    shards: Sequence[str],
    ledger: Path,
    *,
    probe: Probe,
    evaluate: Evaluate,
    targets: Sequence[int],
    work: Path,
    device: str,
    exclude: frozenset[str] = frozenset(),
    progress: Callable[[str], None] | None = None,
    trials: Sequence[Trial] | None = None,
) -> list[Run]:
    """Train the probes of every pool and of the check mixes, and append them to the ledger.

    Where lengths follow from the targets, one probe is made first. As long as it does no better than
    guessing, all are made four times as long, up to a quarter of every target.

    Args:
        pools: folder that `cut` wrote.
        shards: where the pairs are.
        ledger: `runs.jsonl`; measurements that it holds are not added again.
        probe: recipe, sizes and seeds.
        evaluate: what to measure on.
        targets: budgets in samples seen whose repetition the probes copy, where `probe.samples` and
            `probe.targets` do not say otherwise.
        work: folder of `trials/`, whose finished runs are not run again, and of decoded images.
        device: `auto`, `cpu`, `cuda` or `cuda:n`.
        exclude: uids that are not trained on.
        progress: called with a sentence when a run is finished.
        trials: what is trained in place of the probes, by their recipe; see `verification_trials`.

    Returns:
        All measurements, those of earlier calls included.
    """
    cut = load_pools(pools)

    def opened(probe: Probe) -> tuple[list[Trial], TrialContext]:
        probes = plan_trials(cut.names, probe, targets, cut.sizes)
        bench = open_bench(
            cut,
            shards,
            recipe=recipe_of(probes, probe),
            probe=probe,
            evaluate=evaluate,
            work=work,
            device=device,
            exclude=exclude,
        )
        return probes, bench

    probes, bench = opened(probe)
    while probe.samples is None and probe.scale < _LONGEST_SCALE and _at_chance(probes, bench, ledger):
        probe = probe.model_copy(update={"scale": min(_LONGEST_SCALE, _LONGER * probe.scale)})
        if progress is not None:
            progress(
                f"after {probes[0].points[-1]} samples a probe does no better than guessing: all are made "
                f"longer, scale is {decimal(probe.scale)}"
            )
        probes, bench = opened(probe)
    jobs = jobs_of(probe, bench.device)
    return run_trials(bench, probes if trials is None else trials, ledger, jobs=jobs, progress=progress)


def _at_chance(probes: Sequence[Trial], bench: TrialContext, ledger: Path) -> bool:
    """Whether the best pool's probe does no better than guessing; it is kept with the others."""
    first = max((trial for trial in probes if trial.role == "fit"), key=lambda trial: trial.fraction)
    return left_chance(run_trials(bench, [first], ledger, jobs=1, append=False), USUAL_NOISE) is False


def recipe_of(trials: Sequence[Trial], probe: Probe) -> Recipe:
    """The recipe of a set of probes: its warm-up is a share of their smallest measuring point."""
    return make_recipe(probe, min(point for trial in trials for point in trial.points))


def plan_trials(
    names: Sequence[str], probe: Probe, targets: Sequence[int], sizes: Mapping[str, int]
) -> list[Trial]:
    """Every pool at every share, then the mixes and the check mixes at the first share, for every seed.

    All probes measure at the same share of every target (`scale`). One that draws from that share of the pool
    repeats its pairs exactly as often as the target will; one on the whole pool shows what fresh pairs teach.
    """
    prefixes = [{name: float(sizes[name]) for name in names[:count]} for count in range(2, len(names) + 1)]
    mixes = probe.mixes
    if mixes is None:
        mixes = tuple(prefixes[-1:]) if len(names) >= _POOLS_TO_MIX else ()
    checks = probe.checks
    if checks is None:
        checks = tuple(mix for mix in prefixes if mix not in mixes)
    trials = []
    points = measuring_points(probe, targets)
    for seed in probe.seeds:
        for fraction in probe.shares:
            runs = [("fit", {name: 1.0}) for name in names]
            if fraction == probe.shares[0]:
                runs += [("fit", _normalised(mix, names)) for mix in mixes]
                runs += [("check", _normalised(mix, names)) for mix in checks]
            trials += [
                Trial(role=role, weights=weights, fraction=fraction, points=points, seed=seed)
                for role, weights in runs
            ]
    return trials


def verification_trials(plan: Plan, seeds: Sequence[int]) -> list[Trial]:
    """A trial for each distinct winner at the smallest and the largest budget, measured at both.

    They draw from whole pools, and check that the plan ranked its winners correctly.
    """
    ordered = sorted(plan.budgets, key=lambda budget: budget.samples_seen)
    ends = (ordered[0], ordered[-1])
    points = tuple(sorted({end.samples_seen for end in ends}))
    mixes = {end.best: winner(end).weights for end in ends}
    return [
        Trial(role="verify", weights=dict(weights), fraction=1.0, points=points, seed=seed)
        for weights in mixes.values()
        for seed in seeds
    ]


def measuring_points(probe: Probe, targets: Sequence[int]) -> tuple[int, ...]:
    """Samples seen at which probes are measured, ascending."""
    if probe.samples is not None:
        return tuple(sorted(set(probe.samples)))
    wanted = probe.targets or tuple(targets)
    return tuple(sorted({max(probe.batch_size, round(target * probe.scale)) for target in wanted}))


def _normalised(mix: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    for name in mix:
        if name not in names:
            raise InputError(f"check mix names pool {name!r}; the pools are {', '.join(names)}")
    total = sum(mix.values())
    return {name: mix[name] / total for name in names if mix.get(name, 0) > 0}


def open_bench(
    pools: Pools,
    shards: Sequence[str],
    *,
    recipe: Recipe,
    probe: Probe,
    evaluate: Evaluate,
    work: Path,
    device: str,
    exclude: frozenset[str] = frozenset(),
) -> TrialContext:
    """Decode and tokenise what the trials need, once for all of them.

    Pairs whose image cannot be decoded belong to no pool here, nor do those in `exclude`; what cannot be used
    is listed in `trials/quarantine.parquet`. Trials lie in a
    folder of their own for every recipe, evaluation and set of pools, so that none is taken for another.
    """
    members = _without({name: tuple(pools.uids(name).to_pylist()) for name in pools.names}, exclude)
    where = resolve_device(device)
    towers = load_towers(probe.model, sigmoid=probe.loss == "siglip")
    tasks = prepare_tasks(evaluate, towers, work / "cache")
    dataset = describe_dataset(
        shards,
        towers,
        cache=work / "cache",
        uids=[uid for uids in members.values() for uid in uids],
        limit_bytes=probe.cache_limit,
    )
    with open_dataset(dataset) as opened:
        members = _without(members, {reject.uid for reject in opened.rejects})
        if is_first_rank():
            write_quarantine(work / "trials" / "quarantine.parquet", opened.quarantine)
    folder = work / "trials" / _digest(recipe, tasks, members)
    if (
        claim(folder, {"shards": digest_of_marks(dataset.marks)}, noun="set of probes") is None
        and is_first_rank()
    ):
        mark(folder, {"shards": digest_of_marks(dataset.marks)})
    cores = len(os.sched_getaffinity(0))
    return TrialContext(
        dataset=dataset,
        members=members,
        tasks=tasks,
        recipe=recipe,
        metric=evaluate.metric,
        device=where,
        folder=folder,
        threads=max(1, cores // jobs_of(probe, where)),
    )


def _without(members: Members, uids: Collection[str | None]) -> Members:
    if not uids:
        return members
    return {name: tuple(uid for uid in pool if uid not in uids) for name, pool in members.items()}


def _digest(recipe: Recipe, tasks: Path, members: Members) -> str:
    digest = hasher(f"{recipe.label} {tasks_digest(tasks)}".encode())
    for name, uids in members.items():
        digest.update(f"{name} {len(uids)} {' '.join(uids)}".encode())
    return digest.hexdigest()


def jobs_of(probe: Probe, device: str) -> int:
    """Trials to run at the same time."""
    return probe.jobs or default_jobs(device)
