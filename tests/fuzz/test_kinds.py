"""Some cases of each kind; `make fuzz` runs them for as long as there is time."""

import pytest

from tests.fuzz.case import Case
from tests.fuzz.kinds import KINDS
from tests.fuzz.workers import outcomes, summary

CASES = {kind: 10 if kind == "checkpoints" else 25 for kind in KINDS}


@pytest.mark.slow
def test_no_kind_of_input_does_harm() -> None:
    cases = (
        (kind, number) for number in range(max(CASES.values())) for kind in KINDS if number < CASES[kind]
    )
    found = list(outcomes(cases, workers=2))
    assert [f"{one.name}: {one.fault}" for one in found if one.fault] == []
    assert {kind: counts["cases"] for kind, counts in summary(found).items()} == CASES


def misbehave(case: Case) -> None:
    case.seal()
    match case.random.randrange(4):
        case 0:
            (case.inside / "new").write_text("here")
        case 1:
            (case.canary / "secret.txt").read_bytes()
        case 2:
            (case.out / "copy").write_bytes(b"of the canary: " + (case.canary / "secret.txt").name.encode())
        case _:
            raise ValueError("unexpected")


def test_the_watch_sees_what_must_not_be(tmp_path, monkeypatch) -> None:
    from tests.fuzz.workers import run_case

    monkeypatch.setitem(KINDS, "misbehave", misbehave)
    said = {run_case("misbehave", number, tmp_path / str(number))[:90] for number in range(20)}
    assert any("none of its business" in one for one in said)
    assert any("ValueError: unexpected" in one for one in said)
    assert "" in said
