from tests.models.small import VIT
from thresher.models.flops import forward_flops, training_flops
from thresher.models.towers import load_towers

WIDTH, TOKENS, PATCHES, EMBED = 32, 12, 4, 32


def test_flops_of_a_transformer_are_those_of_its_matrices() -> None:
    """Two for every weight and token; attention four times the width and the length squared."""

    def blocks(length: int) -> int:
        return 2 * 12 * WIDTH**2 * length + 2 * 2 * length**2 * WIDTH

    image = 2 * 3 * 16 * 16 * WIDTH * PATCHES + blocks(PATCHES + 1) + 2 * WIDTH * EMBED
    text = blocks(TOKENS) + 2 * WIDTH * EMBED
    towers = load_towers(VIT)
    assert forward_flops(towers, TOKENS) == image + text


def test_training_costs_three_times_the_forward_pass() -> None:
    towers = load_towers(VIT)
    assert training_flops(towers, TOKENS) == 3 * forward_flops(towers, TOKENS)


def test_counting_leaves_the_mode_of_the_model_as_it_was() -> None:
    towers = load_towers(VIT)
    for training in (True, False):
        towers.model.train(training)
        forward_flops(towers, TOKENS)
        assert towers.model.training is training
