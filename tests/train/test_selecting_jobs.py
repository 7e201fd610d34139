"""From shards and a reference model to a checkpoint whose batches were chosen."""

import dataclasses
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import open_clip
import pytest
import torch

from tests.small_pool import uid, write_shards
from tests.train.test_stage import config_file, make_job
from thresher.errors import InputError, MissingExtra
from thresher.models.saved import save_model
from thresher.models.towers import embed_images, embed_texts, load_towers, to_input
from thresher.scores.embeddings.embed import embed_shards
from thresher.train import ledger, picks
from thresher.train import stage as training
from thresher.train.job import Job, run_job
from thresher.train.ledger import cost_sentence
from thresher.train.loggers import open_loggers
from thresher.train.picks import picked_pairs
from thresher.train.recipe import Recipe
from thresher.train.reference import prepare_reference
from thresher.train.stage import train_from_config

PATCHED = "thresher-tiny-vit-32"
JOINT = Recipe(
    model=PATCHED,
    batch_size=8,
    warmup_samples=16,
    precision="fp32",
    select="joint",
    filter_ratio=0.5,
    chunks=2,
)
RECIPES = {
    "uniform": dataclasses.replace(JOINT, select="uniform"),
    "joint": JOINT,
    "flexi": dataclasses.replace(JOINT, flexi=8),
    "rho": dataclasses.replace(JOINT, select="uniform", loss="rho"),
}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    return tuple(write_shards(tmp_path_factory.mktemp("pool"), (20, 12)))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model that stands for a trained reference."""
    folder = tmp_path_factory.mktemp("model")
    save_model(load_towers(PATCHED, seed=1, sigmoid=True), folder, sigmoid=True, samples_seen=0)
    return folder


@pytest.fixture(scope="module")
def reference(shards: tuple[str, ...], checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reference") / "embeddings"
    return embed_shards(shards, f"local-dir:{checkpoint}", out, device="cpu", workers=0).whole()


def job_of(name: str, shards: tuple[str, ...], cache: Path, reference: Path) -> Job:
    return make_job(shards, cache, recipe=RECIPES[name], samples_seen=48, reference=reference)


@pytest.mark.parametrize(
    "name", ["joint", "flexi", *(pytest.param(name, marks=pytest.mark.slow) for name in ("uniform", "rho"))]
)
def test_a_checkpoint_loads_in_stock_open_clip_and_scores_the_same_there(
    shards: tuple[str, ...], reference: Path, tmp_path: Path, name: str
) -> None:
    folder = run_job(job_of(name, shards, tmp_path / "cache", reference), tmp_path / "model")
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    ours = load_towers(f"local-dir:{folder}")
    images = np.random.default_rng(0).integers(0, 256, size=(4, 32, 32, 3), dtype=np.uint8)
    captions = ["a dog", "two cats on a red mat", "", "a picture of a house"]
    with torch.no_grad():
        image = model.eval().encode_image(to_input(ours, images), normalize=True).numpy()
        text = model.encode_text(tokenizer(captions), normalize=True).numpy()
    assert np.allclose(image, embed_images(ours, images, precision="fp32"), atol=1e-6)
    assert np.allclose(text, embed_texts(ours, captions, precision="fp32"), atol=1e-6)
    start = load_towers(PATCHED, seed=0).model.state_dict()
    assert model.state_dict().keys() == start.keys()
    assert not torch.equal(model.state_dict()["visual.conv1.weight"], start["visual.conv1.weight"])


def test_a_run_leaves_its_picks_and_what_it_spent(
    shards: tuple[str, ...], reference: Path, tmp_path: Path
) -> None:
    folder = run_job(job_of("joint", shards, tmp_path / "cache", reference), tmp_path / "model")
    table = picked_pairs(folder)
    assert sum(table.column("repeats").to_pylist()) == 48
    assert set(table.column("uid").to_pylist()) <= {uid(number) for number in range(32)}
    assert len(list(picks.read(folder))) == 6
    (measured,) = json.loads((folder / training.RESULT_FILE).read_text())["measured"]
    assert measured["samples_scored"] == 96
    assert set(measured["flops_by_kind"]) == set(ledger.KINDS)
    assert all(flops > 0 for flops in measured["flops_by_kind"].values())
    assert measured["flops"] == sum(measured["flops_by_kind"].values())


def test_another_reference_is_another_job(
    shards: tuple[str, ...], reference: Path, checkpoint: Path, tmp_path: Path
) -> None:
    job = job_of("joint", shards, tmp_path / "cache", reference)
    folder = run_job(job, tmp_path / "model")
    assert run_job(job, folder) == folder  # finished
    other = embed_shards(
        shards, f"local-dir:{checkpoint}", tmp_path / "int8", dtype="int8", device="cpu", workers=0
    ).whole()
    with pytest.raises(InputError, match="holds another training run"):
        run_job(dataclasses.replace(job, reference=other), folder)


def test_a_pair_without_a_reference_embedding_is_named(
    shards: tuple[str, ...], checkpoint: Path, tmp_path: Path
) -> None:
    some = embed_shards(
        shards[:1], f"local-dir:{checkpoint}", tmp_path / "some", device="cpu", workers=0
    ).whole()
    with pytest.raises(InputError, match=f"uid {uid(20)} and 11 more of 32"):
        run_job(job_of("joint", shards, tmp_path / "cache", some), tmp_path / "model")


def test_a_config_embeds_its_reference_and_says_what_a_step_costs(
    shards: tuple[str, ...], checkpoint: Path, tmp_path: Path
) -> None:
    write_shards(tmp_path / "eval", (6,))
    section = f"""
[train]
model = "{PATCHED}"
batch_size = 8
samples_seen = 16
precision = "fp32"
select = "joint"
filter_ratio = 0.5
chunks = 2
reference = "local-dir:{checkpoint}"
"""
    config = config_file(tmp_path, shards, str(tmp_path / "eval" / "00000.tar"), section)
    evaluated = config.evaluate.model_copy(
        update={"metric": "retrieval_error", "zeroshot": (), "retrieval": config.evaluate.zeroshot}
    )
    said: list[str] = []
    folder = train_from_config(
        config.model_copy(update={"evaluate": evaluated}), progress=said.append, out=tmp_path / "out"
    )
    assert folder == tmp_path / "out"
    assert (tmp_path / "work" / "embeddings" / "embeddings.json").exists()
    assert said[0].startswith("reference: embedding 2 shards by local-dir:")
    assert said[1].startswith("joint at f=0.5 with a cached reference costs 1.7x a uniform step with")
    assert said[1].endswith("x with --flexi 8)")


def test_the_cost_of_a_step_follows_the_ratio_and_the_resolution() -> None:
    towers = load_towers(PATCHED, sigmoid=True)
    recipe = dataclasses.replace(JOINT, filter_ratio=0.8)
    assert "costs 2.6x a uniform step with thresher-tiny-vit-32 (1." in cost_sentence(recipe, towers)
    hard = dataclasses.replace(recipe, criterion="hard-learner", flexi=8)
    assert "joint at f=0.8, scored with patches of 8 pixels, costs 1." in cost_sentence(hard, towers)
    easy = dataclasses.replace(recipe, criterion="easy-reference")  # looks at no learner
    assert "costs 1.0x a uniform step" in cost_sentence(easy, towers)
    two = dataclasses.replace(recipe, select="uniform", flexi=8)
    assert cost_sentence(two, towers).startswith("training 0.5 of a batch with patches of 8 pixels costs 0.")
    convolutions = load_towers("thresher-tiny-32")
    assert "--flexi" not in cost_sentence(dataclasses.replace(recipe, model="thresher-tiny-32"), convolutions)


def test_a_reference_that_knows_nothing_is_refused(shards: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a model without weights knows nothing; .*,pretrained=TAG$"):
        prepare_reference("ViT-B-32", shards, tmp_path / "out", device="cpu")
    with pytest.raises(InputError, match="holds no finished embeddings"):
        prepare_reference(str(tmp_path), shards, tmp_path / "out", device="cpu")


def test_values_are_shown_where_they_are_asked_for(
    shards: tuple[str, ...], reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[int, dict[str, float]]] = []
    monkeypatch.setattr(
        "thresher.train.loggers.LOGGERS",
        {"list": lambda _: lambda step, values: shown.append((step, values))},
    )
    job = dataclasses.replace(job_of("joint", shards, tmp_path / "cache", reference), log=("list",))
    run_job(job, tmp_path / "model")
    assert [step for step, _ in shown] == [5, 6]
    names = {"loss", "lr", "samples_seen", "samples_per_second", "flops/train", "flops/score"}
    assert names | {"learnability/chosen", "learnability/uniform", "repeats"} <= set(shown[0][1])


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_an_outlet_that_is_not_installed_says_what_to_install(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("tensorboard", "torch.utils.tensorboard", "wandb"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf'pip install "thresher\[{name}\]"'):
        open_loggers([name], tmp_path)
    with pytest.raises(InputError, match="log 'paper' is unknown; take one of tensorboard, wandb"):
        open_loggers(["paper"], tmp_path)


def test_a_resumed_run_goes_on_in_weights_and_biases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[dict[str, Any]] = []
    logged: list[tuple[dict[str, float], int]] = []

    def init(**options: Any) -> SimpleNamespace:
        opened.append(options)
        return SimpleNamespace(log=lambda values, step: logged.append((values, step)))

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    for step in (10, 20):
        (show,) = open_loggers(["wandb"], tmp_path)
        show(step, {"loss": 1.5})
    assert opened[0] == opened[1]
    assert (opened[0]["project"], opened[0]["resume"]) == ("thresher", "allow")
    assert opened[0]["id"]
    assert logged == [({"loss": 1.5}, 10), ({"loss": 1.5}, 20)]
    (tmp_path / "other").mkdir()
    open_loggers(["wandb"], tmp_path / "other")
    assert opened[2]["id"] != opened[0]["id"]


@pytest.mark.filterwarnings("ignore")  # of the packages under tensorboard
def test_tensorboard_files_hold_the_values(tmp_path: Path) -> None:
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    (show,) = open_loggers(["tensorboard"], tmp_path)
    show(10, {"loss": 2.5})
    show(20, {"loss": 1.5})
    events = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(10, 2.5), (20, 1.5)]


def test_tensorboard_gets_event_files(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (show,) = open_loggers(["tensorboard"], tmp_path)
    show(10, {"loss": 1.5, "flops/train": 1e9})
    assert list((tmp_path / "tensorboard").glob("events.out.tfevents.*"))
