"""Run the fuzzer: `python -m tests.fuzz MINUTES [--seed N] [--kind NAME]`, or one case: `--case tars:17`."""

import argparse
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

KINDS = ("tars", "tables", "sidecars", "pictures", "checkpoints", "lists", "runs")
SEEDS_A_RUN = 10_000_000
AGAIN = "python -m tests.fuzz --case"


def endless(kinds: list[str], seed: int, until: float) -> Iterator[tuple[str, int]]:
    """A case of each kind in turn until the time is over."""
    for number in itertools.count():
        for kind in kinds:
            if time.monotonic() > until:
                return
            yield kind, seed * SEEDS_A_RUN + number


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", nargs="?", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=KINDS)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--case", help="KIND:SEED, to run one case in this process")
    given = parser.parse_args()
    if given.case:
        from tests.fuzz.workers import run_case

        kind, _, seed = given.case.partition(":")
        with tempfile.TemporaryDirectory() as folder:
            fault = run_case(kind, int(seed), Path(folder, "case"))
        print(fault or "no fault")  # noqa: T201
        return int(bool(fault))
    from tests.fuzz.workers import outcomes, summary

    started = time.monotonic()
    cases = endless(given.kind or list(KINDS), given.seed, started + 60 * given.minutes)
    found = []
    for outcome in outcomes(cases, given.workers):
        found.append(outcome)
        if outcome.fault:
            print(f"FAULT {outcome.fault}\n  {AGAIN} {outcome.name}", flush=True)  # noqa: T201
    faults = sum(bool(outcome.fault) for outcome in found)
    for kind, counts in summary(found).items():
        (slow, seconds), (high, memory) = counts["slowest"], counts["highest"]
        print(  # noqa: T201
            f"{kind:12} {counts['cases']:6} cases  {counts['faults']:4} faults  "
            f"slowest {seconds:5.1f} s ({slow})  most memory {memory / 2**20:6.0f} MiB ({high})"
        )
    took = time.monotonic() - started
    print(f"{len(found)} cases, {faults} faults, {took:.0f} s, seed {given.seed}")  # noqa: T201
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
