import pytest

from thresher.errors import InputError
from thresher.scores.registry import SCORERS, parse_scorer
from thresher.scores.spec import ScorerSpec, arguments, check_columns


def test_a_bare_name_is_a_scorer_with_a_column_of_its_name() -> None:
    assert parse_scorer("clip") == ScorerSpec("clip", (), "clip")


def test_the_score_of_captions_does_not_take_the_column_of_captions() -> None:
    assert parse_scorer("caption").column == "caption_score"


def test_options_and_column_are_read() -> None:
    spec = parse_scorer("clip:pretrained=/x/y.pt, model=ViT-B-32,as=b32")
    assert spec == ScorerSpec("clip", (("model", "ViT-B-32"), ("pretrained", "/x/y.pt")), "b32")


def test_a_model_name_may_hold_a_colon() -> None:
    assert dict(parse_scorer("clip:model=hf-hub:timm/x").options) == {"model": "hf-hub:timm/x"}


def test_the_order_of_options_does_not_matter() -> None:
    assert parse_scorer("clip:model=a,device=cpu") == parse_scorer("clip:device=cpu,model=a")


def test_numbers_become_numbers() -> None:
    assert arguments(parse_scorer("clip:batch_size=8"), SCORERS) == {"batch_size": 8}


def test_defaults_fill_in_what_the_scorer_has_and_the_text_leaves_out() -> None:
    defaults = {"device": "cpu", "batch_size": "32"}
    assert dict(parse_scorer("clip:batch_size=8", defaults).options) == {"batch_size": "8", "device": "cpu"}
    assert parse_scorer("caption", defaults).options == ()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("clipp", r"no scorer 'clipp'; did you mean 'clip'\? known: caption, clip"),
        ("clip:modle=x", r"no option 'modle'; did you mean 'model'\?"),
        ("clip:model", "'model' is no option; write clip:key=value"),
        ("clip:", "'' is no option"),
        ("clip:model=a,model=b", "gives model twice"),
        ("clip:batch_size=many", "batch_size='many' is not a whole number"),
        ("clip:as=uid", "'uid' cannot be the name of a score column"),
        ("clip:as=a b", "'a b' cannot be the name"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_nearest_known(text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        parse_scorer(text)


def test_two_scorers_need_two_columns() -> None:
    with pytest.raises(InputError, match="two scorers write the column 'clip'; rename one with as=NAME"):
        check_columns([parse_scorer("clip"), parse_scorer("clip:model=a")])
    with pytest.raises(InputError, match="no scorer is given"):
        check_columns([])
