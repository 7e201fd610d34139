import pytest
from benchmarks.mutations import MODULES, ROOT, candidates, files_for, path_of, promises, sample


def faults(source: str) -> list[str]:
    """The source with each fault that the rules make of it."""
    return [mutation.applied(source.encode()).decode() for mutation in candidates("m", source.encode())]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < b", ["x = a <= b"]),
        ("x = a != b >= c", ["x = a == b >= c", "x = a != b > c"]),
        ("x = 0", ["x = 1"]),
        ("x = 1", ["x = 0", "x = 2"]),
        ("x = 5", ["x = 6", "x = 10"]),
        ("x = 0.5", ["x = 1.0"]),
        ("x = True", ["x = False"]),
        ("f(a, b=0)", ["pass", "f(a, b=1)"]),
        ("x = a + b", ["x = a - b"]),
        ("x -= a", ["x += a"]),
        ("x = ü * -a", ["x = ü * (a)"]),
        ("x = f(max(a, b), min(c))", ["x = f((a), min(c))", "x = f(max(a, b), (c))"]),
        ("if a:\n    os.fsync(f)", ["if a:\n    pass"]),
        ("with folder_lock(f):\n    g", ["with __import__('contextlib').nullcontext():\n    g"]),
    ],
)
def test_a_rule_changes_one_place_and_leaves_the_rest(source: str, expected: list[str]) -> None:
    assert faults(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "raise ValueError(a + b)",
        "x = f'{a + 1}'",
        "x: Literal[1]",
        "x = a + 'text'",
        "@dataclass(frozen=True)\nclass A: ...",
        "zip(a, b, strict=True)[c]",
        "x = (a, *sorted)",
        "with open(block):\n    g",
    ],
)
def test_messages_types_and_texts_are_left_alone(source: str) -> None:
    assert faults(source) == []


def test_the_sample_is_spread_over_modules_and_rules_and_hangs_on_the_seed() -> None:
    found = [mutation for name in MODULES[:3] for mutation in candidates(name, path_of(name).read_bytes())]
    drawn = sample(found, 10, 0)
    assert len({(mutation.module, mutation.rule) for mutation in drawn}) == len(drawn) == 10
    assert drawn == sample(found, 10, 0)
    assert drawn != sample(found, 10, 1)
    assert len(sample(found, 10**6, 0)) == len(found)


def test_the_faults_once_missed_are_still_in_the_source() -> None:
    assert len(promises()) >= 10


def test_a_module_is_tested_by_its_own_file_first_and_then_by_what_imports_it() -> None:
    first, second, third, *_ = files_for("planning.plans.reduction", ROOT)
    assert first == "src/thresher/planning/plans/reduction.py"
    assert second == "tests/planning/plans/test_reduction.py"
    assert third == "tests/planning/plans/test_next_run.py"
