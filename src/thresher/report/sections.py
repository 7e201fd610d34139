"""What each section of the page shows, in texts ready for the template."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thresher.budget import format_count
from thresher.data.files.record_file import from_record, read_record
from thresher.planning.laws.fit import predict_runs
from thresher.planning.laws.fits import Fit, PoolLaw
from thresher.planning.laws.registry import LAWS
from thresher.planning.laws.result import Laws, LawScore
from thresher.planning.plans.plan import Plan
from thresher.planning.plans.result import weighting_sentence
from thresher.planning.runs.record import Run, is_loss, mix_unique, mix_weights
from thresher.report.chart import pool_mark
from thresher.report.gallery import cards
from thresher.report.pool_stats import LEFT_OUT, Tally, labels_of
from thresher.report.verdict import Trained, budgets, order_sentences, summary
from thresher.report.wording import ABSENT, Scale, interval_text, mix_text, number_text, share_text
from thresher.tables import passes_text, percent

PARAMETERS = {
    "A": "A, reducible error at the meeting point",
    "start": "Error before the first sample",
    "n0": "n₀, samples seen at the meeting point",
    "d": "d, irreducible error",
    "b": "b, utility of all pools",
    "gamma": "γ, how the half-life grows with the pool's size",
    "tail": "Tail of the wear (0 exponential, 1 logarithm)",
    "harm": "Harm of a worn sample, as a share of what it taught fresh",
    "size": "Error of the model's size, at the largest model",
    "alpha": "α, how fast that error falls with size",
    "room": "Parameters that a unique sample has room for",
    "excess": "Exponent of the harm in parameters beyond that",
    "onset": "Passes after which that harm sets in",
    "sharpness": "How suddenly it does",
}
MEANINGS = {
    ("bounded", "n0"): "n₀, samples before learning shows",
    ("saturating", "n0"): "n₀, a scale of samples",
    ("saturating", "harm"): "Harm for each factor e of wasted samples",
}
"""Where a law means something else by a name."""
OF_POOLS = {"b": "b, utility", "quality": "Quality", "tau": "τ, half-life (passes)"}
MAX_RUNS = 400
MAX_POLICIES = 8


def plan_section(plan: Plan, scale: Scale) -> dict[str, Any]:
    """The budgets, the sentences above them, and what keeping one mix everywhere costs."""
    loss = is_loss(plan.metric)
    free = [
        f"At {format_count(budget.samples_seen)} samples seen: "
        f"{weighting_sentence(budget.weighting, loss=loss)}"
        for budget in plan.budgets
        if budget.weighting is not None and plan.weights == "subsets"
    ]
    return {
        "summary": summary(plan),
        "budgets": budgets(plan, scale),
        "status": [*plan.status, *([] if plan.payback is None else [plan.payback.sentence])],
        "free": free,
        "policies": [
            (policy.name, scale.gap(policy.mean_regret), scale.gap(policy.worst_regret))
            for policy in plan.policies[:MAX_POLICIES]
        ],
        "num_policies": len(plan.policies),
    }


def trained_section(tried: list[Trained], scale: Scale) -> dict[str, Any] | None:
    """What was trained at the budgets, beside its prediction; None when nothing was."""
    if not tried:
        return None
    rows = [
        (
            format_count(t.samples_seen),
            t.name,
            scale.text(t.predicted),
            scale.interval(t.low, t.high) or ABSENT,
            scale.text(t.measured),
            scale.gap(t.se) if t.num_seeds > 1 else ABSENT,
            str(t.num_seeds),
        )
        for t in tried
    ]
    return {"sentences": order_sentences(tried, scale), "rows": rows}


def error_section(runs: Sequence[Run], laws: Laws | None, scale: Scale) -> dict[str, Any]:
    """The measured points as a table."""
    shown = runs[:MAX_RUNS]
    rows = [
        (
            run.run or ABSENT,
            mix_text(mix_weights(run)),
            run.role,
            format_count(sum(mix_unique(run).values())),
            format_count(run.samples_seen),
            scale.text(run.error),
            scale.text(error),
        )
        for run, error in zip(shown, _predicted(laws, shown), strict=True)
    ]
    return {
        "rows": rows,
        "num_runs": len(runs),
        "check": "" if laws is None else check_sentence(laws, scale),
        "has_law": laws is not None,
    }


def _predicted(laws: Laws | None, runs: Sequence[Run]) -> list[float | None]:
    """What the laws predict for each run; None without laws, or where one of its pools has none."""
    if laws is None:
        return [None] * len(runs)
    known = [run for run in runs if set(mix_weights(run)) <= set(laws.pool_names)]
    errors = iter(predict_runs(laws, known)) if known else iter(())
    kept = {id(run) for run in known}
    return [float(next(errors)) if id(run) in kept else None for run in runs]


def score_section(counted: Tally) -> dict[str, Any]:
    """The table of pools."""
    labels = labels_of(counted)
    rows = []
    for pool in counted.pools.pools:
        num = pool.num_samples
        ends = f"{number_text(pool.score_min)} to {number_text(pool.score_max)}" if num else ABSENT
        shares = [share_text(counted.share(pool.name, label), num) for label in labels]
        rows.append((pool.name, f"{num:,}", ends, *shares))
    left_out = sum(int(counts.sum()) for (pool, _), counts in counted.counts.items() if pool == LEFT_OUT)
    if left_out:
        shares = [share_text(counted.share(LEFT_OUT, label), left_out) for label in labels]
        rows.append((LEFT_OUT, f"{left_out:,}", ABSENT, *shares))
    dropped = [f"{drop.count:,} pairs are in no pool: {drop.reason}." for drop in counted.pools.dropped]
    title = "The pools, best first"
    title += ", and how well each was cut: shares of the planted labels." if labels else "."
    return {
        "title": title,
        "columns": ["Pool", "Pairs", "Scores", *(label or "no label" for label in labels)],
        "rows": rows,
        "dropped": dropped,
    }


def gallery_section(counted: Tally, ranks: Mapping[str, int], shards: Sequence[str] | None) -> dict[str, Any]:
    """The cards of each pool, best pool first."""
    made, problems = cards(counted.shown, shards)
    if not any(made.values()):
        problems = ["No pairs were asked for."]
    names = sorted((name for name in made if made[name]), key=lambda name: ranks[name])
    colours = {name: pool_mark(ranks[name]).colour[1:] for name in names}
    pools = [{"name": name, "colour": colours[name], "cards": made[name]} for name in names]
    return {"pools": pools, "problems": problems}


def read_commands(path: Path, plan: Plan | None) -> dict[str, Any]:
    """The subset of a `meta.json`: what it is, its pools as rows, and steps of (what it does, command lines).

    Raises:
        InputError: the file is not what `thresher subset` writes.
    """
    return read_record(path, "thresher.subset", 1, "thresher subset", lambda subset: _commands(subset, plan))


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What a `meta.json` says of a pool."""

    name: str
    weight: float
    num_unique: int
    mean_repeats: float


def _commands(subset: Mapping[str, Any], plan: Plan | None) -> dict[str, Any]:
    seen = subset.get("samples_seen")
    unique, rows = (from_record(int, subset[name], place=name) for name in ("num_unique", "num_rows"))
    summary = f"The subset holds {unique:,} pairs; one pass over it is {rows:,} samples"
    summary += f" of the budget of {format_count(seen)} samples seen." if seen else "."
    pools = [
        (pool.name, number_text(pool.weight), f"{pool.num_unique:,}", passes_text(pool.mean_repeats))
        for pool in from_record(tuple[_Drawn, ...], subset["pools"], place="pools")
    ]
    lines = from_record(tuple[str, ...], subset["how_to_train"], place="how_to_train")
    steps = _write_step(subset, plan) + _steps(list(lines))
    return {"summary": summary, "pools": pools, "steps": steps}


def _write_step(subset: Mapping[str, Any], plan: Plan | None) -> list[tuple[str, str]]:
    """How the subset was written; nothing where it is not the plan's choice for its budget."""
    chosen = (subset.get("plan") or {}).get("candidate")
    best = {budget.samples_seen: budget.best for budget in plan.budgets} if plan is not None else {}
    if chosen is None or best.get(subset.get("samples_seen", 0)) != chosen:
        return []
    shards = " --shards SHARDS" if subset["format"] == "shards" else ""
    command = (
        f"thresher subset plan.json --budget {subset['samples_seen']} --pools pools{shards} "
        f"--out subset --format {shlex.quote(subset['format'])}"
    )
    return [("Write the subset again, in this workdir:", command)]


def _steps(lines: list[str]) -> list[tuple[str, str]]:
    """Script lines as steps: comment lines say what the commands after them do."""
    steps: list[tuple[str, str]] = []
    for line in lines:
        if line.startswith("#"):
            text = line.lstrip("# ")
            steps.append((text[:1].upper() + text[1:], ""))
        elif steps:
            note, before = steps[-1]
            steps[-1] = (note, f"{before}\n{line}" if before else line)
        else:
            steps.append(("Train on the subset:", line))
    return steps


def fit_section(laws: Laws, scale: Scale) -> dict[str, Any]:
    """What the fits say, in tables and sentences; the best law stands first."""
    compared = sorted(laws.comparison, key=lambda score: score.weight, reverse=True)
    return {
        "comparison": [_score_row(score, scale) for score in compared],
        "fits": [_fit_table(fit, weight) for fit, weight in zip(laws.fits, laws.weights, strict=True)],
        "noise": scale.gap(laws.noise),
        "check": check_sentence(laws, scale),
        "status": laws.status,
        "warnings": laws.warnings,
    }


def check_sentence(laws: Laws, scale: Scale) -> str:
    """How well the laws predicted mixes that they never saw, beside predicting the mean; empty without."""
    check = laws.check
    if check.mae is None:
        return ""
    text = f"On check mixes, which the fit never saw, predictions miss by {scale.gap(check.mae)} on average"
    if check.mae_of_mean is not None:
        text += f"; always predicting their mean would miss by {scale.gap(check.mae_of_mean)}"
    return text + "."


def _score_row(score: LawScore, scale: Scale) -> tuple[str, ...]:
    """Law, what it says, parameters, rmse, error on the runs held out, share."""
    held = ABSENT
    if score.heldout_mae is not None:
        held = f"{scale.gap(score.heldout_mae)} ({score.heldout_runs} runs)"
    return (
        score.law,
        LAWS[score.law].about if score.law in LAWS else "",
        str(score.num_parameters) if score.rmse is not None else "more than runs",
        ABSENT if score.rmse is None else scale.gap(score.rmse),
        held,
        percent(score.weight, 0) if score.weight > 0 else ABSENT,
    )


def _fit_table(fit: Fit, weight: float) -> dict[str, Any]:
    """One law with its parameters and its share in the predictions."""
    shared = [
        (
            MEANINGS.get((fit.law, name), PARAMETERS.get(name, name)),
            number_text(value),
            interval_text(fit.intervals.get(name)) or "held",
        )
        for name, value in fit.shared.items()
    ]
    kinds = [OF_POOLS.get(kind, kind) for kind in fit.pools[0].values]
    return {
        "title": f"{fit.law} law, {percent(weight, 0)} of the predictions",
        "about": LAWS[fit.law].about,
        "shared": shared,
        "columns": ["Pool", *kinds, "Half-life measured on", "Whole pool"],
        "pools": [_pool_row(pool) for pool in fit.pools],
        "status": [
            *fit.status,
            *(
                sentence if pool.name in sentence else f"{pool.name}: {sentence}"
                for pool in fit.pools
                for sentence in pool.status
            ),
        ],
    }


def _pool_row(pool: PoolLaw) -> tuple[str, ...]:
    values = (_with_interval(pool, name, value) for name, value in pool.values.items())
    return (pool.name, *values, format_count(pool.num_unique), format_count(pool.pool_samples))


def _with_interval(pool: PoolLaw, name: str, value: float) -> str:
    ends = interval_text(pool.intervals.get(name))
    return f"{number_text(value)} ({ends})" if ends else number_text(value)
