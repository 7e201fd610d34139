from hypothesis import given, settings
from hypothesis import strategies as st

from thresher.planning.runs.ledger import unit_slip
from thresher.planning.runs.record import Run


def a_run(unique, seen, **changes):
    return Run(**{"pool": "a", "unique_samples": unique, "samples_seen": seen, "error": 0.5, **changes})


def test_samples_seen_in_millions_among_units_are_named():
    runs = [a_run(12_800_000, 12_800_000), a_run(12_800_000, 640_000_000), a_run(12_800_000, 32)]
    place, sentence = unit_slip(runs)
    assert place == 2
    assert sentence == (
        "`samples_seen` is 32 where other rows have 12800000 and more; if it counts in millions, write 32M; "
        "if in steps, multiply by the batch size"
    )


def test_unique_samples_in_billions_among_units_are_named():
    runs = [a_run(4_000_000_000, 8_000_000_000), a_run(11, 55_000_000_000)]
    place, sentence = unit_slip(runs)
    assert place == 1
    assert sentence.endswith(
        "`unique_samples` is 11 where other rows have 4000000000 and more; if it counts in "
        "billions, write 11B"
    )


def test_a_column_in_millions_beside_one_in_units_is_named():
    place, sentence = unit_slip([a_run(12_800_000, 32), a_run(12_800_000, 640)])
    assert place == 0
    assert "that is 0.0000025 passes; if `samples_seen` counts in millions, write 32M" in sentence
    _, sentence = unit_slip([a_run(13, 32_000_000)])
    assert "if `unique_samples` counts in millions, write 13M" in sentence


def test_the_sizes_of_a_mix_are_looked_at_each():
    weights = {"a": 0.5, "b": 0.5}
    runs = [a_run({"a": 12_800_000, "b": 51}, 32_000_000, pool=None, weights=weights)]
    assert unit_slip(runs)[1].startswith("`unique_samples` is 51 where other rows have 12800000")


def test_a_table_in_millions_throughout_cannot_be_told_from_small_runs():
    assert unit_slip([a_run(13, 32), a_run(13, 640)]) is None


def test_probes_on_small_parts_of_a_large_pool_are_left_alone():
    assert unit_slip([a_run(12_800_000, 8192), a_run(12_800_000, 128_000_000)]) is None
    assert unit_slip([a_run(800, 1000), a_run(12_800_000, 16_000_000)]) is None
    assert unit_slip([a_run(500, 1_000_000), a_run(50_000, 1_000_000)]) is None


@settings(max_examples=200, deadline=None)
@given(
    base=st.floats(3, 10),
    runs=st.lists(st.tuples(st.floats(0, 2.5), st.floats(-2, 3)), min_size=1, max_size=12),
)
def test_runs_within_300_times_of_each_other_are_never_suspected(base, runs):
    made = [a_run(round(10 ** (base + up)), max(1, round(10 ** (base + up + more)))) for up, more in runs]
    seen = [run.samples_seen for run in made]
    if max(seen) < 300 * min(seen):
        assert unit_slip(made) is None


@settings(max_examples=200, deadline=None)
@given(
    seen=st.lists(st.integers(20, 600), min_size=2, max_size=8),
    slipped=st.data(),
)
def test_one_row_in_millions_among_runs_within_30_times_is_always_found(seen, slipped):
    runs = [a_run(12_800_000, count * 1_000_000, run=str(number)) for number, count in enumerate(seen)]
    place = slipped.draw(st.integers(0, len(seen) - 1))
    runs[place] = a_run(12_800_000, seen[place], run="x")
    assert unit_slip(runs)[0] == place
