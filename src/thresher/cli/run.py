"""`thresher run`: every stage of a config, in order."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from thresher.cli.options import ConfigFile, Device, Exclude, Json, flag, with_options
from thresher.cli.progress import sentences
from thresher.cli.text import answer

if TYPE_CHECKING:
    from thresher.pipeline.run import Outcome


def run(
    config: ConfigFile,
    dry_run: Annotated[
        bool, flag("--dry-run", "Say what each stage costs in time, disk and FLOPs, and stop.")
    ] = False,
    device: Device = None,
    exclude: Exclude = None,
    as_json: Json = False,
) -> None:
    """Run all stages of a config, in order.

    The stages are score, cut, probe, fit, plan, subset, train (where the config has [train]) and report; with
    [filter], a filter network is trained first. Reads the config (see `thresher init`) and the shards it
    names. Writes into its workdir: scores/, pools/, runs.jsonl, laws.json, plan.json, subset/, train/,
    report.html, and quarantine.parquet with every dropped pair and the reason. A finished stage is not run
    again; one that was stopped continues. After a change of the config, the old results of a stage are set
    aside as WORKDIR/old-..., and the stage is run again.

    --dry-run builds the index of the shards to count the pairs, and times a few steps of each model. It
    writes only the index (WORKDIR/cache/index), which the run needs too.

    Prints the plan and the path of the report.

    Examples:
        thresher run config.toml --dry-run
        thresher run config.toml
    """
    from thresher.cli.text import estimate_text
    from thresher.pipeline.config import load_config
    from thresher.planning.plans.plan import plan_text

    settings = with_options(load_config(config), config, device=device, exclude=exclude)
    if dry_run:
        from thresher.pipeline.estimate import estimate

        with sentences("dry run"):
            rows = [asdict(row) for row in estimate(settings)]
        answer(rows, estimate_text(rows), as_json)
        return

    from thresher.pipeline.run import run as walk

    with sentences("run") as progress:
        outcome = walk(settings, progress=progress)
    text = f"{plan_text(outcome.plan)}\n\nreport: {outcome.report}"
    answer(_record(outcome), text, as_json, undone=bool(outcome.scores.unreadable))


def _record(outcome: "Outcome") -> dict[str, object]:
    from thresher.planning.plans.plan import plan_to_record

    return {
        "workdir": str(outcome.workdir),
        "plan": plan_to_record(outcome.plan),
        "report": str(outcome.report),
    }
