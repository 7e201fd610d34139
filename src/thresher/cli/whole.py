"""`thresher demo`, `init`, `run` and `report`: the commands about the whole way."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thresher.cli.guard import UNDONE
from thresher.cli.options import ConfigFile, Device, Exclude, Json
from thresher.cli.output import show, show_json
from thresher.cli.progress import sentences
from thresher.errors import InputError

if TYPE_CHECKING:
    from thresher.config import Config, TrainingConfig
    from thresher.pipeline import Outcome


def demo(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder for the pool and all results.")
    ] = Path("demo"),
    seed: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Seed of the pool; a pool of another seed in DIR is refused."),
    ] = 0,
    as_json: Json = False,
) -> None:
    """Make a small web pool and walk the whole way with it.

    Takes minutes on a laptop CPU. Draws procedural scenes with captions (right, vague and wrong ones,
    degraded images, pasted text, repeats), trains a small filter network on a clean part, scores and cuts the
    pool, probes the pools, fits the laws, plans, trains the winners of the smallest and the largest budget at
    both to see whether the plan was right, writes the subset and the report. Since the quality is planted, it
    can say how well each pool was cut.

    Writes DIR with the pool, a config to look at (DIR/config.toml) and the results of every stage. Prints the
    plan and the path of the report. Called again, it goes on where it stopped, and walks the config as you
    have changed it.

    Examples:
        thresher demo
        thresher demo try --seed 1
    """
    from thresher.config import load_config
    from thresher.demo import make_demo, summary
    from thresher.pipeline import run as walk

    with sentences("demo") as progress:
        config = make_demo(folder, seed=seed, progress=progress)
        outcome = walk(load_config(config), progress=progress)
    if as_json:
        show_json(_record(outcome))
    else:
        show(summary(outcome, folder))


def init(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="File to write.")] = Path(
        "config.toml"
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace a file of that name.")] = False,
) -> None:
    """Write a config to start from, with every key explained.

    Every key of every section is there with its meaning and its default. Three sections have to be filled in:
    the shards in [shards], what to measure on in [evaluate], the budgets in [plan]. The rest may stay as it
    is.

    Examples:
        thresher init
        thresher init runs/config.toml
    """
    from thresher.config import commented_config
    from thresher.data.writer import atomic_path

    if config.exists() and not force:
        raise InputError(f"{config} exists already; name another file, or replace it with --force")
    with atomic_path(config) as temporary:
        temporary.write_text(commented_config(), encoding="utf-8")
    show(f"{config}\nfill in [shards], [evaluate] and [plan], then: thresher run {config} --dry-run")


def run(
    config: ConfigFile,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what each stage costs in time, disk and FLOPs, and stop."),
    ] = False,
    device: Device = None,
    exclude: Exclude = None,
    as_json: Json = False,
) -> None:
    """Walk all stages of a config, in order.

    The stages are score, cut, probe, fit, plan, subset, train (where the config has [train]) and report; with
    [filter], a filter network is trained first. Reads the config (see `thresher init`) and the shards it
    names. Writes into its workdir: scores/, pools/, runs.jsonl, laws.json, plan.json, subset/, train/,
    report.html, and quarantine.parquet with every pair that was dropped and the reason. A stage whose results
    are there is not run again; one that was stopped goes on. After a change of the config, what a stage made
    before is set aside as WORKDIR/old-..., and the stage is run anew.

    --dry-run counts the pairs, for which it builds the index of the shards (kept in WORKDIR/cache/index, the
    run needs it too), and times a few steps of each model; it writes nothing else.

    Prints the plan and the path of the report.

    Examples:
        thresher run config.toml --dry-run
        thresher run config.toml
    """
    from thresher.cli.text import estimate_text
    from thresher.display.plan import plan_text

    settings = read_config(config, device=device, exclude=exclude)
    if dry_run:
        from thresher.estimate import estimate

        with sentences("dry run"):
            rows = [asdict(row) for row in estimate(settings)]
        show_json(rows) if as_json else show(estimate_text(rows))
        return

    from thresher.pipeline import run as walk

    with sentences("run") as progress:
        outcome = walk(settings, progress=progress)
    if as_json:
        show_json(_record(outcome))
    else:
        show(f"{plan_text(outcome.plan)}\n\nreport: {outcome.report}")
    if outcome.scores.unreadable:
        raise typer.Exit(UNDONE)


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Workdir of a run, finished or not.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="REPORT.html", help="Page to write.  [default: report.html in DIR]"),
    ] = None,
    shards: Annotated[
        list[str] | None,
        typer.Option(metavar="SHARDS", help="Where the pairs are now, if the shards were moved."),
    ] = None,
    title: Annotated[str, typer.Option(metavar="TEXT", help="Heading of the page.")] = "Thresher report",
    gallery: Annotated[int, typer.Option(min=0, metavar="PAIRS", help="Pairs shown of each pool.")] = 12,
    pictures: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder for the figures as files, too; needs matplotlib."),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(metavar="FORMAT", help="Format of --pictures: svg or png.  [default: svg]"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write one page about a workdir that needs nothing else.

    The page opens without a network. It shows the plan for each budget and where it changes, measured and
    predicted errors with residuals, what a repeated sample is worth, the scores with their cuts, real pairs
    of each pool, what went to the quarantine, the commands that reproduce the subset, and the laws side by
    side. A part whose files are not there says so.

    Reads what DIR holds of scores/, pools/, runs.jsonl, laws.json, plan.json, subset/ and quarantine.parquet,
    and the images of the pairs shown. With --pictures, each figure becomes a file of its own as well:
    plan.svg, frontier.svg, crossovers.svg, errors.svg, residuals.svg, utility.svg, scores.svg.

    Examples:
        thresher report work
        thresher report work --out page.html --gallery 24
        thresher report work --pictures figures --format png
    """
    from thresher.data.shards import expand
    from thresher.report import write_report

    if format is not None and pictures is None:
        raise InputError("--format is that of the picture files; name their folder with --pictures FOLDER")
    drawn: list[Path] = []
    if pictures is not None:
        from thresher.pictures import write_pictures

        drawn = write_pictures(folder, pictures, format=format or "svg")
    page = write_report(
        folder,
        out or folder / "report.html",
        shards=expand(shards) if shards else None,
        title=title,
        gallery=gallery,
    )
    if as_json:
        show_json({"report": str(page), "pictures": [str(path) for path in drawn]})
    else:
        show("\n".join(str(path) for path in (page, *drawn)))


def read_config(path: Path, *, device: str | None, exclude: Path | None) -> "Config":
    """The config in a file, with device and exclude list from the command line.

    Raises:
        InputError: the file cannot be used, or both it and the command line name an exclude list.
    """
    from thresher.config import Config, load_config

    config = with_options(load_config(path), path, device=device, exclude=exclude)
    assert isinstance(config, Config)
    return config


def with_options(
    config: "Config | TrainingConfig", path: Path, *, device: str | None, exclude: Path | None
) -> "Config | TrainingConfig":
    """The config in the file `path`, with device and exclude list from the command line.

    Raises:
        InputError: both it and the command line name an exclude list.
    """
    if device is not None:
        config = config.model_copy(update={"device": device})
    if exclude is None:
        return config
    chosen = one_exclude_list(path, config, exclude.absolute())
    shards = config.shards.model_copy(update={"exclude": chosen})
    return config.model_copy(update={"shards": shards})


def one_exclude_list(
    path: Path | None, config: "Config | TrainingConfig | None", exclude: Path | None
) -> Path | None:
    """The exclude list of the command line, or else of the config in the file `path`.

    Raises:
        InputError: both name one.
    """
    named = config.shards.exclude if config is not None else None
    if named is not None and exclude is not None:
        raise InputError(
            f"{path} names the exclude list {named}, and --exclude another; put all uids into one list"
        )
    return exclude or named


def _record(outcome: "Outcome") -> dict[str, object]:
    from thresher.plans.store import plan_to_record

    return {
        "workdir": str(outcome.workdir),
        "plan": plan_to_record(outcome.plan) if outcome.plan is not None else None,
        "report": str(outcome.report),
    }
