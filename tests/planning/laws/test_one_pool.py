"""One pool on subsamples of several sizes, as a scaling study trains on it."""

from dataclasses import replace

import numpy as np
import pytest

from tests.planning.laws.planted import parameters, planted_run
from thresher.planning.laws.fit import fit, predict_runs
from thresher.planning.laws.law_weights import hold_out

TRUTH = parameters(b=(-0.25,), tau=(6.0,), n0=1e5, gamma=0.6)
SIZES = (800_000, 3_200_000, 12_800_000)
LENGTHS = (8_000_000, 32_000_000, 128_000_000)


def runs_of(lengths):
    return [planted_run(TRUTH, [1.0], length, unique=size) for size in SIZES for length in lengths]


def test_curves_of_subsamples_part_only_where_the_smaller_one_repeats():
    laws = fit(runs_of(LENGTHS), law="utility", num_draws=0)
    assert laws.best.shared["n0"] == pytest.approx(min(SIZES))  # every run makes ten passes over the smallest
    assert laws.best.shared["gamma"] == pytest.approx(0.6, abs=0.02)
    later = runs_of((500_000_000,))
    measured = np.array([run.error for run in later])
    np.testing.assert_allclose(predict_runs(laws, later), measured, atol=5e-4)


def test_lengths_that_are_about_the_same_count_as_one():
    runs = runs_of(LENGTHS)
    nearly = [
        replace(run, samples_seen=round(run.samples_seen * (1 + 0.01 * place)))
        for place, run in enumerate(runs)
        if run.samples_seen < max(LENGTHS)
    ]
    assert hold_out(nearly)[1] == []  # two lengths, however often they are written differently
    longest = [replace(run, samples_seen=run.samples_seen + place) for place, run in enumerate(runs)]
    assert hold_out(longest)[1] == [run for run in longest if run.samples_seen >= max(LENGTHS)]
