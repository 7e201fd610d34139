"""How long the planning side takes to load, in fresh processes.

    python benchmarks/import_time.py [--processes 15] [--slowest]

Starts one process after the other, every statement in turn, and prints the median and the fastest time of
each from start to end, without and with the start of Python itself. `import numpy` stands beside them, since
everything that computes here needs it, and last the commands with the stages around planning. The first round
fills the file cache and is not counted. Exits with 1 where torch was loaded. `--slowest` also prints the
modules that take longest where all names of the API are used.
"""

import argparse
import statistics
import subprocess
import sys
import time

STATEMENTS = (
    "pass",
    "import numpy",
    "import thresher",
    "import thresher as th; th.fit; th.plan",
    "import thresher as th; [getattr(th, name) for name in th.__all__]",
    "import thresher.cli, thresher.pipeline.config, thresher.curate.pools.cut, thresher.report.page",
)
API = STATEMENTS[4]
HEAVY = ("torch", "open_clip", "scipy", "pyarrow", "pydantic", "plotly", "typer")
SHOWN = 12


def main() -> int:
    """Measure and print; see the text of this file."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--processes", type=int, default=15, help="processes a statement")
    parser.add_argument("--slowest", action="store_true", help="print the slowest modules as well")
    arguments = parser.parse_args()
    seconds: dict[str, list[float]] = {statement: [] for statement in STATEMENTS}
    for number in range(arguments.processes + 1):
        for statement in STATEMENTS:
            started = time.perf_counter()
            _python(statement)
            if number:
                seconds[statement].append(time.perf_counter() - started)
    start = statistics.median(seconds["pass"])
    print(f"python {sys.version.split()[0]}, {arguments.processes} processes a statement, milliseconds")
    print("median  beyond python  fastest")
    for statement, times in seconds.items():
        median = statistics.median(times)
        print(f"{1e3 * median:6.0f}  {1e3 * (median - start):13.0f}  {1e3 * min(times):7.0f}  {statement}")
    found = f"import sys; print([name for name in {HEAVY} if name in sys.modules])"
    loaded = _python(f"{API}; {found}").stdout.strip()
    print(f"of {', '.join(HEAVY)}, these are loaded: {loaded}")
    if arguments.slowest:
        print("\n".join(_slowest(API)))
    return int("torch" in loaded)


def _python(statement: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", statement], capture_output=True, text=True, check=True
    )


def _slowest(statement: str) -> list[str]:
    """Lines of `-X importtime` with the largest own times."""
    lines = _python(statement, "-X", "importtime").stderr.splitlines()
    rows = [line.removeprefix("import time:").split("|") for line in lines[1:]]
    rows.sort(key=lambda row: -int(row[0]))
    return [f"{int(own) / 1e3:8.1f} ms  {name.strip()}" for own, _, name in rows[:SHOWN]]


if __name__ == "__main__":
    sys.exit(main())
