import dataclasses

import pytest

from thresher.train.recipe import Recipe

RECIPE = Recipe(model="ViT-S-32")


def test_labels_of_finished_ledgers_stay_valid() -> None:
    assert RECIPE.label == "ViT-S-32 siglip b64 lr0.002 wd0.2 b4108841"


@pytest.mark.parametrize(
    "change",
    [
        {"select": "joint"},
        {"select": "joint", "filter_ratio": 0.9},
        {"select": "joint", "criterion": "hard-learner"},
        {"flexi": 64},
        {"lr": 1e-3},
        {"warmup_samples": 0},
    ],
)
def test_another_setting_is_another_label(change: dict[str, object]) -> None:
    assert dataclasses.replace(RECIPE, **change).label != RECIPE.label


def test_a_reference_is_needed_where_its_embeddings_are_read() -> None:
    joint = dataclasses.replace(RECIPE, select="joint")
    assert joint.needs_reference
    assert not dataclasses.replace(joint, criterion="hard-learner").needs_reference
    assert dataclasses.replace(RECIPE, loss="rho").needs_reference
    assert not RECIPE.needs_reference
