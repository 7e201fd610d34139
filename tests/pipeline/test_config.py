"""Settings: what a file may hold, and what it is told when it holds something else."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from thresher.budget import Price
from thresher.errors import InputError
from thresher.models.evaluation.settings import ERRORS, Evaluate
from thresher.pipeline.config import Config, commented_config, load_config, load_training_config, sections
from thresher.planning.settings import Plan
from thresher.scores.settings import Score, Shards
from thresher.train.settings import Probe, TrainingConfig

SMALLEST = """
[shards]
paths = ["pool/{00..09}.tar"]
[evaluate]
zeroshot = ["eval.tar"]
[plan]
budgets = ["32M", "1.5B"]
"""
WEIGHTS = '[score]\nscorers = ["clip:pretrained=mine.pt", "caption"]\n'
SMALLEST += WEIGHTS

Load = Callable[[str], Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def write_and_load(text: str) -> Config:
        path = tmp_path / "config.toml"
        path.write_text(text, encoding="utf-8")
        return load_config(path)

    return write_and_load


def turned_on(text: str) -> str:
    """The text with every key and section that is off turned on."""
    return re.sub(r"(?m)^#(?=[\[a-z])", "", text)


def test_the_smallest_config_names_pool_evaluation_and_budgets(load: Load) -> None:
    config = load(SMALLEST)
    assert config.plan.budgets == (32_000_000, 1_500_000_000)
    assert config.cut.edges == (0.1, 0.2, 0.3, 0.4)
    assert config.filter is None
    assert config.train is None


def test_counts_are_integers_however_they_are_written(load: Load) -> None:
    config = load(SMALLEST.replace('["32M", "1.5B"]', '["32M", "4e7", 4e7, 12800]'))
    assert config.plan.budgets == (32_000_000, 40_000_000, 40_000_000, 12_800)


PRICED = SMALLEST.replace('["32M", "1.5B"]', '["32M", "1e18FLOPs", "100gpu-h"]')


def test_budgets_are_flops_and_gpu_hours_where_the_plan_has_their_price(load: Load) -> None:
    price = 'flops_per_sample = "10 GFLOPs"\ndevice_flops = "a100"\nmfu = 0.5\n'
    for keys in (price, price.replace('"10 GFLOPs"', "1e10").replace('"a100"', "312e12")):
        config = load(PRICED.replace("budgets", keys + "budgets") + '[subset]\nbudget = "1e18FLOPs"')
        assert config.plan.budgets == (32_000_000, 100_000_000, 5_616_000_000)
        assert config.subset.budget == 100_000_000
        assert config.plan.price == Price(flops_per_sample=1e10, device_flops=312e12, mfu=0.5)
    plan = Plan(flops_per_sample=1e10, budgets=("1e18FLOPs",))
    assert plan.budgets == (100_000_000,)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ("", r"budgets\[1\] = .*'1e18FLOPs' needs the FLOPs of one sample .* flops_per_sample in \[plan\]"),
        ("flops_per_sample = 1e10\n", r"budgets\[2\] = .* needs the peak FLOP/s .* device_flops in \[plan\]"),
        ('device_flops = "A1000"\n', r"\[plan\] device_flops = \"A1000\": there is no device 'A1000'; give"),
        (
            'flops_per_sample = "many"\n',
            r"\[plan\] flops_per_sample = \"many\": 'many' is no number of FLOPs",
        ),
    ],
)
def test_a_budget_without_a_price_names_the_key(load: Load, keys: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        load(PRICED.replace("budgets", keys + "budgets"))


@pytest.mark.parametrize(
    ("budget", "sentence"),
    [
        ("1e18FLOPs", r"\[subset\] budget = \"1e18FLOPs\": '1e18FLOPs' needs the FLOPs of one sample"),
        ("12,8M", r"\[subset\] budget = \"12,8M\": '12,8M' is not a count; .* write a decimal point"),
    ],
)
def test_a_budget_of_the_subset_that_cannot_be_read_is_named(load: Load, budget: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        load(SMALLEST + f'[subset]\nbudget = "{budget}"')


def test_relative_paths_are_taken_from_the_folder_of_the_config(load: Load, tmp_path: Path) -> None:
    text = SMALLEST.replace(
        '["pool/{00..09}.tar"]', '["../a.tar::b.tar", "/far/c.tar", "filecache::s3://bucket/{0..9}.tar"]'
    )
    config = load(text.replace("[evaluate]", 'exclude = "uids.txt"\n[evaluate]'))
    assert config.shards.paths == (
        f"{tmp_path.parent / 'a.tar'}::{tmp_path / 'b.tar'}",
        "/far/c.tar",
        "filecache::s3://bucket/{0..9}.tar",
    )
    assert config.shards.exclude == tmp_path / "uids.txt"
    assert config.workdir == tmp_path / "work"


def test_paths_do_not_depend_on_the_current_folder(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_elsewhere = load(SMALLEST)
    monkeypatch.chdir(tmp_path)
    assert load_config("config.toml") == from_elsewhere


def test_models_and_weights_are_files_beside_the_config_where_there_are_such(
    load: Load, tmp_path: Path
) -> None:
    (tmp_path / "mine.pt").touch()
    config = load(SMALLEST + '[probe]\nmodel = "local-dir:tiny"\n[train]\nmodel = "ViT-B-32"')
    assert config.score.scorers == (f"clip:pretrained={tmp_path / 'mine.pt'}", "caption")
    assert config.probe.model == f"local-dir:{tmp_path / 'tiny'}"
    assert config.train is not None
    assert config.train.model == "ViT-B-32"


def test_a_filter_network_is_a_folder_beside_the_config(load: Load, tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    scorers = '["dfn:network=net", "dfn:network=local-dir:net,as=again"]'
    config = load(SMALLEST.replace(WEIGHTS, f'[score]\nscorers = {scorers}\n[cut]\nby = "dfn"\n'))
    assert config.score.scorers == (
        f"dfn:network={tmp_path / 'net'}",
        f"dfn:network=local-dir:{tmp_path / 'net'},as=again",
    )


def test_settings_cannot_be_changed_after_loading(load: Load) -> None:
    config = load(SMALLEST)
    with pytest.raises(ValidationError, match="frozen"):
        config.probe.lr = 1.0


def test_sections_can_be_made_in_python_without_a_file() -> None:
    config = Config(
        shards=Shards(paths=("a.tar",)),
        evaluate=Evaluate(zeroshot=("b.tar",)),
        plan=Plan(budgets=(1000,)),
        score=Score(scorers=("clip:pretrained=laion2b_s34b_b79k",)),
        probe=Probe(checks=({"0-10%": 1},), seeds=(0, 1)),
    )
    assert config.shards.paths == ("a.tar",)
    assert config.probe.checks == ({"0-10%": 1.0},)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("[probe]\nbatchsize = 64", r"unknown key 'batchsize' in \[probe\]; did you mean 'batch_size'\?"),
        ("[probe]\nedges = [0.1]", r"unknown key 'edges' in \[probe\]; it belongs to \[cut\]"),
        ("[probe]\nzzz = 1", r"unknown key 'zzz' in \[probe\]; known are model, targets"),
        ("[prob]\nlr = 1", r"unknown section or key 'prob'; did you mean 'probe'\?"),
        ('[probe]\nlr = "0.1"', r"\[probe\] lr = \"0.1\": input should be a valid number"),
        ("[probe]\nlr = nan", r"\[probe\] lr = NaN: input should be a finite number"),
        ("[probe]\nbatch_size = 64.0", r"\[probe\] batch_size = 64.0: input should be a valid integer"),
        (
            "[probe]\nseeds = [0, -1]",
            r"\[probe\] seeds\[1\] = -1: input should be greater than or equal to 0",
        ),
        ("[probe]\nwarmup = 0.9", r"\[probe\] warmup 0.9 and cooldown 0.2 add up to more than the whole run"),
        (
            '[probe]\nchecks = [{"0-10%" = 0}]',
            r"\[probe\] checks\[0\].0-10% = 0: input should be greater than 0",
        ),
        (
            '[train]\nselect = "joint"',
            r"\[train\] criterion 'learnability' needs a reference model; name one under 'reference'",
        ),
        (
            '[train]\nselect = "joint"\nreference = "x"\nselect_from = "1M"\nselect_to = "1M"',
            r"\[train\] select_to 1000000 must be above select_from 1000000",
        ),
        ("[train]\nfilter_ratio = 1", r"\[train\] filter_ratio = 1: input should be less than 1"),
        ("[train]\nsamples_seen = true", r"\[train\] samples_seen = true: input should be a valid integer"),
        ('[train]\nsamples_seen = "many"', r"\[train\] samples_seen = \"many\": .*many"),
        ("[train]\nsamples_seen = 0.5", r"\[train\] samples_seen = 0.5: input should be a valid integer"),
        ("[cut]\nedges = []", r"\[cut\] edges = \[\]: at least 1 is needed"),
        ("[cut]\nedges = [0.2, 0.1]", r"\[cut\] edges \[0.2, 0.1\] must rise"),
        ("[cut]\nedges = [0.2, 1.5]", r"\[cut\] edges\[1\] = 1.5: input should be less than or equal to 1"),
        ("[cut]\nedges = [0.1]\nthresholds = [0.3]", r"\[cut\] 'edges' and 'thresholds' exclude each other"),
        (
            '[cut]\nby = "clap"',
            r"\[cut\] by = 'clap' is no column of \[score\], which has clip, caption_score",
        ),
        (
            '[subset]\nformat = "npz"',
            r"\[subset\] format = \"npz\": input should be 'npy', 'parquet' or 'shards'",
        ),
        ('[subset]\nbudget = "3M"', r"\[subset\] budget = 3000000 is none of the budgets of \[plan\]"),
        ("[filter]\nlr = 0.1", r"\[filter\] needs 'shards', for example shards = \["),
        ("[fit", r"is not valid TOML: .*"),
    ],
)
def test_what_is_wrong_is_said_with_section_key_and_remedy(load: Load, lines: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        load(SMALLEST + lines)
    assert "\n" not in str(caught.value)
    assert "config.toml" in str(caught.value)


def test_pools_are_cut_by_a_column_under_its_own_name(load: Load) -> None:
    scorers = 'scorers = ["clip:as=b32,pretrained=a.pt", "caption"]\n'
    config = load(SMALLEST.replace(WEIGHTS, f"[score]\n{scorers}") + '[cut]\nby = "b32"')
    assert config.cut.by == "b32"
    assert load(SMALLEST + '[cut]\nby = "caption_score"').cut.by == "caption_score"


@pytest.mark.parametrize("scorers", ['["clip"]', '["caption", "clip:model=ViT-B-32"]'])
def test_a_clip_scorer_without_weights_is_refused(load: Load, scorers: str) -> None:
    text = SMALLEST.replace(WEIGHTS, f"[score]\nscorers = {scorers}\n")
    with pytest.raises(InputError, match=r"'clip.*' has no weights .* add a section \[filter\]"):
        load(text + '[cut]\nby = "clip"')


def test_a_clip_scorer_has_weights_from_a_filter_or_from_its_model(load: Load) -> None:
    bare = SMALLEST.replace(WEIGHTS, "")
    assert load(bare + '[filter]\nshards = ["a.tar"]\nsamples_seen = 1000').score.scorers[0] == "clip"
    for model in ("local-dir:here", "hf-hub:them/model"):
        load(bare + f'[score]\nscorers = ["clip:model={model}"]')


def test_a_config_takes_every_metric_that_can_be_evaluated(load: Load) -> None:
    for metric in ERRORS:
        text = SMALLEST.replace("[plan]", f'retrieval = ["c.tar"]\nmetric = "{metric}"\n[plan]')
        assert load(text).evaluate.metric == metric


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"the section \[shards\] is missing; add it with paths = \[.*\(2 more to mend\)"),
        (
            SMALLEST.replace('zeroshot = ["eval.tar"]', ""),
            "'zeroshot_error' needs shards; name them under 'zeroshot'",
        ),
        (
            SMALLEST.replace('budgets = ["32M", "1.5B"]', ""),
            r"\[plan\] needs 'budgets', for example budgets = \[",
        ),
        (
            "plan = 3" + SMALLEST.replace("[plan]", "[fit]").replace("budgets", "#"),
            "'plan' has to be a section",
        ),
    ],
)
def test_what_is_missing_is_asked_for_with_an_example(load: Load, text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        load(text)


def test_a_misspelt_key_is_named_before_the_key_that_it_leaves_missing(load: Load) -> None:
    with pytest.raises(InputError, match="did you mean 'budgets'"):
        load(SMALLEST.replace("budgets", "budget"))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config file .*absent\.toml; `thresher init`"):
        load_config(tmp_path / "absent.toml")
    with pytest.raises(InputError, match="cannot be read"):
        load_config(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'[shards]\npaths = ["caf\xe9.tar"]')
    with pytest.raises(InputError, match="not UTF-8"):
        load_config(tmp_path / "latin.toml")
    for name, value in (("long", "9" * 5000), ("deep", "[" * 20_000)):
        (tmp_path / f"{name}.toml").write_text(f"seed = {value}")
        with pytest.raises(InputError, match=f"{name}.toml is not valid TOML"):
            load_config(tmp_path / f"{name}.toml")


def test_the_commented_config_loads_and_says_the_defaults(load: Load) -> None:
    config = load(commented_config())
    bare = load(SMALLEST)
    assert config.score.model_copy(update={"scorers": bare.score.scorers}) == bare.score
    for name in ("cut", "fit", "report", "device", "workdir"):
        assert getattr(config, name) == getattr(bare, name)
    assert config.probe == bare.probe


def test_every_key_of_the_commented_config_loads_when_it_is_turned_on(load: Load) -> None:
    text = turned_on(commented_config()).replace("edges = [0.1, 0.2, 0.3, 0.4]\n", "")
    config = load(text)
    for name, kind in sections().items():
        section = getattr(config, name)
        assert isinstance(section, BaseModel)
        assert section.model_fields_set >= set(kind.model_fields) - {"edges"}
    assert config.plan.budgets == (32_000_000, 128_000_000)


def test_every_key_has_a_description() -> None:
    for name, kind in sections().items():
        assert [f"{name}.{key}" for key, field in kind.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("name", ["README.md", "docs/quickstart.md"])
def test_the_configs_in_the_documentation_load(load: Load, name: str) -> None:
    text = (Path(__file__).parents[2] / name).read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        assert load(block).plan.budgets == (32_000_000, 128_000_000)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("embedded", "{folder}/embedded"),
        ("local-dir:model", "local-dir:{folder}/model"),
        ("ViT-B-32,pretrained=laion2b_s34b_b79k", "ViT-B-32,pretrained=laion2b_s34b_b79k"),
        ("ViT-B-32,pretrained=mine.pt", "ViT-B-32,pretrained={folder}/mine.pt"),
    ],
)
def test_a_reference_is_a_folder_beside_the_config_or_a_model(
    load: Load, tmp_path: Path, written: str, meant: str
) -> None:
    (tmp_path / "embedded").mkdir()
    (tmp_path / "mine.pt").touch()
    config = load(SMALLEST + f'[train]\nselect = "joint"\nreference = "{written}"')
    assert config.train is not None
    assert config.train.reference == meant.format(folder=tmp_path)


TRAINING_ALONE = """
[shards]
paths = ["curated.tar"]
[train]
samples_seen = "4M"
"""


def test_training_alone_needs_no_scores_and_no_plan(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(TRAINING_ALONE)
    config = load_training_config(path)
    assert isinstance(config, TrainingConfig)
    assert config.evaluate is None
    assert config.shards.paths == (str(tmp_path / "curated.tar"),)
    assert config.workdir == tmp_path / "work"
    with pytest.raises(InputError, match=r"the section \[evaluate\] is missing"):
        load_config(path)


def test_a_config_with_another_stage_is_read_as_one_of_the_whole_way(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(SMALLEST)
    assert isinstance(load_training_config(path), Config)
    path.write_text(TRAINING_ALONE + '[evaluate]\nzeroshot = ["e.tar"]\n[cut]\nedges = [0.5]')
    with pytest.raises(InputError, match=r"the section \[plan\] is missing"):
        load_training_config(path)
    path.write_text(TRAINING_ALONE + "[trian]\nlr = 1")
    with pytest.raises(InputError, match="unknown section or key 'trian'; did you mean 'train'"):
        load_training_config(path)
    path.write_text(TRAINING_ALONE.replace("[train]", "[evaluate]"))
    with pytest.raises(InputError, match="unknown key 'samples_seen' in"):
        load_training_config(path)
