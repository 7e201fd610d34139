from dataclasses import replace

from thresher.planning.plans.next_run import CandidateRun, Suggestion
from thresher.planning.plans.suggestions import Suggestions

RUN = CandidateRun(weights={"a": 1.0}, num_unique={"a": 4000}, samples_seen=32_000, flops=1e9)
FOUND = Suggestion(
    candidate=RUN, variance_fall=0.4, regret_fall=0.0021, cost_share=0.031, worth=True, about="a, 8 passes"
)


def test_the_verdict_comes_first_and_then_the_leading_runs():
    lines = str(Suggestions(runs=(FOUND,) * 15, budgets=(1_000_000,), loss=False)).splitlines()
    assert lines[0] == (
        "The next run to make is a, 8 passes: it costs 3.1% of the largest budget and lowers the expected "
        "regret by 0.21 points."
    )
    assert lines[3].split() == ["a,", "8", "passes", "0.21", "points", "40%", "3.1%", "yes"]
    assert len(lines) == 3 + 10


def test_where_no_run_pays_it_is_said():
    text = str(Suggestions(runs=(replace(FOUND, worth=False),), budgets=(1_000_000,), loss=True))
    assert text.startswith("No further run is worth it: ")
    assert text.endswith("no")
    assert "points" not in text
