import math

import pytest
import torch

from thresher.selection import noise as noises
from thresher.selection.noise import gumbel


def test_noise_of_a_pair_depends_on_seed_step_chunk_and_key_alone() -> None:
    keys = torch.arange(-500, 500)
    noise = gumbel(keys, seed=1, step=2, chunk=3)
    assert torch.equal(noise.flip(0), gumbel(keys.flip(0), seed=1, step=2, chunk=3))
    assert torch.equal(noise[17:40], gumbel(keys[17:40], seed=1, step=2, chunk=3))
    for other in ((0, 2, 3), (1, 0, 3), (1, 2, 0), (2, 1, 3), (3, 2, 1)):
        seed, step, chunk = other
        assert not (gumbel(keys, seed=seed, step=step, chunk=chunk) == noise).any()


def test_noise_is_the_same_in_every_release() -> None:
    noise = gumbel(torch.tensor([0, 1, -1]), seed=0, step=0, chunk=0)
    expected = [1.1356144867676674, -0.24605801043755848, 0.6357647090904778]
    torch.testing.assert_close(noise, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0)


def test_bits_that_are_all_zero_give_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noises, "_mix_number", lambda _: 0)
    monkeypatch.setattr(noises, "_mix", torch.zeros_like)
    (noise,) = gumbel(torch.tensor([7]), seed=0, step=0, chunk=0)
    assert float(noise) == pytest.approx(-math.log(54 * math.log(2)))


def test_noise_is_gumbel_distributed() -> None:
    noise = gumbel(torch.arange(200_000), seed=5, step=6, chunk=7).sort().values
    expected = torch.exp(-torch.exp(-noise))
    uniform = (torch.arange(200_000) + 0.5) / 200_000
    assert float((expected - uniform).abs().max()) < 1.63 / math.sqrt(200_000)  # Kolmogorov-Smirnov at 1%


def test_neighbouring_keys_steps_and_chunks_are_uncorrelated() -> None:
    keys = torch.arange(100_000)
    noise = gumbel(keys, seed=0, step=0, chunk=0)
    others = [
        noise.roll(1),
        gumbel(keys, seed=1, step=0, chunk=0),
        gumbel(keys, seed=0, step=1, chunk=0),
        gumbel(keys, seed=0, step=0, chunk=1),
        gumbel(keys << 32, seed=0, step=0, chunk=0),
    ]
    for other in others:
        assert abs(float(torch.corrcoef(torch.stack([noise, other]))[0, 1])) < 4 / math.sqrt(100_000)
