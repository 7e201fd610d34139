"""What `golden.py` runs: the calls, a line each, and their configs.

A line has the name of the file that the call prints into, and its words. The lists are in order: a call reads
what earlier ones wrote.
"""

from pathlib import Path

TINY = "--device cpu --batch-size 16"
WEIGHTS = "pretrained=network/open_clip_pytorch_model.bin"
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
SCHEDULE = """
select = "joint"
reference = "e/pool"
reuse_scoring = true
filter_ratio = 0.75
filter_ratio_end = 0.5
select_from = 32
select_to = 144
chunks = 2
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
                 --scorer clip:model=thresher-tiny-32,{WEIGHTS} \
                 --scorer dfn:network=network --scorer basic {TINY} --exclude in/exclude.txt --workers 0
score-text       score in/lettered --out s/text --scorer tmars:model=thresher-tiny-32,{WEIGHTS},side=256 \
                 --scorer text_free:side=256 --scorer laion:model=thresher-tiny-32,{WEIGHTS} --device cpu
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
import-retrieval import-embeddings in/retrieval --model ViT-B-32 --shards in/pool --scale 50 --out e/retrieval
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
fit-utility      fit in/runs.jsonl --law utility --bootstrap 4 --out l/utility.json
fit-harmful      fit in/runs.jsonl --law harmful --bootstrap 4 --out l/harmful.json
fit-effective    fit in/runs.jsonl --law effective-data --bootstrap 4 --out l/effective.json
fit-constrained  fit in/runs.jsonl --law data-constrained --bootstrap 4 --out l/constrained.json
fit-saturating   fit in/runs.jsonl --law saturating --bootstrap 4 --out l/saturating.json
fit-bounded      fit in/runs.jsonl --law bounded --bootstrap 4 --out l/bounded.json
fit-power        fit in/runs.jsonl --law power --bootstrap 4 --out l/power.json
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
train-schedule   train scheduled.toml --out t/scheduled
train-subset     train subset.toml
train-two        two train flat.toml --out t/two --select joint --reference e/pool --filter-ratio 0.5
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
    *("fit-profile", "plan-hours", "demo", "demo-pool", "score-text", "train-schedule", "train-two"),
    *("train-subset", "fit-harmful", "fit-saturating", "fit-bounded", "import-retrieval"),
)
"""Calls that `--quick` leaves out; `demo-pool` draws the whole pool and then refuses the config."""


def calls(*, quick: bool) -> list[tuple[str, str]]:
    """The calls in order: where each prints, and its words."""
    lines = "".join((STAGES, RUNS, TRAINING, MISTAKES)).split("\n")
    named = [(name, words) for name, _, words in (line.partition(" ") for line in lines) if name]
    return [(name, words) for name, words in named if not (quick and name in SLOW)]


def write_configs() -> None:
    """The configs of the commands; one cannot be walked, so that `demo` ends once the pool is drawn."""
    for name, values in CONFIGS.items():
        Path(f"{name}.toml").write_text(CONFIG.format(**values))
    for name, model, work, more in (
        ("flat", "thresher-tiny-32", "t/work-flat", ""),
        ("patched", "thresher-tiny-vit-32", "t/work-patched", ""),
        ("scheduled", "thresher-tiny-vit-32", "t/work-patched", SCHEDULE),
        ("subset", "thresher-tiny-32", "stages", ""),
    ):
        train = TRAIN.format(model=model, samples=192)
        train = (
            train.replace("crop = 2", "") if more else train
        )  # its scores are those of the pairs as they are
        Path(f"{name}.toml").write_text(ALONE.format(work=work) + train + more)
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
