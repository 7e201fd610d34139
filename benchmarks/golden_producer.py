"""The commands whose results `golden.py` compares, each in a process of its own, one after the other.

    PYTHONPATH=src python -P benchmarks/golden_producer.py DIR [--quick]

Writes inputs into DIR/in, results beside it, and into DIR/said what every command printed and its exit code.
Uses `python -m thresher.cli` and `import thresher` alone. The processes are forked from this one, which has
loaded what others wrote and takes long to load, and nothing of the package. One thread, one core; after every
command all files get one modification time, since stages remember those of what they read.
"""

import argparse
import contextlib
import importlib
import os
import runpy
import shlex
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

SLOW_TO_LOAD = (
    *("torch", "open_clip", "scipy.optimize", "scipy.special", "pyarrow.parquet", "pyarrow.compute"),
    *("pydantic.fields", "pydantic.main", "pydantic.type_adapter", "typer.main", "rich.progress", "jinja2"),
    *("plotly", "PIL.Image", "fsspec", "fsspec.implementations.local", "zoneinfo"),
)
"""Modules of others that are loaded before a process is forked."""

COMMANDS = (
    *("demo", "init", "run", "score", "embed", "score-embedded", "filter-network", "import-scores"),
    *("import-embeddings", "combine", "dedup", "balance", "softcap", "cut", "probe", "import", "fit"),
    *("predict", "plan", "subset", "train", "picks", "evaluate", "report"),
)


def main() -> None:
    """Write the inputs and run everything; see the text of this file."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("out", type=Path, nargs="?", help="folder to write into; nothing is run without it")
    parser.add_argument("--quick", action="store_true", help="leave out what takes longest")
    arguments = parser.parse_args()
    if arguments.out is None:
        print("golden.py runs this with a folder to write into")
        return
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    for name in SLOW_TO_LOAD:
        importlib.import_module(name)
    sys.path.append(str(Path(__file__).parent))
    inputs, calls = (importlib.import_module(name) for name in ("golden_inputs", "golden_calls"))
    sys.path.pop()
    arguments.out.mkdir(parents=True, exist_ok=True)
    os.chdir(arguments.out)
    inputs.write_inputs(Path("in"))
    inputs.write_demo(Path("demo"))
    calls.write_configs()
    Path("said").mkdir()
    for name, action in actions(calls.calls(quick=arguments.quick)):
        started, busy = time.perf_counter(), os.times().children_user
        in_fork(Path("said") / name, action)
        inputs.set_times(Path())
        busy = os.times().children_user - busy
        print(f"{time.perf_counter() - started:7.2f} s, {busy:6.2f} s of a core  {name}", flush=True)


def actions(calls: list[tuple[str, str]]) -> list[tuple[str, Callable[[], None]]]:
    """What is done, in order, by the name of the file that it prints into."""
    commands = [(name, lambda words=words: command(*shlex.split(words))) for name, words in calls]
    return [("help", every_help), *commands, ("api", api), ("selection", selection)]


def in_fork(said: Path, action: Callable[[], None]) -> None:
    """Do something in a process of its own, and keep what it says and its exit code."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        for name, stream in (("out", sys.stdout), ("err", sys.stderr)):
            with said.with_suffix(f".{name}").open("wb") as file:
                os.dup2(file.fileno(), stream.fileno())
        code = 0
        try:
            action()
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else int(left.code is not None)
        except BaseException:  # noqa: BLE001 - a traceback is what the command says
            traceback.print_exc()
            code = 1
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    said.with_suffix(".code").write_text(f"{code}\n")


def command(*words: str) -> None:
    """`python -m thresher.cli` with these words, here; after the word `two` in two processes."""
    if words[0] == "two":
        in_two(lambda: command(*words[1:]))
    else:
        sys.argv = ["thresher", *words]
        runpy.run_module("thresher.cli", run_name="__main__", alter_sys=True)


def in_two(action: Callable[[], None]) -> None:
    """Do something in this process and in one forked from it, told of each other as torchrun does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    rank = int(os.fork() == 0)
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    os.environ.update(address | {name: str(number) for name, number in numbers.items()})
    try:
        action()
    finally:
        if rank == 0:
            os.wait()


def every_help() -> None:
    """The version, the overview, and the page of every command."""
    for words in (("--version",), ("--help",), *((name, "--help") for name in COMMANDS)):
        print(f"== {' '.join(words)}", flush=True)
        with contextlib.suppress(SystemExit):
            command(*words)


def api() -> None:
    """The planning side as a notebook uses it."""
    import thresher as th

    print(*sorted(th.__all__), sep="\n")
    runs = th.read_runs("in/runs.jsonl")
    fitted = th.fit(runs, law="utility", num_draws=40)
    planned = th.plan(fitted, budgets=["4M", 64_000_000, "1e18FLOPs"])
    predicted = th.predict(fitted, {"best": 2, "rest": 1}, "16M", with_noise=True)
    suggested = th.suggest(fitted, budgets="64M")
    for result in (fitted, planned, predicted, suggested):
        print(f"{result!r}\n{result}\n{result._repr_html_()}")
    print(
        float(predicted), list(suggested), th.parse_count("1.5B"), th.DEVICES, th.Price(flops_per_sample=1e9)
    )
    imported = th.import_runs(
        ["in/foreign/evals"], format="datacomp", supply={"pool": "a", "unique_samples": "1M"}
    )
    print(imported, th.append_runs("r/api.jsonl", imported))
    th.save_laws("l/api.json", fitted)
    th.save_plan("n/api.json", planned)
    print(th.load_laws("l/api.json") == fitted, str(th.load_plan("n/api.json")) == str(planned))
    for wrong in (lambda: th.parse_count("many"), lambda: th.predict(fitted, {"gone": 1}, "1M")):
        try:
            wrong()
        except th.InputError as error:
            print(error)
    if importlib.util.find_spec("polars"):
        for result in (fitted, planned, suggested):
            print(result.to_polars().to_dicts())


def selection() -> None:
    """Pairs that `select` takes from a super-batch of a loop of one's own."""
    import torch

    from thresher.selection import CRITERIA, METHODS, Embeddings, select, uid_keys

    draw = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(2, 2, 48, 12, generator=draw), dim=3)
    learner, reference = (
        Embeddings(image_BD=images, text_BD=texts, scale=scale, bias=bias)
        for (images, texts), scale, bias in zip(vectors, (10.0, 12.0), (-8.0, -9.0), strict=True)
    )
    keys_B = uid_keys([f"{number:032x}" for number in range(48)])
    for method in METHODS:
        for criterion in CRITERIA:
            found = select(
                *(learner, reference, keys_B),
                **{"size": 12, "step": 3, "seed": 1, "method": method, "criterion": criterion, "chunks": 3},
            )
            print(method, criterion, found.places_b.tolist(), found.logit_b.tolist(), found.flops)


if __name__ == "__main__":
    main()
