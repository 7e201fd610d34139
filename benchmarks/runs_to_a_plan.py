"""The worked example of docs/runs-to-a-plan.md: seven buckets of DataComp medium, from their runs to a plan.

    python benchmarks/runs_to_a_plan.py --data DIR

Reads DIR/datacomp_clip_buckets.csv (zero-shot ImageNet error of seven buckets of CLIP score, points in the
middle of one training run each), and prints what the page shows: the laws, the plan, a prediction beside the
published result of the same mix, and the next runs. Nothing is tuned to the published result, which is used
for this comparison alone.
"""

import argparse
import time
from pathlib import Path

import thresher as th

BUDGETS = ("32M", "128M", "640M")
TOP_30 = {"clip_top10p": 1, "clip_10p_to_20p": 1, "clip_20p_to_30p": 1}
PUBLISHED_ERROR = 1 - 0.273
"""DataComp medium, top 30% by CLIP L/14 score, ImageNet, 128M samples seen (arXiv 2304.14108, baselines)."""


def main() -> None:
    """Fit, plan and print; see the text of this file."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with datacomp_clip_buckets.csv")
    arguments = parser.parse_args()
    runs = th.read_runs(arguments.data / "datacomp_clip_buckets.csv", error_column="imagenet_error")
    started = time.perf_counter()
    fit = th.fit(runs)
    fitted = time.perf_counter()
    plan = th.plan(fit, budgets=BUDGETS)
    planned = time.perf_counter()
    print(f">>> print(fit)\n{fit}\n\n>>> print(plan)\n{plan}\n")
    print(f"top 30% at 128M, published error {100 * PUBLISHED_ERROR:.1f}%")
    for law in ("auto", *th.LAWS):
        one = fit if law == "auto" else th.fit(runs, law=law)
        found = th.predict(one, TOP_30, "128M", with_noise=True)
        low, error, high = (f"{100 * value:.1f}%" for value in (found.low, found.error, found.high))
        print(f"{law:<17} {error}  {low} to {high}  {100 * (found.error - PUBLISHED_ERROR):+.1f} points")
    print(f"\n>>> print(th.suggest(fit, budgets={list(BUDGETS)}))\n{th.suggest(fit, budgets=BUDGETS)}")
    print(f"\nfit {fitted - started:.1f} s, plan {planned - fitted:.1f} s")


if __name__ == "__main__":
    main()
