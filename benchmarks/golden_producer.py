"""The commands whose results `golden.py` compares, each in a process of its own, one after the other.

    PYTHONPATH=src python -P benchmarks/golden_producer.py DIR [--quick]

Writes inputs into DIR/in, results beside it, and into DIR/said what every command printed and its exit code.
Uses `python -m thresher.cli` and `import thresher` alone. The processes are forked from this one, which has
loaded what others wrote and takes long to load, and nothing of the package. One thread, one core; after every
command all files get one modification time, since stages remember those of what they read.
"""

import argparse
import contextlib
import importlib
import os
import runpy
import shlex
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

SLOW_TO_LOAD = (
    *("torch", "open_clip", "scipy.optimize", "scipy.special", "pyarrow.parquet", "pyarrow.compute"),
    *("pydantic", "typer", "rich.progress", "jinja2", "plotly", "PIL.Image", "fsspec"),
)
"""Modules of others that are loaded before a process is forked."""

COMMANDS = (
    *("demo", "init", "run", "score", "embed", "score-embedded", "filter-network", "import-scores"),
    *("import-embeddings", "combine", "dedup", "balance", "softcap", "cut", "probe", "import", "fit"),
    *("predict", "plan", "subset", "train", "picks", "evaluate", "report"),
)
TINY = "--device cpu --batch-size 16"
CONFIG = """
workdir = "{work}"
device = "cpu"
[shards]
paths = ["in/pool/{{00000..00002}}.tar"]
exclude = "in/exclude.txt"
{filter}
[score]
scorers = {scorers}
workers = 0
[cut]
by = "{by}"
edges = {edges}
[probe]
model = "thresher-tiny-32"
samples = [32, 64]
fractions = [1.0, 0.5]
batch_size = 16
jobs = 1
precision = "fp32"
flip = true
{probe}
[evaluate]
zeroshot = ["in/test/*.tar"]
retrieval = ["in/test/*.tar"]
templates = ["a {{}}", "a photo of a {{}}."]
[fit]
bootstrap = 6
[plan]
budgets = [64, 160]
weights = "{weights}"
[subset]
format = "{format}"
[report]
gallery = 3
title = "Golden"
{train}
"""
TRAIN = """
[train]
model = "{model}"
batch_size = 16
samples_seen = {samples}
workers = 0
warmup = 0.2
precision = "fp32"
crop = 2
"""
FILTER = """
[filter]
shards = ["in/curated"]
model = "thresher-tiny-32"
samples_seen = 96
batch_size = 16
"""
CONFIGS = {
    "whole": {
        "work": "whole", "filter": FILTER, "scorers": '["clip", "caption"]', "by": "clip",
        "edges": "[0.35, 0.7, 1]", "probe": "verify = true", "weights": "both", "format": "shards",
        "train": TRAIN.format(model="thresher-tiny-32", samples=64),
    },
    "stages": {
        "work": "stages", "filter": "", "scorers": '["caption"]', "by": "caption_score", "probe": "crop = 1",
        "edges": "[0.5, 1]", "weights": "subsets", "format": "npy", "train": "",
    },
}  # fmt: skip
ALONE = """
workdir = "{work}"
device = "cpu"
[shards]
paths = ["in/pool"]
[evaluate]
zeroshot = ["in/test/*.tar"]
"""

STAGES = f"""
score-rules      score in/pool --out s/rules --scorer caption --scorer basic --scorer image
score-again      score in/pool --out s/rules --scorer caption --scorer basic --scorer image --json
score-damaged    score 'in/damaged/*.tar' --out s/damaged --scorer caption \
                 --scorer image:feature=sharpness --json
score-folder     score in/files/images --out s/folder --scorer caption --workers 0
score-csv        score in/files/pairs.csv --out s/csv --scorer image:feature=aspect,as=aspect --workers 0
score-parquet    score in/files/pairs.parquet --out s/parquet --scorer image:feature=entropy --workers 0
filter-network   filter-network in/curated --samples-seen 192 --model thresher-tiny-32 {TINY} --lr 2e-3 \
                 --out network
score-clip       score in/pool --out s/clip \
                 --scorer clip:model=thresher-tiny-32,pretrained=network/open_clip_pytorch_model.bin \
                 --scorer dfn:network=network --scorer basic {TINY} --exclude in/exclude.txt --workers 0
embed            embed in/pool --model local-dir:network --out e/pool {TINY} --precision fp32 --workers 0
embed-again      embed in/pool --model local-dir:network --out e/pool {TINY} --precision fp32 --workers 0 \
                 --json
embed-test       embed in/test --model local-dir:network --out e/test {TINY} --precision fp32 --workers 0 \
                 --dtype int8
score-embedded   score-embedded e/pool --out s/embedded --scorer clip --scorer s-clip-loss:batch=64 \
                 --scorer normsim:target=e/test --json
score-normsim    score-embedded e/pool --out s/normsim --scorer normsim:target=e/test,p=2,as=near
import-scores    import-scores in/metadata --out s/imported --column clip_l14_similarity_score \
                 --rule basic --carry sha256
import-shards    import-scores in/metadata --out s/known --column clip=clip_l14_similarity_score \
                 --shards in/pool --first --json
import-l14       import-embeddings in/metadata --out e/l14
import-b32       import-embeddings in/metadata --vectors b32 --dtype int8 --shards in/pool --out e/b32 --json
combine-rank     combine s/rules s/embedded --columns caption_score,clip,s_clip_loss --out s/rank
combine-product  combine s/clip --columns clip,basic --method product --name kept --out s/product --json
combine-learned  combine s/clip s/rules --columns clip,dfn,caption_score --labels in/labels.tsv \
                 --out s/learned
combine-model    combine s/clip s/rules --model s/learned/model.json --out s/applied --json
dedup            dedup in/pool --out d/plain
dedup-scored     dedup in/pool --scores s/rules --by caption --embeddings e/pool --similarity 0.999 \
                 --exclude-near in/test --workers 0 --out d/all --json
balance          balance e/pool --size 120 --clusters 12,4 --levels 2 --out b/balanced
balance-json     balance e/pool --size 200 --repeats 2 --vectors text --levels 1 --format parquet \
                 --seed 1 --out b/text --json
softcap          softcap s/clip --by clip --size 300 --temperature 0.05 --out b/capped
softcap-json     softcap s/rules --by caption --size 150 --batch 30 --format parquet --out b/rules --json
cut              cut s/rank --by combined --edges 0.2,0.5,1 --out p/rank
cut-thresholds   cut s/clip --by clip --thresholds 0.1,0,-0.1 --keep 'basic>=1' --out p/thresholds --json
cut-shards       cut s/imported --by clip_l14_similarity_score --edges 0.3,0.6 --shards in/pool \
                 --index index --out p/shards
"""
"""From pairs to pools, a line a command: the name of what it says, and the call."""

RUNS = """
import-open-clip import in/foreign/logs --format open_clip --pool 'top*=best' --pool rest --unique 12.8M \
                 --out r/open_clip.jsonl
import-all       import in/foreign/logs --format open_clip --pool best --unique 1M --all-points \
                 --out r/points.jsonl --json
import-datacomp  import in/foreign/evals --format datacomp --pool 0-30% --unique 38.4M --out r/datacomp.jsonl
import-wandb     import in/foreign/chart.csv --format wandb --metric 1-val/acc1 --samples-per-step 4096 \
                 --facts in/foreign/facts.csv --out r/wandb.jsonl --json
import-table     import in/foreign/table.csv --format table --metric val_loss \
                 --column samples_seen=tokens --column unique_samples=unique --column run=name \
                 --column pool=data --final --out r/table.jsonl
fit              fit in/runs.jsonl --bootstrap 12 --out l/auto.json
fit-json         fit in/runs.csv --bootstrap 4 --seed 3 --out l/csv.json --json
fit-profile      fit in/runs.jsonl --law utility --intervals profile --fix d=0.1 --bootstrap 0 \
                 --out l/profile.json
fit-own          fit in/runs.jsonl --law utility --own d --bootstrap 4 --out l/own.json
fit-sized        fit in/sized.jsonl --law utility --bootstrap 4 --out l/sized.json --json
predict          predict l/auto.json --mix best --mix 'best + middle' --mix '0.7 x best + 0.3 x rest' \
                 --budget 4M --budget 64M --with-noise
predict-json     predict l/auto.json --mix 'middle + rest' --budget 16M --json
predict-known    predict in/known.json --mix best --mix middle --budget 32M --form published
plan             plan l/auto.json --budget 2M --budget 16M --budget 128M --out n/plan.json
plan-both        plan l/utility.json --budget 64M --budget 4M --weights both --tolerance 0.002 \
                 --out n/both.json --json
plan-flops       plan l/auto.json --budget 1e18FLOPs --weights continuous --runs in/runs.jsonl \
                 --out n/flops.json
plan-hours       plan l/auto.json --budget 10gpu-h --device-flops A100 --mfu 0.4 --out n/hours.json
plan-params      plan l/sized.json --budget 16M --params 151M --flops-per-sample thresher-tiny-32 \
                 --out n/sized.json
"""
LAWS = ("utility", "harmful", "effective-data", "data-constrained", "saturating", "bounded", "power")
SLOW_LAWS = ("harmful", "saturating", "bounded")

TRAINING = """
init             init init.toml
run-dry          run whole.toml --dry-run --json
run              run whole.toml
run-again        run whole.toml --json
report           report whole --out whole/other.html --gallery 2 --title Another
stages-score     score 'in/pool/{00000..00002}.tar' --exclude in/exclude.txt --scorer caption \
                 --out stages/scores --workers 0
stages-cut       cut stages/scores --by caption --edges 0.5,1 --exclude in/exclude.txt --out stages/pools
stages-probe     probe stages/pools --config stages.toml --out stages/runs.jsonl
stages-probe-two probe stages/pools --config stages.toml --jobs 2 --fraction 1 --seed 3 \
                 --out stages/seeds.jsonl --work stages/seeds --json
stages-fit       fit stages/runs.jsonl --pools stages/pools --bootstrap 50 --out stages/laws.json
stages-plan      plan stages/laws.json --pools stages/pools --budget 64 --budget 400 --flops-per-pair 1e6 \
                 --out stages/plan.json
suggest          probe stages/pools --suggest --laws stages/laws.json --budget 64 --budget 400
suggest-json     probe stages/pools --suggest --laws stages/laws.json --config stages.toml --json
subset-npy       subset stages/plan.json --budget 400 --pools stages/pools --out stages/subset
subset-parquet   subset stages/plan.json --budget 64 --pools stages/pools --out u/parquet \
                 --format parquet --json
subset-shards    subset stages/plan.json --budget 400 --pools stages/pools --out u/shards --format shards \
                 --shards in/pool --pairs-per-shard 50 --workers 0 --exclude in/exclude.txt
subset-workers   subset stages/plan.json --budget 64 --pools stages/pools --out u/two --format shards \
                 --shards in/pool --candidate 50-100% --index index
report-stages    report stages --pictures stages/pictures --json
train-uniform    train flat.toml --out t/uniform
train-joint      train flat.toml --out t/joint --select joint --reference e/pool --filter-ratio 0.5 --chunks 4
train-gain       train flat.toml --out t/hard --select independent --criterion hard-learner --gain 4 \
                 --filter-ratio 0.6 --json
train-flexi      train patched.toml --out t/flexi --select joint --reference e/pool --flexi 8 --low-share 0.25
train-rho        train patched.toml --out t/rho --loss rho --reference e/pool
train-clip       train patched.toml --out t/clip --loss clip --select joint --reference local-dir:network \
                 --criterion easy-reference
picks            picks t/joint --out b/picks
picks-parquet    picks t/flexi --out b/flexi --format parquet --json
evaluate         evaluate t/uniform --config whole.toml
evaluate-file    evaluate t/joint/open_clip_pytorch_model.bin --model thresher-tiny-32 --data in/test \
                 --task retrieval --task zeroshot --json
demo             demo demo
demo-pool        demo drawn
"""

MISTAKES = """
no-shards        score in/absent.tar --out x --scorer caption
no-scorer        score in/pool --out x --scorer captoin
no-option        score in/pool --out x --scorer image:feature=sharpnes
other-scorer     score in/pool --out s/rules --scorer caption
no-column        cut s/rules --by clip --edges 0.5 --out x
bad-edges        cut s/rules --by caption --edges 0.5,x --out x
no-law           fit in/runs.csv --law cubic --out x.json
no-pool          predict in/known.json --mix gone --budget 1M
no-budget        plan in/known.json --budget many --out x.json
no-reference     train flat.toml --select joint --out x
no-laws          probe p/rank --suggest --budget 1M
no-config        run absent.toml
bad-config       run bad.toml --dry-run
"""

SLOW = (
    *("run-dry", "stages-probe-two", "train-gain", "train-rho", "train-clip", "report-stages", "fit-own"),
    *("fit-profile", "plan-hours", "demo", "demo-pool"),
)
"""Lines that `--quick` leaves out, besides `SLOW_LAWS`; `demo-pool` draws the pool and refuses the config."""


def main() -> None:
    """Write the inputs and run everything; see the text of this file."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("out", type=Path, help="folder to write into; has to be empty")
    parser.add_argument("--quick", action="store_true", help="leave out what takes longest")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for name in SLOW_TO_LOAD:
        importlib.import_module(name)
    sys.path.append(str(Path(__file__).parent))
    inputs = importlib.import_module("golden_inputs")
    sys.path.pop()
    arguments.out.mkdir(parents=True, exist_ok=True)
    os.chdir(arguments.out)
    inputs.write_inputs(Path("in"))
    inputs.write_demo(Path("demo"))
    write_configs()
    Path("said").mkdir()
    for name, action in actions(quick=arguments.quick):
        started, busy = time.perf_counter(), os.times().children_user
        in_fork(Path("said") / name, action)
        inputs.set_times(Path())
        busy = os.times().children_user - busy
        print(f"{time.perf_counter() - started:7.2f} s, {busy:6.2f} s of a core  {name}", flush=True)


def actions(*, quick: bool) -> list[tuple[str, Callable[[], None]]]:
    """What is run, in order, by the name of the file that it prints into."""
    lines = [line.split(maxsplit=1) for text in (STAGES, RUNS) for line in text.strip().splitlines()]
    place = next(place for place, (name, _) in enumerate(lines) if name == "plan")
    lines[place:place] = [
        [f"fit-{law}", f"fit in/runs.jsonl --law {law} --bootstrap 4 --out l/{law}.json"]
        for law in LAWS if not (quick and law in SLOW_LAWS)
    ]  # fmt: skip
    lines += [line.split(maxsplit=1) for text in (TRAINING, MISTAKES) for line in text.strip().splitlines()]
    found: list[tuple[str, Callable[[], None]]] = [("help", every_help)]
    found += [
        (name, lambda call=call: command(*shlex.split(call)))
        for name, call in lines if not (quick and name in SLOW)
    ]  # fmt: skip
    return [*found, ("api", api)]


def in_fork(said: Path, action: Callable[[], None]) -> None:
    """Do something in a process of its own, and keep what it says and its exit code."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        for name, stream in (("out", sys.stdout), ("err", sys.stderr)):
            with said.with_suffix(f".{name}").open("wb") as file:
                os.dup2(file.fileno(), stream.fileno())
        code = 0
        try:
            action()
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else int(left.code is not None)
        except BaseException:  # noqa: BLE001 - a traceback is what the command says
            traceback.print_exc()
            code = 1
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    said.with_suffix(".code").write_text(f"{code}\n")


def command(*words: str) -> None:
    """`python -m thresher.cli` with these words, in this process."""
    sys.argv = ["thresher", *words]
    runpy.run_module("thresher.cli", run_name="__main__", alter_sys=True)


def every_help() -> None:
    """The version, the overview, and the page of every command."""
    for words in (("--version",), ("--help",), *((name, "--help") for name in COMMANDS)):
        print(f"== {' '.join(words)}", flush=True)
        with contextlib.suppress(SystemExit):
            command(*words)


def api() -> None:
    """The planning side as a notebook uses it."""
    import thresher as th

    print(*sorted(th.__all__), sep="\n")
    runs = th.read_runs("in/runs.jsonl")
    fitted = th.fit(runs, law="utility", num_draws=40)
    planned = th.plan(fitted, budgets=["4M", 64_000_000, "1e18FLOPs"])
    predicted = th.predict(fitted, {"best": 2, "rest": 1}, "16M", with_noise=True)
    suggested = th.suggest(fitted, budgets="64M")
    for result in (fitted, planned, predicted, suggested):
        print(f"{result!r}\n{result}\n{result._repr_html_()}")
    print(
        float(predicted), list(suggested), th.parse_count("1.5B"), th.DEVICES, th.Price(flops_per_sample=1e9)
    )
    imported = th.import_runs(
        ["in/foreign/evals"], format="datacomp", supply={"pool": "a", "unique_samples": "1M"}
    )
    print(imported, th.append_runs("r/api.jsonl", imported))
    th.save_laws("l/api.json", fitted)
    th.save_plan("n/api.json", planned)
    print(th.load_laws("l/api.json") == fitted, str(th.load_plan("n/api.json")) == str(planned))
    for wrong in (lambda: th.parse_count("many"), lambda: th.predict(fitted, {"gone": 1}, "1M")):
        try:
            wrong()
        except th.InputError as error:
            print(error)
    if importlib.util.find_spec("polars"):
        for result in (fitted, planned, suggested):
            print(result.to_polars().to_dicts())


def write_configs() -> None:
    """The configs of the commands; one cannot be walked, so that `demo` ends once the pool is drawn."""
    for name, values in CONFIGS.items():
        Path(f"{name}.toml").write_text(CONFIG.format(**values))
    for name, model in (("flat", "thresher-tiny-32"), ("patched", "thresher-tiny-vit-32")):
        train = TRAIN.format(model=model, samples=192)
        Path(f"{name}.toml").write_text(ALONE.format(work=f"t/work-{name}") + train)
    bad = CONFIG.format(**CONFIGS["stages"]).replace("bootstrap", "bootstraps")
    for path in (Path("bad.toml"), Path("drawn/config.toml")):
        path.parent.mkdir(exist_ok=True)
        path.write_text(bad)
    walked = CONFIG.format(
        **CONFIGS["whole"] | {"work": ".", "edges": "[0.5, 1]", "train": "", "format": "npy"}
    )
    for old, new in (
        *(("in/pool/{00000..00002}.tar", "pool"), ("in/curated", "curated"), ("in/test/*.tar", "test")),
        *(("verify = true", ""), ('exclude = "in/exclude.txt"', "")),
    ):
        walked = walked.replace(old, new)
    Path("demo/config.toml").write_text(walked)


if __name__ == "__main__":
    main()
