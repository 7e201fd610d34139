import itertools
import math

import torch
from scipy.stats import chisquare

from tests.selection.made import keys, made
from tests.selection.oracle import score_matrix, sigmoid_logits
from thresher.selection.noise import by_value, gumbel, largest_places, perturb
from thresher.selection.sub_batch import select


def sequential(logits: list[float], drawn: tuple[int, ...]) -> float:
    """Chance of drawing these in this order, one after another among those that are left."""
    chance, left = 1.0, set(range(len(logits)))
    for place in drawn:
        chance *= math.exp(logits[place]) / sum(math.exp(logits[other]) for other in left)
        left.remove(place)
    return chance


def test_draws_are_those_of_sequential_sampling_without_replacement() -> None:
    logits, trials = [0.0, 1.0, -1.0, 2.0, 0.5], 40_000
    noise = gumbel(torch.arange(trials * 5), seed=1, step=0, chunk=0).view(trials, 5)
    values = torch.tensor(logits, dtype=torch.float64) + noise
    order = values.argsort(dim=1, descending=True)[:, :3]
    outcomes = list(itertools.permutations(range(5), 3))
    codes = order[:, 0] * 25 + order[:, 1] * 5 + order[:, 2]
    counts = torch.bincount(codes, minlength=125)[[a * 25 + b * 5 + c for a, b, c in outcomes]]
    expected = [trials * sequential(logits, outcome) for outcome in outcomes]
    assert chisquare(counts.numpy(), expected).pvalue > 0.01


def test_joint_selection_draws_from_the_logits_of_what_was_chosen_before() -> None:
    learner, reference = made(5, 8, seed=1, scale=4, bias=-1), made(5, 8, seed=2, scale=4, bias=-1)
    keys_B, trials = keys(5), 1200
    scores, chances = score_matrix(learner, reference, "learnability"), {}
    for first, second in itertools.permutations(range(5), 2):
        start, after = sigmoid_logits(scores, []), sigmoid_logits(scores, [first])
        left = [place for place in range(5) if place != first]
        chance = float(start.softmax(0)[first] * after[left].softmax(0)[left.index(second)])
        chances[first, second] = chance
    counts = dict.fromkeys(chances, 0)
    for step in range(trials):
        drawn = select(learner, reference, keys_B, size=2, step=step, seed=0, chunks=2).places_b
        counts[tuple(drawn.tolist())] += 1
    expected = [trials * chance for chance in chances.values()]
    assert chisquare(list(counts.values()), expected).pvalue > 0.01


def test_uniform_selection_takes_every_pair_equally_often() -> None:
    keys_B = keys(12)
    counts = torch.zeros(12)
    for step in range(1000):
        counts[select(None, None, keys_B, size=3, step=step, seed=0, method="uniform").places_b] += 1
    # each draw takes three different pairs, which makes counts a little more even than independent ones
    assert chisquare(counts.numpy()).pvalue > 0.01


def test_of_equal_values_those_with_the_lower_keys_are_taken() -> None:
    values = torch.tensor([1.0, 3.0, 1.0, 2.0, 1.0])
    assert largest_places(values, torch.arange(5), 3).tolist() == [1, 3, 0]
    assert largest_places(values, torch.tensor([4, 3, 2, 1, 0]), 3).tolist() == [1, 3, 4]
    assert by_value(torch.tensor([1.0, 3.0, 1.0]), torch.arange(3)).tolist() == [1, 0, 2]


def test_what_is_blocked_is_never_drawn() -> None:
    blocked = torch.tensor([False, True, False])
    values = perturb(torch.tensor([0.0, 100.0, 1.0]), torch.zeros(3, dtype=torch.float64), blocked, 1.0)
    assert largest_places(values, torch.arange(3), 2).tolist() == [2, 0]
