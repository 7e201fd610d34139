import torch

from tests.models.small import VIT
from thresher.models.flops import forward_flops, loss_flops, training_flops
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


def test_the_way_back_costs_twice_the_way_forth_but_for_pixels_and_attention() -> None:
    """Pixels need no gradient; attention's weights are computed again, which is a fifth product to four."""
    towers = load_towers(VIT)
    pixels = 2 * 3 * 16 * 16 * WIDTH * PATCHES
    attention = 2 * 2 * ((PATCHES + 1) ** 2 + TOKENS**2) * WIDTH
    expected = 3 * forward_flops(towers, TOKENS) - pixels + attention / 2
    assert training_flops(towers, TOKENS) == expected


def test_counting_leaves_weights_gradients_and_random_state_alone() -> None:
    towers = load_towers("thresher-tiny-32")  # whose batch norm keeps statistics
    before = {key: value.clone() for key, value in towers.model.state_dict().items()}
    state = torch.get_rng_state()
    training_flops(towers, 20)
    assert all(torch.equal(before[key], value) for key, value in towers.model.state_dict().items())
    assert all(parameter.grad is None for parameter in towers.model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_the_loss_compares_every_image_with_every_caption_three_times() -> None:
    assert loss_flops(64, 32) == 3 * 2 * 64 * 64 * 32


def test_counting_leaves_the_mode_of_the_model_as_it_was() -> None:
    towers = load_towers(VIT)
    for training in (True, False):
        towers.model.train(training)
        forward_flops(towers, TOKENS)
        assert towers.model.training is training
