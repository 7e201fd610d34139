import numpy as np
import pytest

from thresher.errors import InputError
from thresher.planning.plans.mixes import all_mixes, mix_name, mix_weights, parse_mix, with_weights

SIZES = {"0-10%": 100, "10-20%": 300, "a + b": 50, "2 x flip": 50}


def test_a_mix_is_read_as_plans_write_it():
    subsets = all_mixes(tuple(SIZES), SIZES)
    mixes = with_weights(subsets, np.array([[0.7, 0.3, 0.0, 0.0], [0.25, 0.0, 0.0, 0.75]]))
    for place in range(len(mixes.weights_CP)):
        name = mix_name(mixes, place)
        if name != "a + b" and "a + b" in name:
            continue  # a name with a plus is only read alone
        assert parse_mix(name, SIZES) == pytest.approx(mix_weights(mixes, place))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0-10% + 20-30%", "no pool '20-30%'; there are 0-10%, 10-20%"),
        ("0-10% + 0-10%", "twice"),
        ("0.5 x 0-10% + 10-20%", "every pool a weight"),
        ("0 x 0-10%", "sum to zero"),
        ("1.2.3 x 0-10%", "not a number"),
        ("", "no pool ''"),
    ],
)
def test_a_mix_that_cannot_be_is_named(text, words):
    with pytest.raises(InputError, match=words):
        parse_mix(text, SIZES)


def test_messages_that_mislead_a_mix_without_spaces_is_a_mix():
    sizes = {"top10": 100, "10-30": 300, "a+b": 50, "a": 1, "b": 1}
    assert parse_mix("top10+10-30", sizes) == parse_mix("top10 + 10-30", sizes)
    assert parse_mix("0.5 x top10+0.5x 10-30", sizes) == {"top10": 0.5, "10-30": 0.5}
    assert parse_mix("1e+0 x top10 + 3 x 10-30", sizes) == {"top10": 0.25, "10-30": 0.75}
    assert set(parse_mix("a+b + top10", sizes)) == {"a+b", "top10"}
    with pytest.raises(InputError, match=r"no pool 'top10\+20-30'; there are top10, .*, joined by ' \+ '"):
        parse_mix("top10+20-30", sizes)
