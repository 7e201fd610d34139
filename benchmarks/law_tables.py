"""Do the laws hold on published tables of finished runs? Four tables, each with figures and goals.

    python benchmarks/law_tables.py --data DIR [--tables published scaling text buckets]

DIR holds `laws/*.csv` (`laws/` itself does as well). `published` and `buckets` go through the command line,
the others through `import_runs` and `fit`, with the defaults of the tool.

published  The published fit of the T-MARS pools (arXiv 2404.07177): d added last, and as the authors' code
           has it.
scaling    The scaling study of open_clip: ViT-B/32 and ViT-B/16 on 80M, 407M and 2B samples of LAION, taken
           as one pool. What is fitted at once, one architecture or both (with the forward GMACs of a model as
           its size), is chosen by leaving out one run of up to 13B samples at a time. Then come the fit to
           all runs, beside the least that plain least squares of the utility law can leave, and the runs of
           34B as `fit` predicts them from the others, with the laws that it weighs by those alone.
text       Language models on repeated text: all laws fitted to runs of up to 10 epochs predict those of 10 to
           40, beside the law that the authors of the runs published, fitted by them to these runs as well.
           Rows with a lower loss than a run of the same model and length on at least twice as much text are
           named, and so are rows with a higher one than a run of the same model, on the same text, for fewer
           epochs: there repetition has done harm.
buckets    Buckets of DataComp by CLIP score, measured in the middle of a run: what does the fit warn of?
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import csv
import json
import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typer.testing import CliRunner

from thresher.cli import app
from thresher.planning.laws.fit import fit, predict_runs
from thresher.planning.laws.layout import design_of
from thresher.planning.laws.predict import draw_noise, predict_designs
from thresher.planning.laws.result import Laws
from thresher.planning.laws.utility import log_exposure
from thresher.planning.runs.importers.formats import import_runs
from thresher.planning.runs.record import Run

PUBLISHED_FIT = Path(__file__).with_name("tmars_utility.json")
PUBLISHED_POOLS = ("top 10%", "10-20%", "20-30%", "30-40%")
PUBLISHED_BUDGETS = ("32M", "64M", "128M", "640M")
PUBLISHED = {
    "formula": (
        (17.04, 22.72, 26.39, 28.57),
        (15.54, 22.14, 27.71, 35.64),
        (13.42, 19.78, 25.40, 34.93),
        (11.68, 17.74, 23.15, 32.85),
    ),
    "published": (
        (18.25, 24.62, 28.73, 31.18),
        (15.84, 23.30, 29.60, 38.55),
        (13.42, 20.40, 26.77, 37.56),
        (11.68, 17.99, 24.13, 35.14),
    ),
}
"""Form -> ImageNet accuracy in per cent; nested mixes of 1 to 4 pools by budgets."""

ARCHITECTURES = ("ViT-B-16", "ViT-B-32")
LAION = {"*Data-80M*": 80_000_000, "*Data-400M*": 407_000_000, "*Data-2B*": 2_000_000_000}
"""Name of a run to the samples of LAION that it drew from."""
MEANS_OF_TASKS = ("vtab", "vtab+", "imagenet_robustness")
LONG = 2e10
"""Samples seen: runs of 34B lie above, those of 3B and 13B below."""
_STARTS = 40
"""Of least squares; more have found nothing lower."""


def main() -> None:
    """Measure and print; see the text of this file."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="folder that holds laws/*.csv"
    )
    parser.add_argument("--tables", nargs="*", default=list(TABLES), choices=list(TABLES))
    arguments = parser.parse_args()
    tables = arguments.data / "laws" if (arguments.data / "laws").is_dir() else arguments.data
    for name in arguments.tables:
        started = time.process_time()
        TABLES[name](tables)
        print(f"({time.process_time() - started:.0f} s of one core)\n", flush=True)


def verdict(topic: str, what: str, figure: str, goal: str, holds: bool) -> None:
    """A figure beside its goal."""
    print(f"{topic}: {what}: {figure} (goal: {goal}): {'holds' if holds else 'does not hold'}")


def command(*arguments: object) -> Any:
    """A call of the command line in this process."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="thresher")
    if done.exit_code:
        raise SystemExit(f"thresher {arguments[0]} failed: {done.stderr}")
    return done


# the published fit


def published_tables() -> None:
    """Both tables by `thresher predict`."""
    for form, expected in PUBLISHED.items():
        error = predicted_table(form)
        off = float(np.abs(100 * (1 - error) - expected).max())
        verdict("published", f"table, form {form}", f"{off:.4f} points off", "at most .01", off <= 0.01)


def predicted_table(form: str) -> NDArray[np.float64]:
    """Error of nested mixes of the published pools by budgets, as the command prints it."""
    nested = [" + ".join(PUBLISHED_POOLS[:count]) for count in range(1, 1 + len(PUBLISHED_POOLS))]
    options = [word for mix in nested for word in ("--mix", mix)]
    options += [word for budget in PUBLISHED_BUDGETS for word in ("--budget", budget)]
    rows = json.loads(command("predict", PUBLISHED_FIT, *options, "--form", form, "--json").stdout)
    return np.array([row["error"] for row in rows]).reshape(len(nested), len(PUBLISHED_BUDGETS))


# open_clip's scaling study


def scaling_study(table: Path) -> None:
    """Choice of what is fitted at once, fit, prediction of the longest runs, coverage."""
    metrics = {"ImageNet": scaling_runs(table, "imagenet1k"), "mean of tasks": scaling_runs(table, None)}
    together = choose_grouping(metrics)
    for name, runs in metrics.items():
        show_fits(name, runs, together)
    for name, runs in metrics.items():
        predict_longest(name, runs, together)
    held = [longest_runs(scaling_runs(table, task), together) for task in tasks_of(table)]
    for what, known in {"its noise, itself uncertain": False, "its noise taken as known": True}.items():
        inside = np.concatenate([covered(one, known=known) for group in held for one in group])
        print(
            f"34B runs of {len(held)} tasks and both architectures, 90% intervals of a run with {what}: "
            f"{100 * inside.mean():.1f}% of {inside.size} hold the measured error"
        )


def scaling_runs(table: Path, task: str | None) -> list[Run]:
    """Runs of one task, or of the mean over all; all of LAION is one pool."""
    left_out = ["upstream_dataset!=CLIP-WIT"]
    chosen = [f"downstream_dataset!={name}" for name in MEANS_OF_TASKS]
    with tempfile.TemporaryDirectory() as folder:
        facts = Path(folder, "facts.csv")
        rows = [f"{run},LAION,{unique},{max(LAION.values())}" for run, unique in LAION.items()]
        facts.write_text("\n".join(["run,pool,unique_samples,pool_samples", *rows]), encoding="utf-8")
        return import_runs(
            [table],
            format="table",
            metric=("1-acc1", "1-image_retrieval_recall@5", "1-mean_average_precision"),
            metric_name="zeroshot_error",
            facts=facts,
            columns={"run": "name", "model": "arch", "params": "gmacs"},
            where=left_out + (chosen if task is None else [f"downstream_dataset={task}"]),
            average_over="downstream_dataset" if task is None else None,
            supply={"final": True},
        )


def tasks_of(table: Path) -> list[str]:
    """Names of the tasks that are no means of others."""
    with table.open(encoding="utf-8", newline="") as file:
        names = dict.fromkeys(row["downstream_dataset"] for row in csv.DictReader(file))
    return [name for name in names if name not in MEANS_OF_TASKS]


def groups(runs: Sequence[Run], together: bool) -> list[list[Run]]:
    """What is fitted at once: both architectures, told apart by their size alone, or each of them."""
    if together:
        return [[replace(run, model=None) for run in runs]]
    return [[run for run in runs if run.model == model] for model in ARCHITECTURES]


def show_fits(name: str, runs: Sequence[Run], chosen: bool) -> None:
    """Root mean square residual of the fit to all runs, by architecture and law."""
    for together in (not chosen, chosen):
        rmse = {law: rmse_by_size(groups(runs, together), law) for law in ("auto", "utility", "power")}
        for law, values in rmse.items():
            figures = ", ".join(f"{one} {off:.2f}" for one, off in zip(ARCHITECTURES, values, strict=True))
            print(f"{name}, all runs, {grouping(together)}, {law}: RMSE {figures} points")
    if name == "ImageNet":
        for one, off, power in zip(ARCHITECTURES, rmse["auto"], rmse["power"], strict=True):
            figure = f"{off:.2f} points, power law {power:.2f}"
            verdict("scaling", f"ImageNet, {one}, RMSE of all runs", figure, "at most .7", off <= 0.7)
        show_floors(runs)


def show_floors(runs: Sequence[Run]) -> None:
    """The least RMSE in points that the utility law can leave, without priors, every run in full."""
    for model in ARCHITECTURES:
        (off,) = floor([[run for run in runs if run.model == model]])
        print(f"ImageNet, all runs, {model} alone, least squares of the utility law: RMSE {off:.2f} points")
    pair = floor([[run for run in runs if run.model == model] for model in ARCHITECTURES])
    figures = ", ".join(f"{one} {off:.2f}" for one, off in zip(ARCHITECTURES, pair, strict=True))
    print(f"ImageNet, all runs, both at once, each with a floor of its own, the same: RMSE {figures} points")


def floor(models: Sequence[Sequence[Run]], num_starts: int = _STARTS) -> list[float]:
    """RMSE in points of each model: one curve above floors of their own, half-life `tau (N/4e8)^gamma`."""
    from scipy.optimize import least_squares

    seen, unique = (
        np.array([float(getattr(run, name)) for runs in models for run in runs])
        for name in ("samples_seen", "unique_samples")
    )
    model = np.repeat(np.arange(len(models)), [len(runs) for runs in models])
    error = np.array([run.error for runs in models for run in runs])

    def off(at: NDArray[np.float64]) -> NDArray[np.float64]:
        log_A, log_b, log_tau, gamma, *d = at
        exposure = log_exposure(seen, unique, np.exp(log_tau + gamma * np.log(unique / 4e8))).value
        above = np.exp(log_A - np.exp(log_b) * (exposure - np.log(1e9)))
        return 100 * np.asarray(np.array(d)[model] + above - error)

    highest = [0.999 * error[model == place].min() for place in range(len(models))]
    low, high = np.array([-4, -4, -1, 0, *[0] * len(models)]), np.array([1, 1, 8, 2, *highest])
    rng = np.random.default_rng(0)
    found = [least_squares(off, rng.uniform(low, high), bounds=(low, high)) for _ in range(num_starts)]
    left = min(found, key=lambda one: float(one.cost)).fun
    return [float(np.sqrt(np.mean(left[model == place] ** 2))) for place in range(len(models))]


def grouping(together: bool) -> str:
    """The two ways to fit, in words."""
    return "both architectures together" if together else "each architecture alone"


def rmse_by_size(fitted: Sequence[Sequence[Run]], law: str) -> list[float]:
    """Points, the larger architecture (ViT-B-16) first."""
    points = [point for runs in fitted for point in fit(runs, law=law, num_draws=0).points]
    sizes = sorted({point.run.params or 0.0 for point in points}, reverse=True)
    residuals = [[point.residual for point in points if point.run.params == size] for size in sizes]
    return [100 * float(np.sqrt(np.mean(np.square(values)))) for values in residuals]


def choose_grouping(metrics: Mapping[str, Sequence[Run]]) -> bool:
    """Whether both architectures are fitted together, by leaving out one of the shorter runs at a time."""
    off: dict[bool, float] = {}
    for together in (False, True):
        errors = []
        for runs in metrics.values():
            for group in groups([run for run in runs if run.samples_seen < LONG], together):
                for left_out in group:
                    rest = [run for run in group if run is not left_out]
                    predicted = float(predict_runs(fit(rest, num_draws=0), [left_out])[0])
                    errors.append(100 * abs(predicted - left_out.error))
        off[together] = float(np.mean(errors))
        print(f"runs up to 13B, one left out at a time, {grouping(together)}: {off[together]:.2f} points off")
    return off[True] < off[False]


def predict_longest(name: str, runs: Sequence[Run], together: bool) -> None:
    """Mean absolute error on the runs of 34B, fitted to the others."""
    off: dict[str, NDArray[np.float64]] = {}
    for law in ("auto", "power"):
        errors = []
        for group in groups(runs, together):
            laws = fit([run for run in group if run.samples_seen < LONG], law=law)
            longest = [run for run in group if run.samples_seen >= LONG]
            errors += list(predict_runs(laws, longest) - [run.error for run in longest])
            if law == "auto":
                shares = zip(laws.fits, laws.weights, strict=True)
                print(
                    f"{name}, shares: {', '.join(f'{one.law} {100 * share:.0f}%' for one, share in shares)}"
                )
        off[law] = 100 * np.array(errors)
        print(f"{name}, 34B runs, {law}, predicted - measured in points: {np.round(off[law], 2).tolist()}")
    mae, power = (float(np.abs(values).mean()) for values in off.values())
    verdict(
        "scaling",
        f"{name}, 34B runs, {grouping(together)}",
        f"{mae:.2f} points off, power law {power:.2f}",
        "at most 1.2 and below the power law" if name == "ImageNet" else "stated",
        mae < power and (mae <= 1.2 or name != "ImageNet"),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Longest:
    """Runs of 34B, and what the laws of the shorter ones say about them; S draws, R runs."""

    drawn_SR: NDArray[np.float64]
    error_R: NDArray[np.float64]
    noise: float
    noise_S: NDArray[np.float64]


def longest_runs(runs: Sequence[Run], together: bool) -> list[Longest]:
    """Of each group that is fitted at once."""
    found = []
    for group in groups(runs, together):
        laws = fit([run for run in group if run.samples_seen < LONG])
        longest = [run for run in group if run.samples_seen >= LONG]
        error_R = np.array([run.error for run in longest])
        found.append(Longest(draws_of(laws, longest), error_R, laws.noise, draw_noise(laws)))
    return found


def covered(longest: Longest, *, known: bool) -> NDArray[np.bool_]:
    """Whether the 90% interval of each run, with the noise of a single run, holds its error.

    The tool takes the noise for what it is, measured on a few residuals; `known` takes it for exact.
    """
    noise_S = longest.noise_S
    if known:
        noise_S = longest.noise * np.random.default_rng(0).standard_normal(noise_S.size)
    low_R, high_R = np.quantile(longest.drawn_SR + noise_S[:, None], (0.05, 0.95), axis=0)
    return np.asarray((low_R <= longest.error_R) & (longest.error_R <= high_R))


def draws_of(laws: Laws, runs: Sequence[Run]) -> NDArray[np.float64]:
    """Predicted error of each run in every draw, [S, R]."""
    return predict_designs(
        laws, lambda one: design_of(runs, laws.pool_names, sized=one.num_params is not None)
    )


# repeated text


def text(table: Path) -> None:
    """Runs of 10 to 40 epochs, predicted from those of up to 10."""
    from repeated_text import repeated_text  # stands beside this file, not in the package of the tests

    off = repeated_text(table)
    for what, value, goal in (("mean", float(off.mean()), 0.015), ("median", float(np.median(off)), 0.025)):
        figure = f"{100 * value:.2f}%"
        verdict(
            "text",
            f"{what} relative error in loss, 10 to 40 epochs",
            figure,
            f"at most {goal:.1%}",
            value <= goal,
        )


# DataComp's buckets


def buckets(table: Path) -> None:
    """Import and fit through the command line; what the fit warns of."""
    with tempfile.TemporaryDirectory() as folder:
        ledger, laws = Path(folder, "runs.jsonl"), Path(folder, "laws.json")
        source = (table, "--format", "table", "--metric", "imagenet_error", "--mid-run", "--replacement")
        command("import", *source, "--out", ledger)
        done = command("fit", ledger, "--out", laws)
        said = [line.removeprefix("warning: ") for line in (done.stdout + done.stderr).splitlines()]
    wanted = {
        "points are mid-run": "not end-of-training points",
        "half-lives that are not identified, by name": "The half-life of clip_",
        "10-20% is more useful than the top 10%": "clip_10p_to_20p .* teaches more than clip_top10p",
    }
    for what, words in wanted.items():
        sentences = [sentence for sentence in said if re.search(words, sentence)]
        verdict("buckets", what, " ".join(sentences) or "nothing is said", "is said", bool(sentences))


TABLES: dict[str, Callable[[Path], None]] = {
    "published": lambda _: published_tables(),
    "scaling": lambda folder: scaling_study(folder / "openclip_scaling_zeroshot_b32_b16.csv"),
    "text": lambda folder: text(folder / "c4_repeated_data_runs.csv"),
    "buckets": lambda folder: buckets(folder / "datacomp_clip_buckets.csv"),
}
"""Name of a table to what measures it, given the folder of all of them."""


if __name__ == "__main__":
    main()
