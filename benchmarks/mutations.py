"""Small faults planted in the core, and whether the fast tests notice them.

    python benchmarks/mutations.py [--sample 160] [--seed 0] [--module NAME ...] [--survivors-only]
                                   [--times FILE]

Faults are made by rule, at every place of `MODULES` where a rule applies:

    compare   < and <=, > and >=, == and != change places
    constant  a number goes up by one or doubles, 0 and 1, True and False change places
    sign      + and - change places, a unary minus goes
    call      a call that is a statement (a flush to the disk, taking a lock) goes, `min`, `max`, `abs` and
              `sorted` give their first argument, `with lock:` holds nothing

Annotations, decorators, f-strings and what is raised stay as they are: messages are not the core. `--sample`
faults are drawn, spread over modules and rules as evenly as they go; `PROMISES` come on top.

A fault is tested in a copy of the tree by a forked process that has the heavy libraries loaded. It runs the
fast tests of the module until one fails: doctests, its own test file, then the files that reach it by the
fewest imports, as many tests as take `BUDGET` seconds without a fault. A fault that makes them hang counts as
noticed. Faults that change nothing a caller can see are in `EQUIVALENT` with the reason, and are not run. The
exit status is 1 where any other survives.

`--module` takes parts of names. `--times` keeps the seconds of the tests between calls. A fault takes 2 to
15 seconds of a core.
"""

import argparse
import ast
import copy
import hashlib
import json
import os
import random
import re
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = (
    *(
        f"planning.laws.{name}"
        for name in (
            *("law", "mix", "utility", "baselines", "integrals", "problem", "solve", "law_weights"),
            *("fit", "predict"),
        )
    ),
    *(
        f"planning.plans.{name}"
        for name in ("one_budget", "make_plan", "costs", "frontier", "reduction", "next_run")
    ),
    *(
        f"selection.{name}"
        for name in ("joint", "pairwise", "choices", "criteria", "noise", "sub_batch", "keys")
    ),
    *("curate.subset.manifest", "curate.pools.cut", "curate.pools.keys"),
    *("data.files.atomic", "data.files.lock", "sharded.job"),
    *("train.picks", "train.schedule", "pipeline.estimate"),
)
HEAVY = (
    *("numpy", "scipy.optimize", "scipy.special", "scipy.stats", "pyarrow.parquet", "pyarrow.compute"),
    *("pyarrow.csv", "pyarrow.dataset", "torch", "torch.utils.data", "open_clip", "fsspec", "pydantic"),
    *("typer", "rich.console", "jinja2", "plotly.graph_objects", "PIL.Image", "hypothesis", "psutil"),
)
BUDGET = 12.0
"""Seconds of tests for one fault."""
LONGEST = 6.0
"""Seconds of one test."""
FILES = 6
"""Test files for one module."""
PATIENCE = 120.0
"""Seconds after which tests of a fault count as hanging."""
FAILED, BROKEN, EMPTY = 1, 3, 5
"""Exit statuses of pytest."""

PROMISES = (
    ("planning.laws.law_weights", "if len(tried) == len(evidence):", "if False:"),
    ("planning.laws.predict", "if known is None:", "if True:"),
    ("planning.laws.doubt", "doubt.pools * own", "0.0 * own"),
    ("planning.plans.costs", "chance=float((saved_SG[:, place] >= samples).mean()),", "chance=1.0,"),
    ("planning.plans.one_budget", "if near_C[place] >= SURE]", "if near_C[place] >= 0.5]"),
    ("data.files.atomic", "        _flush_to_disk(temporary)\n", ""),
    ("data.files.atomic", "    _flush_to_disk(target.parent)\n", ""),
    ("data.files.atomic", "        fcntl.flock(descriptor, fcntl.LOCK_EX)\n", ""),
    (
        "data.files.atomic",
        "            line = line[os.write(descriptor, line) :]\n        os.fsync(descriptor)\n",
        "            line = line[os.write(descriptor, line) :]\n",
    ),
    ("pipeline.estimate", "seconds += pairs / rate", "seconds += 0"),
    ("pipeline.estimate", "if config.probe.verify:", "if False:"),
    ("curate.subset.manifest", "[left[rank] - 1]]", "[left[rank]]]"),
)
"""Faults that no fast test noticed once: module, text, text in its place."""

EQUIVALENT: Mapping[tuple[str, str, str, str], str] = {
    (
        "curate.subset.manifest",
        "counts_PC = np.zeros((len(ranks), 2 ** min(bits, 16)), dtype=np.int64)",
        "min(bits, 16)",
        "(bits)",
    ): "the number of cells bounds the memory of the counts alone; finer ones give the same marks",
    (
        "planning.laws.mix",
        "if (n0 <= interval.min()).all():  "
        "# then E(n0) = ln n0 whatever tau, and draws are spared a second sum",
        "n0 <= interval.min()",
        "n0 < interval.min()",
    ): "where they are equal E(n0) is ln n0 by either branch, and a kink in n0 has a slope on either side",
    (
        "planning.laws.utility",
        "most = passes.max(initial=0.0)",
        "initial=0.0",
        "initial=1.0",
    ): "before the first repetition both sums are empty",
    (
        "planning.laws.utility",
        "if most * math.prod(shape) <= _FEW_TERMS and most <= FIRST_LATER:",
        "most * math.prod(shape) <= _FEW_TERMS",
        "most * math.prod(shape) < _FEW_TERMS",
    ): "both branches are the same sum; the bound only says which is quicker",
    (
        "planning.laws.utility",
        "width = max(_FIRST_BLOCK, min(start, _LARGEST_BLOCK_ELEMENTS // active.size))",
        "max(_FIRST_BLOCK, min(start, _LARGEST_BLOCK_ELEMENTS // active.size))",
        "(_FIRST_BLOCK)",
    ): "the width of a block changes the speed of the sum alone",
    (
        "planning.laws.utility",
        "width = max(_FIRST_BLOCK, min(start, _LARGEST_BLOCK_ELEMENTS // active.size))",
        "min(start, _LARGEST_BLOCK_ELEMENTS // active.size)",
        "(start)",
    ): "the width of a block bounds the memory of the sum alone",
    (
        "planning.laws.utility",
        "active = active[(start < K_A) & (log_decay_A * start > _NEGLIGIBLE)]",
        "log_decay_A * start > _NEGLIGIBLE",
        "log_decay_A * start >= _NEGLIGIBLE",
    ): "terms of exp(-40) of the first change no double",
    (
        "planning.laws.baselines",
        "np.where(passes > 1.0, passes * kept / worth, 1.0),",
        "passes > 1.0",
        "passes >= 1.0",
    ): "after exactly one pass what is kept and the worth are 1: the other branch is 1, too",
    (
        "planning.laws.baselines",
        "large = R / (1.0 + seen) > _SERIES_ABOVE",
        "R / (1.0 + seen) > _SERIES_ABOVE",
        "R / (1.0 + seen) >= _SERIES_ABOVE",
    ): "at the bound series and closed form agree to 1e-10",
    (
        "planning.laws.integrals",
        "large = z > _SMALL",
        "z > _SMALL",
        "z >= _SMALL",
    ): "at the bound series and closed form agree to 1e-14",
    (
        "planning.laws.solve",
        "_SIZE_SHARES = (0.05, 0.2)",
        "0.2",
        "0.4",
    ): "where some of many descents begin; the best of them ends at the same minimum, to 1e-8",
    (
        "planning.laws.solve",
        "_LEAST_B = -1e-3",
        "-0.001",
        "(0.001)",
    ): "where a pool that seems to teach nothing begins its descents; they end at the same minimum, to 1e-8",
    (
        "planning.laws.law_weights",
        "_SUM_TO_ONE = 1e4",
        "10000.0",
        "20000.0",
    ): "shares are divided by their sum, and either weight outweighs relative errors by far",
    (
        "planning.plans.costs",
        "chance=float((saved_SG[:, place] >= samples).mean()),",
        "saved_SG[:, place] >= samples",
        "saved_SG[:, place] > samples",
    ): "no draw saves exactly as many samples as were spent",
    (
        "planning.plans.frontier",
        "behind_K = np.flatnonzero(error_2K[0, 1:] >= error_2K[1, 1:])",
        "error_2K[0, 1:] >= error_2K[1, 1:]",
        "error_2K[0, 1:] > error_2K[1, 1:]",
    ): "errors are equal to the last bit there, and the crossing moves by 1e-8 of its stretch",
    (
        "planning.plans.reduction",
        "signs_SJ = np.where(np.random.default_rng(0).random(run_SJ.shape) < 0.5, -noise, noise)",
        "0",
        "1",
    ): "another seed of the same noise",
    (
        "planning.plans.next_run",
        "if best.regret_fall <= _LEAST_FALL:",
        "best.regret_fall <= _LEAST_FALL",
        "best.regret_fall < _LEAST_FALL",
    ): "no run lowers regret by exactly the least fall",
    (
        "selection.pairwise",
        'SHAPES = {"cpu": Shape(1024, 256)}',
        "1024",
        "2048",
    ): "the width of a tile changes the speed: every candidate has its own column of sums",
    (
        "selection.pairwise",
        "LARGE = Shape(4096, 1024)",
        "1024",
        "1025",
    ): "parts of a chunk on an accelerator: speed, and how sums of fp32 are grouped",
    (
        "curate.subset.manifest",
        "excluded = pa.array(sorted(exclude), pa.string())",
        "sorted(exclude)",
        "(exclude)",
    ): "a set of uids: their order says nothing",
    (
        "curate.subset.manifest",
        "return float(round(rate)) if abs(rate - round(rate)) < 1e-9 * max(rate, 1.0) else rate",
        "abs(rate - round(rate)) < 1e-09 * max(rate, 1.0)",
        "abs(rate - round(rate)) <= 1e-09 * max(rate, 1.0)",
    ): "rounding errors lie far from the bound",
    (
        "curate.subset.manifest",
        "return float(round(rate)) if abs(rate - round(rate)) < 1e-9 * max(rate, 1.0) else rate",
        "max(rate, 1.0)",
        "(rate)",
    ): "a rate below 1 differs by less than a draw of a pool of 1e9 pairs",
    (
        "data.files.atomic",
        "text = json.dumps(obj, indent=indent, ensure_ascii=False, allow_nan=False, default=_plain)",
        "allow_nan=False",
        "allow_nan=True",
    ): "what is not finite has been refused by its place before",
    (
        "data.files.lock",
        "descriptor = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)",
        "420",
        "421",
    ): "that others may execute an empty file changes nothing",
}
"""Faults that no caller can see, and why: module, line of the source, expression before and after."""

_SWAPPED: Mapping[type[ast.AST], type[ast.AST]] = {
    **{
        ast.Lt: ast.LtE,
        ast.LtE: ast.Lt,
        ast.Gt: ast.GtE,
        ast.GtE: ast.Gt,
        ast.Eq: ast.NotEq,
        ast.NotEq: ast.Eq,
    },
    **{ast.Add: ast.Sub, ast.Sub: ast.Add},
}
_LEFT_ALONE = {"annotation", "returns", "decorator_list"}
_FIRST = ("min", "max", "abs", "sorted")
_LOCK = re.compile(r"(?<![a-z])lock", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Mutation:
    """`source` with the bytes from `start` to `end` replaced by `after`."""

    module: str
    rule: str
    line: int
    source_line: str
    start: int
    end: int
    before: str
    after: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What it is known by when lines move."""
        return self.module, self.source_line, self.before, self.after

    def applied(self, source: bytes) -> bytes:
        """The module with the fault."""
        return source[: self.start] + self.after.encode() + source[self.end :]


def main() -> None:
    """Test the faults and print which were noticed; see the text of this file."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--sample", type=int, default=160, help="faults to draw, besides those once missed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--module", nargs="*", default=[""], help="parts of the names of modules to test")
    parser.add_argument("--survivors-only", action="store_true", help="print what was not noticed alone")
    parser.add_argument("--times", type=Path, help="JSON file for the seconds of the tests")
    arguments = parser.parse_args()
    started = time.monotonic()
    found = [mutation for module in MODULES for mutation in candidates(module, path_of(module).read_bytes())]
    chosen = [*promises(), *sample(found, arguments.sample, arguments.seed)]
    chosen = [mutation for mutation in chosen if any(part in mutation.module for part in arguments.module)]
    gone = EQUIVALENT.keys() - {mutation.key for mutation in found}
    for key in sorted(gone):
        print(f"no longer in the source: {key}")
    for name in HEAVY:
        import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        tests = Tests(copy_of_tree(Path(folder)), arguments.times)
        tests.measure(dict.fromkeys(mutation.module for mutation in chosen))
        print(f"tests measured after {time.monotonic() - started:.0f} s", flush=True)
        outcomes = []
        for mutation in chosen:
            outcomes.append("equivalent" if mutation.key in EQUIVALENT else tests.outcome(mutation))
            if outcomes[-1] == "survived":
                print(describe(mutation), flush=True)
            print(f"{len(outcomes)}/{len(chosen)} {mutation.module} {outcomes[-1]}", file=sys.stderr)
    if not arguments.survivors_only:
        print_counts(chosen, outcomes)
        print(f"of {len(found)} places; {time.monotonic() - started:.0f} s")
    sys.exit("survived" in outcomes)


def print_counts(mutations: Sequence[Mutation], outcomes: Sequence[str]) -> None:
    """Noticed of tested, by module and by rule."""
    for column in ("module", "rule"):
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for mutation, outcome in zip(mutations, outcomes, strict=True):
            counts[getattr(mutation, column)][outcome] += 1
        for name, count in counts.items():
            noticed, rest = count["killed"] + count["hung"], count["survived"]
            print(f"{name:28} {noticed:4} killed {rest:4} survived {count['equivalent']:4} equivalent")
    print(", ".join(f"{count} {outcome}" for outcome, count in Counter(outcomes).items()))


def describe(mutation: Mutation) -> str:
    """Place, rule, before and after of a fault that survived."""
    place = f"{path_of(mutation.module).relative_to(ROOT)}:{mutation.line}"
    what = " ".join(f"{mutation.before} -> {mutation.after or 'nothing'}".split())
    return f"{place} {mutation.rule}: {what}\n    {mutation.source_line}"


def path_of(module: str) -> Path:
    """The file of a module."""
    return ROOT / "src/thresher" / f"{module.replace('.', '/')}.py"


def promises() -> list[Mutation]:
    """`PROMISES` as faults."""
    made = []
    for module, before, after in PROMISES:
        text = path_of(module).read_text()
        if text.count(before) != 1:
            raise ValueError(f"{module} has {text.count(before)} places {before!r}; mend PROMISES")
        start = text.index(before)
        line = text.count("\n", 0, start) + 1
        first = len(text[:start].encode())
        source_line = text.splitlines()[line - 1].strip()
        made.append(
            Mutation(module, "promise", line, source_line, first, first + len(before.encode()), before, after)
        )
    return made


def sample(found: Sequence[Mutation], number: int, seed: int) -> list[Mutation]:
    """`number` faults, the same for a seed: one of each module and rule, then a second of each, and so on."""
    strata: dict[tuple[str, str], list[Mutation]] = defaultdict(list)
    for mutation in found:
        strata[mutation.module, mutation.rule].append(mutation)
    draws = random.Random(seed)
    for stratum in strata.values():
        draws.shuffle(stratum)
    keys = list(strata)
    drawn: list[Mutation] = []
    for turn in range(max(map(len, strata.values()), default=0)):
        left = [key for key in keys if len(strata[key]) > turn]
        draws.shuffle(left)
        drawn += [strata[key][turn] for key in left[: number - len(drawn)]]
    return sorted(drawn, key=lambda mutation: (MODULES.index(mutation.module), mutation.start))


# faults by rule


def candidates(module: str, source: bytes) -> Iterator[Mutation]:
    """Every fault that the rules make of a module.

    >>> [m.after for m in candidates("m", b"if a < 1: f()")]
    ['a <= 1', '0', '2', 'pass']
    """
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    for node in _walk(ast.parse(source)):
        for rule, after in changes(node):
            start = starts[node.lineno - 1] + node.col_offset
            end = starts[node.end_lineno - 1] + node.end_col_offset
            line = lines[node.lineno - 1].decode().strip()
            yield Mutation(module, rule, node.lineno, line, start, end, ast.unparse(node), after)


def changes(node: Any) -> Iterator[tuple[str, str]]:
    """Rule and text in place of a node, for each fault of it."""
    match node:
        case ast.Compare():
            for place, operator in enumerate(node.ops):
                if type(operator) in _SWAPPED:
                    yield "compare", _with(node, "ops", place, _SWAPPED[type(operator)]())
        case ast.keyword(arg=str(name), value=ast.Constant() as value):
            for rule, after in changes(value):
                yield rule, f"{name}={after}"
        case ast.Constant(value=bool()):
            yield "constant", str(not node.value)
        case ast.Constant(value=int() | float()):
            for value in _other_numbers(node.value):
                yield "constant", repr(value)
        case ast.BinOp(op=ast.Add() | ast.Sub()) if not (_is_text(node.left) or _is_text(node.right)):
            yield "sign", _with(node, "op", None, _SWAPPED[type(node.op)]())
        case ast.AugAssign(op=ast.Add() | ast.Sub()) if not _is_text(node.value):
            yield "sign", _with(node, "op", None, _SWAPPED[type(node.op)]())
        case ast.UnaryOp(op=ast.USub()):
            yield "sign", f"({ast.unparse(node.operand)})"
        case ast.Expr(value=ast.Call()):
            yield "call", "pass"
        case ast.Call(func=ast.Name(id=name), args=[first, *_]) if name in _FIRST:
            if not isinstance(first, ast.Starred):
                yield "call", f"({ast.unparse(first)})"
        case ast.Call() if getattr(node, "held_by_with", False) and _LOCK.search(ast.unparse(node.func)):
            yield "call", "__import__('contextlib').nullcontext()"


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes whose change is a fault of the code, and not of types or messages."""
    if isinstance(node, (ast.Raise, ast.JoinedStr, ast.Assert)) or _is_strict(node):
        return
    if isinstance(node, ast.withitem):
        node.context_expr.held_by_with = True  # type: ignore[attr-defined]
    yield node
    if isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant):
        return  # changed by its name
    for name, value in ast.iter_fields(node):
        if name not in _LEFT_ALONE:
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _walk(child)


def _is_strict(node: ast.AST) -> bool:
    """Whether it is the `strict=True` of `zip`, which only says what holds."""
    return isinstance(node, ast.keyword) and node.arg == "strict"


def _is_text(node: ast.expr) -> bool:
    """Whether a sum with it joins texts or lists."""
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))
    return is_text or isinstance(node, (ast.JoinedStr, ast.List, ast.Tuple, ast.ListComp))


def _other_numbers(value: float) -> Iterable[float]:
    if isinstance(value, int):
        return {0: (1,), 1: (0, 2)}.get(value, (value + 1, value * 2))
    return {0.0: (1.0,), 1.0: (0.0, 2.0)}.get(value, (value * 2,))


def _with(node: ast.AST, field: str, place: int | None, value: ast.AST) -> str:
    changed = copy.deepcopy(node)
    if place is None:
        setattr(changed, field, value)
    else:
        getattr(changed, field)[place] = value
    return ast.unparse(changed)


# which tests, and what they say


def copy_of_tree(folder: Path) -> Path:
    """A copy of the tree in which faults are planted."""
    for name in ("src", "tests", "benchmarks", "docs", "examples"):
        shutil.copytree(ROOT / name, folder / name)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy2(path, folder)
    return folder


def files_for(module: str, root: Path) -> list[str]:
    """Where the tests of a module are: its own file first, then by imports between and by folder."""
    source = f"src/thresher/{module.replace('.', '/')}.py"
    mirror = Path("tests", *module.split("."))
    own = f"{mirror.parent}/test_{mirror.name}.py"
    steps = _steps_to(f"thresher.{module}", root)

    def nearness(path: str) -> tuple[bool, int, int, str]:
        shared = os.path.commonpath([path, own])
        return path != own, steps[path], -len(Path(shared).parts), path

    return [source, *sorted(steps, key=nearness)[:FILES]]


def _steps_to(module: str, root: Path) -> dict[str, int]:
    """Imports between each test file and a module, for those that reach it."""
    importers = _importers(root)
    steps = {module: 0}
    waiting = [module]
    for name in waiting:  # grows
        for other in importers.get(name, ()):
            if other not in steps:
                steps[other] = steps[name] + 1
                waiting.append(other)
    return {
        f"{name.replace('.', '/')}.py": step
        for name, step in steps.items()
        if name.startswith("tests.") and name.rpartition(".")[2].startswith("test_")
    }


@cache
def _importers(root: Path) -> dict[str, set[str]]:
    """Module of the package or the tests -> modules that import it."""
    importers: dict[str, set[str]] = defaultdict(set)
    for folder, inside in ((root / "src", "thresher"), (root, "tests")):
        for path in sorted((folder / inside).rglob("*.py")):
            name = ".".join(path.relative_to(folder).with_suffix("").parts)
            for imported in _imported(path.read_bytes()):
                importers[imported].add(name)
    return importers


def _imported(source: bytes) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


class Tests:
    """The tests in a copy of the tree, and the seconds that each takes without a fault."""

    def __init__(self, root: Path, times: Path | None) -> None:
        self.root = root
        self.times = times
        self.seconds: dict[str, dict[str, float]] = {}
        if times is not None and times.exists():
            kept = json.loads(times.read_text())
            self.seconds = {path: took for path, (state, took) in kept.items() if state == self._state(path)}

    def measure(self, modules: Iterable[str]) -> None:
        """Run the tests of these modules without a fault, until their time for a fault is full."""
        for module in modules:
            total = 0.0
            for path in files_for(module, self.root):
                if total < BUDGET:
                    self._measure(path)
                    total += sum(took for took in self.seconds[path].values() if took <= LONGEST)
        if self.times is not None:
            kept = {path: (self._state(path), took) for path, took in self.seconds.items()}
            self.times.write_text(json.dumps(kept, indent=1))

    def _state(self, path: str) -> str:
        """Stands for the text of a test file."""
        return hashlib.blake2b((self.root / path).read_bytes(), digest_size=8).hexdigest()

    def _measure(self, path: str) -> None:
        """Seconds of the tests in a file; a test that fails without a fault tells nothing later."""
        if path in self.seconds:
            return
        result = self.root / "seconds.json"
        result.unlink(missing_ok=True)
        _forked(self.root, [path], {"seconds": result}, patience=600.0)
        if not result.exists():
            raise ValueError(f"{path} does not run without a fault: {(self.root / 'output.txt').read_text()}")
        self.seconds[path] = json.loads(result.read_text())

    def chosen(self, module: str) -> list[str]:
        """The tests that tell about a module, within the time for one fault."""
        chosen, total = [], 0.0
        for path in files_for(module, self.root):
            for test, took in self.seconds.get(path, {}).items():
                if took <= LONGEST and total + took <= BUDGET:
                    chosen.append(test)
                    total += took
        return chosen

    def outcome(self, mutation: Mutation) -> str:
        """Run the tests on a fault: "killed", "hung" or "survived"."""
        path = self.root / path_of(mutation.module).relative_to(ROOT)
        source = path.read_bytes()
        chosen = self.chosen(mutation.module)
        if not chosen:
            raise ValueError(f"no test of {mutation.module} takes less than {LONGEST} s; add one")
        path.write_bytes(mutation.applied(source))
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()  # a fault may keep size and time of the file
        try:
            files = list(dict.fromkeys(test.partition("::")[0] for test in chosen))
            status = _forked(self.root, files, {"chosen": chosen}, patience=PATIENCE)
        finally:
            path.write_bytes(source)
        if status == BROKEN:
            raise ValueError(f"pytest itself fails: {(self.root / 'output.txt').read_text()}")
        return "hung" if status is None else "survived" if status == 0 else "killed"


class Plugin:
    """Runs the chosen tests in their order, or all and keeps their seconds."""

    def __init__(self, chosen: Sequence[str] = (), seconds: Path | None = None) -> None:
        self.place = {test: place for place, test in enumerate(chosen)}
        self.file = seconds
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: set[str] = set()

    def pytest_sessionstart(self) -> None:
        """Failures need not be made small."""
        from hypothesis import Phase, settings

        settings.register_profile("faults", phases=[Phase.explicit, Phase.generate])
        settings.load_profile("faults")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the chosen tests."""
        if self.file is None:
            items[:] = sorted(
                (item for item in items if item.nodeid in self.place),
                key=lambda item: self.place[item.nodeid],
            )

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Add up what a test takes of a processor, children included: another load does not count."""
        before = sum(os.times()[:4])
        done = yield
        self.seconds[item.nodeid] += sum(os.times()[:4]) - before
        return done

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test that fails or is skipped without a fault tells nothing later."""
        if not report.passed:
            self.failed.add(report.nodeid)
            if report.failed and self.file is not None:
                print(f"fails without a fault: {report.nodeid}", file=sys.__stderr__)

    def pytest_sessionfinish(self) -> None:
        """Write the seconds of the tests that passed."""
        if self.file is not None:
            passed = {test: took for test, took in self.seconds.items() if test not in self.failed}
            self.file.write_text(json.dumps(passed))


def _forked(root: Path, files: Sequence[str], plugin: Mapping[str, Any], *, patience: float) -> int | None:
    """Exit status of pytest in a process of its own; None where it was still running after `patience`."""
    child = os.fork()
    if child == 0:
        status = FAILED
        try:
            os.setsid()
            silence = os.open(root / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(silence, 1)
            if "seconds" not in plugin:
                os.dup2(silence, 2)
                sys.dont_write_bytecode = True
            os.chdir(root)
            sys.path[:0] = [str(root / "src"), str(root)]
            os.environ["PYTHONPATH"] = str(root / "src")
            options = [
                "-q",
                "-m",
                "not slow and not soak",
                "-p",
                "no:cacheprovider",
                "-p",
                "no:xdist",
                "--assert",
                "plain",
            ]
            if "chosen" in plugin:
                options += ["-x", "--tb", "no"]
                status = _first_failure([[*options, path] for path in files], plugin["chosen"])
            else:
                status = int(pytest.main([*options, *files], plugins=[Plugin(**plugin)]))
        except BaseException:
            traceback.print_exc(file=sys.stdout)
            raise
        finally:
            sys.stdout.flush()
            os._exit(status)
    ready, _, _ = select.select([os.pidfd_open(child)], [], [], patience)
    if ready:
        _, how = os.waitpid(child, 0)
        _end_group(child)
        return FAILED if os.WIFSIGNALED(how) else os.WEXITSTATUS(how)
    _end_group(child)
    os.waitpid(child, 0)
    return None


def _first_failure(calls: Iterable[list[str]], chosen: Sequence[str]) -> int:
    """Exit status of the first call of pytest that fails, file by file: most faults need no second file."""
    for call in calls:
        status = int(pytest.main(call, plugins=[Plugin(chosen)]))
        if status not in (0, EMPTY):
            return status
    return 0


def _end_group(leader: int) -> None:
    """End the processes that tests may have left behind."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    main()
