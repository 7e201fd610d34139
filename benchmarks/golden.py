"""Do all commands still give what they gave at a commit? For changes that move code and change nothing.

    python benchmarks/golden.py [--base COMMIT] [--keep DIR [--reuse]] [--quick] [--all]

Runs every command on small inputs that `golden_inputs.py` draws (`golden_calls.py` has the list), first
with the source of COMMIT, then with that of this tree, in the same folder, and compares all that they wrote
and printed, file by file. Prints each file that differs (`--all`: each file) with the first difference, and
exits with 1 where there is one. COMMIT is HEAD when left out. `--keep` leaves both results in DIR/base and
DIR/tree; `--reuse` then takes DIR/base as it is, if it is of the same commit and list of commands. `--quick`
leaves out what takes longest.

Two files that are not equal to the byte are the same if they hold the same but for what `DROPPED` and
`PATTERNS` name (times and speeds), `DIGESTS` (hexadecimal digests of settings), and what `RENAMED` says was
renamed on purpose. Loaded tensors are compared, not the archives that hold them.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PRODUCER = ("golden_producer.py", "golden_calls.py", "golden_inputs.py")

RENAMED: dict[str, str] = {}
"""Keys, messages and file names that were changed on purpose: text of the base -> text of the tree."""

DROPPED = ("time", "seconds", "waited_seconds", "samples_per_second", "pairs_per_second", "mfu")
"""JSON keys whose value is a time or a speed."""

DIGESTS = (
    *("made_of", "tasks", "pools", "pairs", "shards", "settings_digest", "state", "exclude", "joined by"),
    "thresher.fingerprint",
)
"""Keys of JSON, and of the metadata of tables, whose value, where it is hexadecimal, is a digest of settings
or the state of a file. Fingerprints of models, scores and subsets are none: they stand for content."""

HEXADECIMAL = re.compile("[0-9a-f-]{6,}")

PATTERNS = (
    (re.compile(r"[\d,.]+ pairs/s"), "~ pairs/s"),
    (re.compile(r"\bat \d+/s"), "at ~/s"),
    (re.compile(r"\bin [\d,.]+ s\b"), "in ~ s"),
    (re.compile(r"^\S+: \d+ of \d+.*\n", re.M), ""),  # progress, a line every half minute
)
"""Times and speeds in what is printed."""

IN_PATHS = re.compile(r"(?<=[-/])[0-9a-f]{12,}(?=[./]|$)")
"""Digests in the names of files and folders."""

UNORDERED = ("said/stages-probe-two.err",)
"""Files whose lines come as several processes finish."""

ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHONHASHSEED"), "1"),
    **{"HF_HUB_OFFLINE": "1", "COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1", "TZ": "UTC"},
    **{"MPLBACKEND": "Agg", "SOURCE_DATE_EPOCH": "1700000000", "CUDA_VISIBLE_DEVICES": ""},
    **{"PYTHONDONTWRITEBYTECODE": ""},  # compiling the source anew in every process takes longest
}
SHOWN = 70

Places = Iterator[tuple[str, str]]
"""What a file holds: where, and what stands there."""


def main() -> int:
    """Produce, compare and print; see the text of this file."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--base", default="HEAD", metavar="COMMIT", help="commit to compare with")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="folder for both results")
    parser.add_argument("--reuse", action="store_true", help="take the base's results from --keep")
    parser.add_argument("--quick", action="store_true", help="leave out what takes longest")
    parser.add_argument("--all", action="store_true", help="print the files that are equal as well")
    arguments = parser.parse_args()
    if arguments.reuse and arguments.keep is None:
        parser.error("--reuse needs --keep DIR, the folder of an earlier run")
    with tempfile.TemporaryDirectory(prefix="golden-") as scratch:
        home = (arguments.keep or Path(scratch)).resolve()
        home.mkdir(parents=True, exist_ok=True)
        produce_base(arguments.base, home, Path(scratch), quick=arguments.quick, reuse=arguments.reuse)
        produce(ROOT / "src", home, "tree", quick=arguments.quick)
        return compare(home / "base", home / "tree", show_all=arguments.all)


def produce_base(commit: str, home: Path, scratch: Path, *, quick: bool, reuse: bool) -> None:
    """The results of a commit in HOME/base; with `reuse` those that are there, if of the same calls."""
    commit = _git("rev-parse", "--verify", f"{commit}^{{commit}}").decode().strip()
    lists = b"".join((ROOT / "benchmarks" / name).read_bytes() for name in PRODUCER)
    digest = hashlib.sha256(lists).hexdigest()
    made_of = {"commit": commit, "quick": quick, "lists": digest, "home": str(home)}  # paths are in results
    mark = home / "base.json"
    if reuse and mark.exists() and json.loads(mark.read_text()) == made_of:
        print(f"base: as kept, {commit[:7]}")
        return
    mark.unlink(missing_ok=True)
    archive = scratch / "source.tar"
    archive.write_bytes(_git("archive", commit, "src"))
    with tarfile.open(archive) as tar:
        tar.extractall(scratch / "source", filter="data")
    produce(scratch / "source" / "src", home, "base", quick=quick)
    mark.write_text(json.dumps(made_of))


def _git(*words: str) -> bytes:
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, check=True).stdout


def produce(source: Path, home: Path, name: str, *, quick: bool) -> None:
    """Run all commands of the source in HOME/run, so that paths are the same, and move it to HOME/`name`."""
    started, busy = time.perf_counter(), os.times().children_user
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(source)}
    for folder in (home / "run", home / name):
        shutil.rmtree(folder, ignore_errors=True)
    found = _python(environment, "-c", "import thresher; print(thresher.__file__)").stdout.strip()
    if not Path(found).is_relative_to(source):
        sys.exit(f"thresher is loaded from {found}, not from {source}; is it installed as a copy?")
    script = str(ROOT / "benchmarks" / PRODUCER[0])
    done = _python(environment, script, str(home / "run"), *(["--quick"] if quick else []))
    (home / "run").rename(home / name)
    (home / f"{name}.log").write_text(done.stdout)
    seconds, busy = time.perf_counter() - started, os.times().children_user - busy
    print(
        f"{name}: {len(done.stdout.splitlines())} calls in {seconds:.0f} s, {busy:.0f} s of a core",
        flush=True,
    )


def _python(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-P", *words], env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(words)} failed:\n{done.stdout}{done.stderr}")
    return done


def compare(base: Path, tree: Path, *, show_all: bool) -> int:
    """Print how the files of two folders differ; 1 where they do."""
    old, new = files_of(base, RENAMED), files_of(tree, {})
    counts = {"equal": 0, "the same": 0, "differs": 0}
    for name in sorted(old.keys() | new.keys()):
        if name not in new or name not in old:
            state, difference = "differs", "only in the base" if name in old else "only in the tree"
        elif old[name].read_bytes() == new[name].read_bytes():
            state, difference = "equal", ""
        else:
            difference = first_difference(old[name], new[name], ordered=name not in UNORDERED)
            state = "differs" if difference else "the same"
        counts[state] += 1
        if show_all or state == "differs":
            print(f"{state:<8}  {name}{'  ' if difference else ''}{difference}")
    print(", ".join(f"{count} {state}" for state, count in counts.items()))
    return int(counts["differs"] > 0)


def files_of(folder: Path, renamed: dict[str, str]) -> dict[str, Path]:
    """Every file of a folder but the hidden ones (locks), by its path without digests."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name[0] != ".")
    return {IN_PATHS.sub("~", rename(path.relative_to(folder).as_posix(), renamed)): path for path in paths}


def first_difference(base: Path, tree: Path, *, ordered: bool = True) -> str:
    """Where two files differ first, and how; empty where they are the same."""
    views = view(base, RENAMED), view(tree, {})
    if not ordered:
        views = tuple(iter(sorted(("a line", text) for _, text in found)) for found in views)
    for old, new in zip_longest(*views, fillvalue=("end of file", "")):
        if old != new:
            same = _num_alike(old[1], new[1]) if old[0] == new[0] else 0
            was, now = (text[max(0, same - SHOWN // 2) :][:SHOWN] for text in (old[1], new[1]))
            place = old[0] if old[0] == new[0] else f"{old[0]} / {new[0]}"
            return f"{place}: {was!r} -> {now!r}"
    return ""


def _num_alike(one: str, other: str) -> int:
    """Characters that two texts begin with both."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def view(path: Path, renamed: dict[str, str]) -> Places:
    """What a file holds, without times, digests and old names."""
    for place, text in _raw_view(path):
        yield rename(place, renamed), rename(text, renamed)


def rename(text: str, renamed: dict[str, str]) -> str:
    """The text with the names of today."""
    for old, new in renamed.items():
        text = text.replace(old, new)
    return text


def _raw_view(path: Path) -> Places:
    if path.suffix == ".parquet":
        return _view_parquet(path)
    if path.suffix in (".npy", ".npz"):
        return _view_arrays(path)
    if path.suffix == ".tar":
        return _view_tar(path)
    if path.suffix == ".pt" or path.name == "open_clip_pytorch_model.bin":
        return _view_tensors(path)
    content = path.read_bytes()
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return iter([("bytes", content.hex())])
    return _view_text(text, separator=">" if path.suffix in (".html", ".svg") else "\n")


def _view_text(text: str, separator: str = "\n") -> Places:
    """JSON by its keys, line by line where every line is JSON; any other text by its lines."""
    for pieces in ([text], text.splitlines()):
        try:
            found = [json.loads(piece) for piece in pieces]
        except ValueError:
            continue
        for number, value in enumerate(found):
            yield from _view_json(value, f"line {number + 1} " if len(found) > 1 else "")
        return
    for number, line in enumerate(_plain(text).split(separator)):
        yield f"line {number + 1}", line


def _view_json(value: Any, place: str, key: str = "") -> Places:
    if key in DROPPED or (key in DIGESTS and isinstance(value, str) and HEXADECIMAL.fullmatch(value)):
        yield place, "~"
    elif isinstance(value, dict):
        yield place, f"{len(value)} keys"
        for name, item in value.items():
            yield from _view_json(item, f"{place}.{name}", name)
    elif isinstance(value, list):
        yield place, f"{len(value)} items"
        for number, item in enumerate(value):
            yield from _view_json(item, f"{place}[{number}]")
    else:
        yield place, _plain(value) if isinstance(value, str) else json.dumps(value)


def _plain(text: str) -> str:
    for pattern, instead in PATTERNS:
        text = pattern.sub(instead, text)
    return text


def _view_parquet(path: Path) -> Places:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    for field in table.schema:
        yield f"column {field.name}", str(field.type)
    for key, value in sorted((table.schema.metadata or {}).items()):
        name, told = key.decode(), value.decode(errors="replace")
        told = "~" if name in DIGESTS and HEXADECIMAL.fullmatch(told) else told
        for place, text in _view_text(told):
            yield f"metadata {name} {place}", text
    for number, row in enumerate(table.to_pylist()):
        for name, value in row.items():
            yield f"row {number} {name}", repr(value)


def _view_arrays(path: Path) -> Places:
    loaded = np.load(path)
    arrays = {"": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    for name, array in arrays.items():
        yield f"{name} shape", f"{array.dtype} {array.shape}"
        for number, row in enumerate(np.atleast_1d(array)):
            yield f"{name}[{number}]", f"{row.tolist()}"


def _view_tar(path: Path) -> Places:
    with tarfile.open(path) as tar:
        for number, member in enumerate(tar):
            content = tar.extractfile(member)
            digest = hashlib.sha256(content.read() if content is not None else b"").hexdigest()
            yield f"member {number}", f"{member.name} {member.size} {member.mode} {member.mtime} {digest}"


def _view_tensors(path: Path) -> Places:
    import torch

    def walk(value: Any, place: str) -> Places:
        if isinstance(value, dict):
            for key, item in value.items():
                yield from walk(item, f"{place}.{key}")
        elif isinstance(value, list | tuple):
            for number, item in enumerate(value):
                yield from walk(item, f"{place}[{number}]")
        elif isinstance(value, torch.Tensor):
            digest = hashlib.sha256(value.flatten().view(torch.uint8).numpy().tobytes()).hexdigest()
            yield place, f"{value.dtype} {tuple(value.shape)} {digest}"
        else:
            yield place, repr(value)

    return walk(torch.load(path, map_location="cpu", weights_only=True), "")


if __name__ == "__main__":
    sys.exit(main())
