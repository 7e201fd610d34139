import pytest

from thresher.errors import InputError
from thresher.models.device import resolve_device
from thresher.train.settings import Train, train_recipe

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
    recipe = train_recipe(Train(reference="x", **SELECTION), 1000)
    assert {name: getattr(recipe, name) for name in SELECTION} == SELECTION
    assert recipe.beta2 == 0.95
    assert recipe.warmup_samples == 50


def test_a_section_without_selection_gives_the_recipe_that_it_gave_before() -> None:
    recipe = train_recipe(Train(), 1000)
    assert set(recipe.settings()) == {
        *("model", "pretrained", "loss", "batch_size", "lr", "weight_decay", "beta2", "warmup_samples"),
        *("cooldown", "grad_clip", "precision", "flip", "crop"),
    }


@pytest.mark.parametrize("name", ["tpu", "gpu"])
def test_a_device_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"device '{name}' is unknown"):
        resolve_device(name)
