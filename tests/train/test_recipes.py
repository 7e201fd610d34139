import dataclasses
from collections.abc import Collection

import pytest
from pydantic import ValidationError

from thresher.errors import InputError
from thresher.models.towers import resolve_device
from thresher.selection.choices import CRITERIA, LOSSES, METHODS, MODES
from thresher.settings import PRECISIONS
from thresher.train.recipe import Recipe
from thresher.train.settings import Filter, Probe, Train, make_recipe

SELECTION = {
    "select": "joint",
    "criterion": "easy-reference",
    "filter_ratio": 0.9,
    "filter_ratio_end": 0.5,
    "chunks": 4,
    "gain": 2.0,
    "select_from": 100,
    "select_to": 800,
    "across": "stratified",
    "flexi": 64,
    "low_share": 0.25,
    "reuse_scoring": True,
    "rho_gamma": 0.5,
    "rho_temperature": 0.1,
}


def test_every_setting_of_selection_reaches_the_recipe() -> None:
    recipe = make_recipe(Train(reference="x", **SELECTION), 1000)
    assert {name: getattr(recipe, name) for name in SELECTION} == SELECTION
    assert recipe.beta2 == 0.95
    assert recipe.warmup_samples == 50


def test_a_section_without_selection_gives_the_recipe_that_it_gave_before() -> None:
    recipe = make_recipe(Train(), 1000)
    assert set(recipe.settings()) == {
        *("model", "pretrained", "loss", "batch_size", "lr", "weight_decay", "beta2", "warmup_samples"),
        *("cooldown", "grad_clip", "precision", "flip", "crop"),
    }


def test_every_field_of_a_recipe_is_a_key_of_training() -> None:
    fields = {field.name for field in dataclasses.fields(Recipe)}
    assert fields - set(Train.model_fields) == {"pretrained", "warmup_samples"}


def test_a_recipe_takes_from_a_section_what_it_has_and_else_its_own_defaults() -> None:
    probe = Probe(loss="clip", batch_size=32, lr=0.01, beta2=0.9, precision="fp32", warmup=0.25)
    recipe = make_recipe(probe, 1000)
    assert (recipe.loss, recipe.batch_size, recipe.lr, recipe.beta2) == ("clip", 32, 0.01, 0.9)
    assert (recipe.precision, recipe.warmup_samples, recipe.select) == ("fp32", 250, "uniform")
    network = Filter(shards=("a.tar",), samples_seen=1000, lr=0.02, flip=True)
    assert make_recipe(network, network.samples_seen) == Recipe(
        model="ViT-S-32", batch_size=256, lr=0.02, warmup_samples=50, flip=True
    )


@pytest.mark.parametrize(
    ("key", "choices"),
    [
        ("select", METHODS),
        ("criterion", CRITERIA),
        ("across", MODES),
        ("loss", (*LOSSES, "rho")),
        ("precision", PRECISIONS),
    ],
)
def test_training_takes_every_name_that_there_is_and_no_other(key: str, choices: Collection[str]) -> None:
    for name in choices:
        assert getattr(Train(reference="x", **{key: name}), key) == name
    with pytest.raises(ValidationError, match=r"Input should be '.* or '"):
        Train(reference="x", **{key: "other"})


@pytest.mark.parametrize("name", ["tpu", "gpu"])
def test_a_device_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"device '{name}' is unknown"):
        resolve_device(name)
