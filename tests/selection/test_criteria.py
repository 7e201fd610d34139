import pytest
import torch

from tests.selection.made import keys, made
from thresher.selection.choices import CRITERIA
from thresher.selection.embeddings import Embeddings
from thresher.selection.sub_batch import select

B = 64


def test_criteria_ask_only_for_the_models_that_they_need() -> None:
    learner, reference, keys_B = made(B, seed=1), made(B, seed=2), keys(B)
    needs = {
        "learnability": {"learner", "reference"},
        "hard-learner": {"learner"},
        "easy-reference": {"reference"},
    }
    for criterion in CRITERIA:
        for absent in ("learner", "reference"):
            given = {"learner": learner, "reference": reference, absent: None}
            if absent in needs[criterion]:
                with pytest.raises(ValueError, match=f"needs the embeddings of the {absent}"):
                    select(**given, keys_B=keys_B, size=4, step=0, seed=0, criterion=criterion)
            else:
                select(**given, keys_B=keys_B, size=4, step=0, seed=0, criterion=criterion)
    assert len(select(None, None, keys_B, size=4, step=0, seed=0, method="uniform").places_b) == 4


def test_embeddings_that_cannot_be_meant_are_refused() -> None:
    good = made(8)
    for bad, text in (
        (Embeddings(image_BD=good.image_BD[:7], text_BD=good.text_BD[:7]), "7 rows for 8 candidates"),
        (Embeddings(image_BD=good.image_BD, text_BD=good.text_BD[:, :3]), "give two .B, D. of one shape"),
        (Embeddings(image_BD=good.image_BD * 3, text_BD=good.text_BD), "image embedding 0 .* has length 3"),
        (Embeddings(image_BD=good.image_BD, text_BD=good.text_BD * torch.nan), "text embedding 0 .* nan"),
        (Embeddings(image_BD=good.image_BD, text_BD=good.text_BD, scale=-1), "scale of the learner is -1"),
        (Embeddings(image_BD=good.image_BD, text_BD=good.text_BD, bias=torch.inf), "bias .* is inf"),
    ):
        with pytest.raises(ValueError, match=text):
            select(bad, good, keys(8), size=2, step=0, seed=0)
    for size in (0, 9):
        with pytest.raises(ValueError, match=f"size is {size}; take from 1 to the 8"):
            select(good, good, keys(8), size=size, step=0, seed=0)
