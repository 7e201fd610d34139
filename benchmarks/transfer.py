"""Probes on a small model, training of a larger one: does what the small one says still hold?

    python benchmarks/transfer.py --data DIR [--out OUT] [--seeds 3]

DIR holds `laws/*.csv` (`laws/` itself does as well). OUT is what `real_pairs.py --dataset cifar10` left (the
default is its own): its pools and the runs of its probes give the laws and the plan, and the candidates that
it trained on the small model are read from there too. What is trained here goes into a ledger beside them and
is not trained again.

1. CIFAR-10 with planted captions. The candidates (the plan's choices, the nested prefixes of the pools,
   everything) are trained on a model with at least 4 times the FLOPs and the parameters, by the recipe of the
   probes, to the smallest and the largest budget. Stated: how alike predictions for the small model, its own
   measurements and those of the larger model rank the candidates, and the regret of the plan's choices on the
   larger model.
2. The scaling study of open_clip. Laws fitted to ViT-B/32 rank the samples of LAION (80M, 407M, 2B) at each
   budget for ViT-B/16; all of LAION as one pool, of which a run draws so many, or as a pool each.
3. Runs of two recipes or models: `fit` refuses them, unless told which to take.

Expect 15 minutes on two cores for the training, and two for the rest.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import open_clip
from numpy.typing import NDArray
from scipy.stats import spearmanr

from law_tables import LAION, LONG, scaling_runs, tasks_of, verdict
from real_pairs import SEEDS as SMALL_SEEDS
from real_pairs import standard_error
from thresher.curate.pools.record import Pools, load_pools
from thresher.data.patterns import expand
from thresher.errors import InputError
from thresher.models.flops import training_flops
from thresher.models.towers import load_towers
from thresher.pipeline.config import Config, load_config
from thresher.planning.api import predict
from thresher.planning.laws.fit import fit, predict_runs
from thresher.planning.plans.make_plan import make_plan
from thresher.planning.plans.plan import Plan
from thresher.planning.plans.result import winner
from thresher.planning.runs.ledger import read_runs
from thresher.planning.runs.record import Run
from thresher.train.probe.stage import jobs_of, open_bench, plan_trials, recipe_of
from thresher.train.probe.trials import Trial, run_trials
from thresher.train.recipe import Recipe
from thresher.train.settings import Probe

LARGER = "transfer-resnet10t-32"
LARGER_CONFIG = {
    "embed_dim": 128,
    "init_logit_scale": 2.302585092994046,
    "init_logit_bias": -10,
    "vision_cfg": {
        "image_size": 32,
        "timm_model_name": "resnet10t",
        "timm_model_pretrained": False,
        "timm_pool": "",
        "timm_proj": "linear",
    },
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 192, "heads": 4, "layers": 1},
}
"""What is larger than `thresher-tiny-32`: the image tower, the width of the text tower, the embedding."""
TIMES = 4
SMALL, LARGE = "ViT-B-32", "ViT-B-16"
BUDGETS = {"3B": 5e9, "13B": LONG, "34B": np.inf}
"""Runs of the table by the samples seen that they stay below."""
Floats = NDArray[np.float64]


def register_larger() -> None:
    """Make the larger model known to open_clip under its name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{LARGER}.json")
        path.write_text(json.dumps(LARGER_CONFIG), encoding="utf-8")
        open_clip.add_model_config(path)


register_larger()  # here, since the processes that train import this file and need the model too


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A mix of pools at one budget: predicted for the small model, measured on both, an error a seed."""

    name: str
    predicted: float
    small: Floats
    large: Floats


def main() -> None:
    """Measure and print; see the text of this file."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with laws/*.csv")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/real_pairs"), metavar="OUT", help="that of real_pairs.py"
    )
    parser.add_argument(
        "--seeds", type=int, default=3, help="runs of every candidate on the larger model, 2 or 3"
    )
    arguments = parser.parse_args()
    if arguments.seeds not in range(2, len(SMALL_SEEDS) + 1):
        parser.error(f"--seeds {arguments.seeds}: take 2 to {len(SMALL_SEEDS)}, as the small model has")
    tables = arguments.data / "laws" if (arguments.data / "laws").is_dir() else arguments.data
    table = tables / "openclip_scaling_zeroshot_b32_b16.csv"
    probes, larger = cifar10(arguments.out / "cifar10", arguments.seeds)
    print()
    scaling_study(table)
    print()
    refuse("probes and the runs of the larger model", [*probes, *larger], "recipe", probes[0].recipe)
    refuse("both architectures of the table", scaling_runs(table, "imagenet1k"), "model", SMALL)


# 1: CIFAR-10


def cifar10(folder: Path, num_seeds: int) -> tuple[list[Run], list[Run]]:
    """Train the candidates on the larger model and judge them; runs of the probes, and of that model."""
    work = folder / "work"
    if not (work / "candidates.jsonl").exists():
        raise InputError(
            f"there is no finished walk in {folder}; run `python benchmarks/real_pairs.py --dataset cifar10` "
            f"with the same --out first"
        )
    config = load_config(folder / "config.toml")
    pools, probes = load_pools(work / "pools"), read_runs(work / "runs.jsonl")
    laws = fit(
        probes,
        law=config.fit.law,
        metric=config.evaluate.metric,
        recipe=recipe(config.probe, config, pools).label,
        pool_order=pools.names,
        num_draws=config.fit.bootstrap,
        seed=config.fit.seed,
    )
    plan = make_plan(laws, config.plan.budgets, pools.sizes, weights=config.plan.weights)
    state_sizes(config.probe.model)
    mixes = candidate_mixes(plan, pools)
    ends = (plan.budgets[0].samples_seen, plan.budgets[-1].samples_seen)
    trials = {
        (name, seed): Trial(role="verify", weights=weights, fraction=1.0, points=ends, seed=seed)
        for name, weights in mixes.items()
        for seed in SMALL_SEEDS
    }
    asked = [trial for (_, seed), trial in trials.items() if seed in SMALL_SEEDS[:num_seeds]]
    larger = train_larger(config, pools, asked)
    small = read_runs(work / "candidates.jsonl")
    for budget in (plan.budgets[0], plan.budgets[-1]):
        end = budget.samples_seen
        candidates = [
            Candidate(
                name=name,
                predicted=predict(laws, weights, end, sizes=pools.sizes).error,
                small=errors_of(small, [trials[name, seed] for seed in SMALL_SEEDS], end),
                large=errors_of(larger, [trials[name, seed] for seed in SMALL_SEEDS[:num_seeds]], end),
            )
            for name, weights in mixes.items()
        ]
        judge(candidates, end, budget.best, pools.names)
    return probes, larger


def recipe(probe: Probe, config: Config, pools: Pools) -> Recipe:
    """That of the walk's probes, for the model of `probe`."""
    return recipe_of(plan_trials(pools.names, probe, config.plan.budgets, pools.sizes), probe)


def state_sizes(small: str) -> None:
    """Print the ratio of training FLOPs a sample and of parameters."""
    towers = {name: load_towers(name) for name in (small, LARGER)}
    flops = [training_flops(one, one.tokenize([""]).shape[1]) for one in towers.values()]
    params = [sum(p.numel() for p in one.model.parameters()) for one in towers.values()]
    figure = f"{flops[1] / flops[0]:.1f} times the training FLOPs a sample ({flops[0]:.3g} to {flops[1]:.3g})"
    figure += f", {params[1] / params[0]:.1f} times the parameters ({params[0]:,} to {params[1]:,})"
    holds = flops[1] >= TIMES * flops[0]
    verdict("transfer", f"CIFAR-10, {small} to {LARGER}", figure, f"at least {TIMES} times the FLOPs", holds)


def candidate_mixes(plan: Plan, pools: Pools) -> dict[str, dict[str, float]]:
    """What real_pairs.py trained on the small model: the plan's choices and the nested prefixes."""
    ends = (plan.budgets[0], plan.budgets[-1])
    mixes = {end.best: dict(winner(end).weights) for end in ends}
    for count in range(1, len(pools.names) + 1):
        names = pools.names[:count]
        total = sum(pools.sizes[name] for name in names)
        mixes.setdefault(" + ".join(names), {name: pools.sizes[name] / total for name in names})
    return mixes


def train_larger(config: Config, pools: Pools, trials: Sequence[Trial]) -> list[Run]:
    """The trials on the larger model, by the recipe of the probes; finished ones are not run again."""
    probe = config.probe.model_copy(update={"model": LARGER})
    bench = open_bench(
        pools,
        expand(config.shards.paths),
        recipe=recipe(probe, config, pools),
        probe=probe,
        evaluate=config.evaluate,
        work=config.workdir,
        device=config.device,
    )
    started = time.monotonic()
    jobs = jobs_of(probe, bench.device)
    runs = run_trials(bench, trials, config.workdir / "transfer.jsonl", jobs=jobs, progress=print)
    print(f"{len(trials)} runs of {LARGER}: {(time.monotonic() - started) / 60:.1f} minutes in this call")
    return runs


def errors_of(runs: Sequence[Run], trials: Sequence[Trial], end: int) -> Floats:
    """Error of each trial at the measuring point nearest to `end`."""
    errors = []
    for trial in trials:
        found = [run for run in runs if run.run == trial.name]
        if not found:
            raise InputError(f"{trial.name} is not among the small model's runs; run real_pairs.py again")
        errors.append(min(found, key=lambda run: abs(run.samples_seen - end)).error)
    return np.array(errors)


def judge(candidates: Sequence[Candidate], end: int, chosen: str, pools: Sequence[str]) -> None:
    """Print the candidates at one budget, best on the larger model first, how alike they rank, the regret."""
    print(f"-- CIFAR-10, {end} samples seen")
    for one in sorted(candidates, key=lambda candidate: float(candidate.large.mean())):
        print(
            f"  {one.name:42} larger {one.large.mean():.4f} +- {standard_error(one.large):.4f}  "
            f"small {one.small.mean():.4f} +- {standard_error(one.small):.4f}, predicted {one.predicted:.4f}"
        )
    names = [one.name for one in candidates]
    large = [float(one.large.mean()) for one in candidates]
    small = [float(one.small.mean()) for one in candidates]
    by_law = rank_correlation([one.predicted for one in candidates], large)
    what = f"rank correlation of the laws with the larger model, {end}, {len(names)} candidates"
    verdict("transfer", what, f"{by_law:.2f}", "stated", True)
    by_seed = np.array([one.large for one in candidates]).T
    own = float(np.mean([rank_correlation(*pair) for pair in combinations(by_seed, 2)]))
    print(
        f"  the small model's measured errors with the larger model's: {rank_correlation(small, large):.2f}; "
        f"seeds of the larger model with each other: {own:.2f}"
    )
    regrets = {name: regret_of(candidates, name) for name in names}
    regret, error = regrets[chosen]
    figure = f"{100 * regret:.2f} +- {200 * error:.2f} points (2 standard errors)"
    if regret == 0:
        margin, error, second = min((*regrets[name], name) for name in names if name != chosen)
        figure = f"0 points, the next, {second}, is {100 * margin:.2f} +- {200 * error:.2f} behind"
    verdict("transfer", f"regret of the plan's {chosen} on the larger model, {end}", figure, "stated", True)
    others = {
        "the best of the small model's measured": candidates[int(np.argmin(small))].name,
        "the top pool": pools[0],
        "everything": " + ".join(pools),
    }
    for what, name in others.items():
        regret, error = regrets[name]
        print(f"  regret of {what}, {name}: {100 * regret:.2f} +- {200 * error:.2f} points")


def regret_of(candidates: Sequence[Candidate], name: str) -> tuple[float, float]:
    """Error of a candidate on the larger model less the lowest, and its standard error, paired by seed."""
    best = min(candidates, key=lambda candidate: float(candidate.large.mean()))
    own = next(candidate for candidate in candidates if candidate.name == name)
    differences = own.large - best.large
    return float(differences.mean()), standard_error(differences)


def rank_correlation(first: Sequence[float] | Floats, second: Sequence[float] | Floats) -> float:
    """Spearman's; 0 where one of the two tells nothing apart."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(spearmanr(first, second).statistic)


# 2: the table of open_clip


def scaling_study(table: Path) -> None:
    """Print how laws of the small architecture rank the samples of LAION for the large one."""
    metrics = {"ImageNet": scaling_runs(table, "imagenet1k"), "mean of tasks": scaling_runs(table, None)}
    gmacs = {run.model: run.params for run in metrics["ImageNet"]}
    ratio = gmacs[LARGE] / gmacs[SMALL]
    figure = f"{ratio:.2f} times the forward GMACs a sample ({gmacs[SMALL]} to {gmacs[LARGE]})"
    verdict("transfer", f"table, {SMALL} to {LARGE}", figure, f"at least {TIMES} times", ratio >= TIMES)
    budgets, sizes = ", ".join(BUDGETS), ", ".join(f"{size / 1e6:.0f}M" for size in LAION.values())
    for metric, runs in metrics.items():
        measured = [errors_in_order(group).round(3).tolist() for group in by_budget(runs, LARGE).values()]
        print(f"{metric}, error of {LARGE} at {budgets} on {sizes}: {measured}; what {SMALL} says:")
        for what, found in rankings(runs).items():
            print(f"  {what:37} {in_words(found)}")
    tasks = tasks_of(table)
    of_tasks = [rankings(scaling_runs(table, task), num_draws=0) for task in tasks]
    print(f"mean of {len(tasks)} tasks and {len(BUDGETS)} budgets, a run each:")
    for what in of_tasks[0]:
        found = [ranking for of_task in of_tasks for ranking in of_task[what]]
        alike, regret = (np.mean([getattr(one, name) for one in found]) for name in ("alike", "regret"))
        right = np.mean([one.regret == 0 for one in found])
        print(
            f"  {what:37} rank correlation {alike:.2f}, regret {100 * regret:.2f} points, "
            f"best one named {100 * right:.0f}%"
        )


def in_words(found: Sequence["Ranking"]) -> str:
    """Rank correlation and regret at each budget."""
    alike = ", ".join(f"{one.alike:.2f}" for one in found)
    regret = ", ".join(f"{100 * one.regret:.2f}" for one in found)
    return f"rank correlation {alike}; regret {regret} points"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The data sets at one budget: what was said for them, and the error that the large model has."""

    said: Floats
    measured: Floats

    @property
    def alike(self) -> float:
        """Spearman's rank correlation."""
        return rank_correlation(self.said, self.measured)

    @property
    def regret(self) -> float:
        """Error of the data set said to be best less the lowest; of equals, the largest data set."""
        best = len(self.said) - 1 - int(np.argmin(self.said[::-1]))
        return float(self.measured[best] - self.measured.min())


def rankings(runs: Sequence[Run], *, num_draws: int = 200) -> dict[str, list[Ranking]]:
    """What ranks the data sets for the large model, and its ranking at each budget."""
    small, large = by_budget(runs, SMALL), by_budget(runs, LARGE)
    used = [run for group in small.values() for run in group]
    short = [run for run in used if run.samples_seen < LONG]
    said = {}
    for what, fitted, told in (
        ("laws of all its runs, one pool", used, list),
        ("laws of its runs up to 13B, one pool", short, list),
        ("laws of all its runs, a pool each", used, as_pools),  # up to 13B there are too few to fit that
    ):
        laws = fit(told(fitted), num_draws=num_draws)
        said[what] = [predict_runs(laws, told(group)) for group in large.values()]
    said["its measured errors"] = [errors_in_order(group) for group in small.values()]
    said["the largest data set is the best"] = [-np.arange(len(LAION), dtype=float)] * len(BUDGETS)
    return {
        what: [
            Ranking(said=values, measured=errors_in_order(group))
            for values, group in zip(budgets, large.values(), strict=True)
        ]
        for what, budgets in said.items()
    }


def as_pools(runs: Sequence[Run]) -> list[Run]:
    """The same runs with every data set as a pool of its own, used whole."""
    return [
        replace(run, pool=f"LAION-{run.unique_samples / 1e6:.0f}M", pool_samples=run.unique_samples)
        for run in runs
    ]


def by_budget(runs: Sequence[Run], model: str) -> dict[str, list[Run]]:
    """The runs of a model at each budget, one a data set, the smallest data set first."""
    found: dict[str, list[Run]] = {budget: [] for budget in BUDGETS}
    for run in sorted(runs, key=lambda run: run.unique_samples):
        if run.model == model:
            found[next(name for name, end in BUDGETS.items() if run.samples_seen < end)].append(run)
    for budget, group in found.items():
        if len(group) != len(LAION):
            raise InputError(f"{model} has {len(group)} runs of {budget}, not one of each data set")
    return found


def errors_in_order(runs: Sequence[Run]) -> Floats:
    """Their measured errors."""
    return np.array([run.error for run in runs])


# 3: other recipes and models


def refuse(what: str, runs: Sequence[Run], name: str, chosen: str | None) -> None:
    """Fit runs of two recipes or models, then one of them by name; print what comes of it."""
    runs = [replace(run, role="fit") for run in runs]
    try:
        fit(runs, num_draws=0)
    except InputError as error:
        said = str(error)
    else:
        said = ""
    verdict(
        "transfer", f"fit of {what}", f"refused: {said}" if said else "not refused", "is refused", bool(said)
    )
    told = fit(runs, num_draws=0, **{name: chosen})
    print(f"  told {name}={chosen!r}: {len(told.points)} of {len(runs)} runs fitted")


if __name__ == "__main__":
    main()
