"""What each section of the page shows, in texts and charts ready for the template."""

from collections.abc import Sequence
from typing import Any

from thresher.budget import format_count
from thresher.laws.result import Fit
from thresher.plan import Plan
from thresher.report.chart import pool_mark
from thresher.report.curves import error_chart, plan_chart, predicted
from thresher.report.fitted import check_sentence
from thresher.report.gallery import cards
from thresher.report.histogram import score_chart
from thresher.report.tally import LEFT_OUT, Tally
from thresher.report.verdict import Trained, budgets, order_sentences, summary
from thresher.report.wording import ABSENT, Scale, mix_text, number_text, share_text
from thresher.runs import Run, mix_unique, mix_weights

CLEAN = "clean"


def plan_section(
    plan: Plan, ranks: dict[str, int], tried: list[Trained], fit: Fit | None, scale: Scale
) -> dict[str, Any]:
    """The budgets, the sentences above them and the figure."""
    return {
        "summary": summary(plan),
        "budgets": budgets(plan, scale),
        "status": list(plan.status),
        "chart": plan_chart(plan, ranks, tried, fit, scale),
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


def error_section(
    runs: Sequence[Run], ranks: dict[str, int], fit: Fit | None, scale: Scale
) -> dict[str, Any] | None:
    """The measured points with curves and a table; None without probe runs."""
    chart = error_chart(runs, ranks, fit, scale)
    if chart is None:
        return None
    rows = []
    for run in runs:
        weights, unique = mix_weights(run), mix_unique(run)
        errors = predicted(fit, weights, unique, run.samples_seen)
        rows.append(
            (
                run.run or ABSENT,
                mix_text(weights),
                run.role,
                format_count(sum(unique.values())),
                format_count(run.samples_seen),
                scale.text(run.error),
                scale.text(None if errors is None else float(errors)),
            )
        )
    check = "" if fit is None else check_sentence(fit, scale)
    return {"chart": chart, "rows": rows, "check": check, "has_law": fit is not None}


def score_section(counted: Tally) -> dict[str, Any]:
    """The histogram and the table of pools."""
    labels = _labels(counted)
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
    dropped = [f"{count:,} pairs are in no pool: {reason}." for reason, count in counted.pools.dropped]
    title = "The pools, best first"
    title += ", and how well each was cut: shares of the planted labels." if labels else "."
    return {
        "chart": score_chart(counted, labels),
        "title": title,
        "columns": ["Pool", "Pairs", "Scores", *(label or "no label" for label in labels)],
        "rows": rows,
        "dropped": dropped,
    }


def _labels(counted: Tally) -> list[str]:
    """The planted labels, good pairs first; empty where nothing is planted."""
    found = {label for _, label in counted.counts}
    if found <= {""}:
        return []
    return sorted(found, key=lambda label: (label != CLEAN, label == "", label))


def gallery_section(counted: Tally, ranks: dict[str, int], shards: Sequence[str] | None) -> dict[str, Any]:
    """The cards of each pool, best pool first."""
    made, problems = cards(counted.shown, shards)
    if not any(made.values()):
        problems = ["No pairs were asked for."]
    names = sorted((name for name in made if made[name]), key=lambda name: ranks[name])
    colours = {name: pool_mark(ranks[name]).colour[1:] for name in names}
    pools = [{"name": name, "colour": colours[name], "cards": made[name]} for name in names]
    return {"pools": pools, "problems": problems}
