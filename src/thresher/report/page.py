"""The page: one self-contained HTML file, with a section for everything the workdir holds."""

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

import thresher
from thresher.data.files.atomic import atomic_path
from thresher.report.chart import SYMBOLS
from thresher.report.figures import (
    figures,
    marks_of_workdir,
    runs_of_metric,
    scale_of_workdir,
    training_scale,
)
from thresher.report.plotly_spec import spec_json
from thresher.report.pool_stats import NUM_SHOWN, rejects, tally
from thresher.report.sections import (
    error_section,
    fit_section,
    gallery_section,
    plan_section,
    read_commands,
    score_section,
    trained_section,
)
from thresher.report.training_section import training_section
from thresher.report.verdict import trained
from thresher.report.wording import Scale
from thresher.report.workdir import Workdir, read_workdir

DASH_ARRAYS = {"solid": "none", "dash": "6 3", "dot": "2 3", "dashdot": "6 3 2 3"}
SYMBOL_PATHS = {
    "circle": "M9 6a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "square": "M9.5 2.5h7v7h-7z",
    "diamond": "M13 1l5 5-5 5-5-5z",
    "triangle-up": "M13 1.5l4.8 8.3H8.2z",
    "triangle-down": "M13 10.5l4.8-8.3H8.2z",
    "pentagon": "M13 1.2l4.8 3.5-1.8 5.6h-6L8.2 4.7z",
    "hexagon": "M10.5 1.7h5L18 6l-2.5 4.3h-5L8 6z",
    "star": "M13 .8l1.3 3.6 3.9.1-3.1 2.4 1.1 3.7-3.2-2.1-3.2 2.1 1.1-3.7-3.1-2.4 3.9-.1z",
}
assert SYMBOL_PATHS.keys() == set(SYMBOLS)


def write_report(
    workdir: Path,
    out: Path,
    *,
    shards: Sequence[str] | None = None,
    title: str = "Thresher report",
    gallery: int = NUM_SHOWN,
) -> Path:
    """Write one self-contained HTML page about a workdir; `out` comes back.

    The same files give the same bytes. A section whose files are missing says so in a sentence.

    Args:
        workdir: The folder of a run, whole or half-finished.
        out: The page to write.
        shards: Where the shards of the pairs lie, if not where the pool table says.
        title: Heading of the page.
        gallery: Pairs shown of each pool.

    Raises:
        InputError: the folder holds nothing to report on, or one of its files cannot be used.
    """
    page = render(read_workdir(Path(workdir)), shards=shards, title=title, gallery=gallery)
    with atomic_path(Path(out)) as temporary:
        temporary.write_bytes(page.encode("utf-8", "replace"))
    return Path(out)


def render(workdir: Workdir, *, shards: Sequence[str] | None, title: str, gallery: int) -> str:
    """The page as text."""
    laws, plan = workdir.laws, workdir.plan
    scale, marks, runs = scale_of_workdir(workdir), marks_of_workdir(workdir), runs_of_metric(workdir)
    counted = tally(workdir, num_shown=gallery)
    charts = figures(workdir, counted)
    tried = trained(runs, plan)
    sections: dict[str, Any] = {
        "plan": None if plan is None else plan_section(plan, scale),
        "trained": trained_section(tried, scale),
        "errors": error_section(runs, laws, scale) if "errors" in charts else None,
        "scores": None if counted is None else score_section(counted),
        "gallery": None if counted is None else gallery_section(counted, marks.ranks, shards),
        "quarantine": rejects(*workdir.quarantine) if workdir.quarantine else None,
        "commands": None if workdir.subset is None else read_commands(workdir.subset, plan),
        "fit": None if laws is None else fit_section(laws, scale),
        "training": training_section(
            workdir.training,
            training_scale(workdir),
            table=workdir.pools_table,
            shards=shards,
            planted=workdir.planted,
            gallery=gallery,
        ),
    }
    return _template().render(
        **sections,
        title=title,
        facts=_facts(workdir, scale),
        charts=charts,
        numbers={name: number for number, name in enumerate(charts, start=1)},
        version=thresher.__version__,
        **_assets(charts=bool(charts)),
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(symbols=SYMBOL_PATHS, dashes=DASH_ARRAYS, spec_json=spec_json)
    return environment.from_string(asset("page.html.jinja"))


def asset(name: str) -> str:
    """The text of a file of the page."""
    return (resources.files("thresher.report") / "assets" / name).read_text(encoding="utf-8")


def _assets(*, charts: bool) -> dict[str, str]:
    """The scripts, the style and the policy that lets these scripts run and nothing be fetched."""
    # The library is read here, since pictures and tables do without it.
    from plotly.offline import get_plotlyjs

    plotly = get_plotlyjs().replace("\r\n", "\n") if charts else ""
    script = asset("page.js")
    hashes = " ".join(f"'sha256-{_sha256(text)}'" for text in (plotly, script) if text)
    policy = (
        f"default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src {hashes}; "
        "base-uri 'none'; form-action 'none'"
    )
    return {"plotly": plotly, "script": script, "style": asset("style.css"), "policy": policy}


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _facts(workdir: Workdir, scale: Scale) -> list[str]:
    facts = []
    if workdir.pools is not None:
        num = sum(workdir.pools.sizes.values())
        facts.append(f"{num:,} pairs in {len(workdir.pools.pools)} pools by {workdir.pools.by}")
    if workdir.runs:
        facts.append(f"{len(workdir.runs)} measured points")
    if workdir.laws is not None:
        others = len(workdir.laws.fits) - 1
        more = f" and {others} other law{'s' if others > 1 else ''}" if others else ""
        facts += [f"{workdir.laws.best.law} law{more}", f"error: {scale.axis[:1].lower()}{scale.axis[1:]}"]
        named = {"model": workdir.laws.model, "recipe": workdir.laws.recipe}
        facts += [f"{key} {value}" for key, value in named.items() if value]
    return facts
