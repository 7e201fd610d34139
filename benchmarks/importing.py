"""What importing published scores and embeddings costs: processor time and peak memory by size.

    python benchmarks/importing.py [--sizes 500000,1000000,2000000] [--dim 512] [--quick]

Writes metadata as DataComp publishes it (a Parquet file of one large row group, and an .npz of half-precision
vectors beside it), and imports it in a fresh process each: the scores, and the vectors of a tenth of the
rows. Prints seconds of processor time, rows a second of it, and the peak of resident memory beside that of
the process before it began (Linux). About a minute and 1 GB of disk; `--quick` is a tenth of it.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SHARE_OF_VECTORS = 10
IMPORT = """
import re, resource, sys
from pathlib import Path
from thresher.scores.imported.{module} import import_{kind}
def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    most = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
    return usage.ru_utime + usage.ru_stime, int(most) / 1024
before = used()
made = import_{kind}([sys.argv[1]], sys.argv[2])
after = used()
print(made.filled.pairs, after[0] - before[0], before[1], after[1])
"""
MODULES = {"scores": "scores", "embeddings": "embeddings"}


def write(folder: Path, rows: int, dim: int) -> None:
    """A table of so many pairs in one row group, and vectors of `dim` dimensions unless it is 0."""
    rng = np.random.default_rng(rows)
    digits = rng.integers(0, 256, (rows, 16), dtype=np.uint8).tobytes().hex()
    table = pa.table(
        {
            "uid": [digits[start : start + 32] for start in range(0, len(digits), 32)],
            "url": [f"https://example.org/{number}.jpg" for number in range(rows)],
            "text": [f"a caption of some fifty characters, number {number:09d}" for number in range(rows)],
            "clip_b32_similarity_score": rng.random(rows, dtype=np.float32),
            "clip_l14_similarity_score": rng.random(rows, dtype=np.float32),
        }
    )
    pq.write_table(table, folder / "00.parquet", row_group_size=rows)
    if dim:
        vectors = rng.standard_normal((rows, dim), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        np.savez(folder / "00.npz", l14_img=vectors.astype(np.float16), l14_txt=vectors.astype(np.float16))


def measure(kind: str, rows: int, dim: int) -> tuple[float, float, float]:
    """Processor seconds, memory before and peak memory (MiB) of an import."""
    with tempfile.TemporaryDirectory() as name:
        source = Path(name, "metadata")
        source.mkdir()
        write(source, rows, dim if kind == "embeddings" else 0)
        program = IMPORT.format(module=MODULES[kind], kind=kind)
        command = [sys.executable, "-c", program, str(source), str(Path(name, "out"))]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    if int(said[0]) != rows:
        raise SystemExit(f"{said[0]} of {rows} rows came over")
    return float(said[1]), float(said[2]), float(said[3])


def main() -> None:
    """Measure and print; see the text of this file."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--sizes", default="500000,1000000,2000000", help="rows, a list")
    parser.add_argument("--dim", type=int, default=512, help="dimensions of the vectors")
    parser.add_argument("--quick", action="store_true", help="a tenth of the sizes")
    arguments = parser.parse_args()
    sizes = [int(size) // (10 if arguments.quick else 1) for size in arguments.sizes.split(",")]
    print(f"python {sys.version.split()[0]}, pyarrow {pa.__version__}, {arguments.dim} dimensions")
    print("what             rows  seconds   rows/s  MiB before  MiB at most")
    for kind, share in (("scores", 1), ("embeddings", SHARE_OF_VECTORS)):
        for size in sizes:
            rows = size // share
            seconds, before, peak = measure(kind, rows, arguments.dim)
            print(
                f"{kind:10s} {rows:10,}  {seconds:7.2f}  {rows / seconds:7,.0f}  {before:10.0f}  {peak:11.0f}"
            )


if __name__ == "__main__":
    main()
