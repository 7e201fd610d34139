"""A small pool cut by caption, a recipe of a few steps, and an evaluation set: what probes need.

`python -m tests.probing MOMENT NUMBER JOBS SOURCE OUT` probes it and waits to be killed at the NUMBERth call
of MOMENT: `trace` (a few steps are done), `line` (of the ledger) or `progress` (a run is finished); at `end`
it comes to its end.
"""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import thresher.planning.runs.ledger
from tests.killing import wait_for_kill
from tests.models.small import VIT
from thresher.curate.pools.cut import cut
from thresher.curate.pools.record import Pools, load_pools
from thresher.models.evaluation.settings import Evaluate
from thresher.pipeline.synthetic import QUALITIES, draw_pairs, write_shards
from thresher.planning.runs.record import Run
from thresher.scores.registry import parse_scorer
from thresher.scores.score import score_shards
from thresher.train import journal, loop
from thresher.train.probe import trials
from thresher.train.probe.stage import open_bench, plan_trials, recipe_of
from thresher.train.probe.trials import Trial, TrialContext, run_trials
from thresher.train.settings import Probe

trial_worker = trials.trial_worker  # in processes that know the model of the tests
trials.WORKER = "tests.probing:trial_worker"

PROBE = Probe(
    model=VIT,
    samples=(80, 160),
    fractions=(1.0, 0.5),
    batch_size=16,
    jobs=1,
    precision="fp32",
    flip=True,
)


def make_source(folder: Path) -> Path:
    """Shards, pools of 80 and 120 pairs, and labelled images, in one folder."""
    write_shards(folder / "pool", draw_pairs(200, 5, QUALITIES), prefix="pool", pairs_per_shard=120)
    write_shards(folder / "test", draw_pairs(40, 6, {"clean": 1.0}), prefix="test")
    score_shards(shards(folder), folder / "scores", [parse_scorer("caption")], workers=0)
    cut(folder / "scores", by="caption", out=folder / "pools", edges=(0.4, 1.0))
    return folder


def shards(folder: Path) -> list[str]:
    return sorted(map(str, (folder / "pool").glob("*.tar")))


def evaluation(folder: Path) -> Evaluate:
    names = tuple(sorted(map(str, (folder / "test").glob("*.tar"))))
    return Evaluate(zeroshot=names, retrieval=names, metric="zeroshot_error", templates=("a {}",))


def probe(
    source: Path, out: Path, settings: Probe = PROBE, progress: Callable[[str], None] | None = None
) -> list[Run]:
    """Run the probes, a thread each; the ledger is OUT/runs.jsonl."""
    bench, planned, _ = open_small_bench(source, out, settings)
    return run_trials(bench, planned, out / "runs.jsonl", jobs=settings.jobs or 1, progress=progress)


def open_small_bench(
    source: Path, out: Path, settings: Probe = PROBE
) -> tuple[TrialContext, list[Trial], Pools]:
    pools = load_pools(source / "pools")
    planned = plan_trials(pools.names, settings, (), pools.sizes)
    bench = open_bench(
        pools,
        shards(source),
        recipe=recipe_of(planned, settings),
        probe=settings,
        evaluate=evaluation(source),
        work=out,
        device="cpu",
    )
    return dataclasses.replace(bench, threads=1), planned, pools


def main(moment: str, number: int, jobs: int, source: Path, out: Path) -> None:
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            wait_for_kill()

    def counted(function: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: object, **named: object) -> None:
            function(*arguments, **named)
            count()

        return call

    assert loop.train.__kwdefaults__ is not None
    loop.train.__kwdefaults__["checkpoint_seconds"] = 0.0
    if moment == "trace":
        journal.append_line = counted(journal.append_line)
    if moment == "line":
        thresher.planning.runs.ledger.append_jsonl = counted(thresher.planning.runs.ledger.append_jsonl)
    settings = PROBE.model_copy(update={"jobs": jobs})
    probe(source, out, settings, count if moment == "progress" else None)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), Path(sys.argv[5]))
