"""An import that comes to a chosen file and is killed there.

`python -m tests.scores.imported.killed KIND NUMBER IN OUT`: KIND is `scores` or `embeddings`; it stops in the
NUMBERth file, written and not yet renamed.
"""

import sys
from pathlib import Path

from tests.killing import wait_for_kill
from tests.watching import before_renaming
from thresher.scores.imported import embeddings as embedding_files
from thresher.scores.imported import scores as score_tables

ROWS_A_PART = 9


def import_in_small_parts(kind: str, source: Path, out: Path) -> None:
    """The import with parts of few rows."""
    if kind == "scores":
        score_tables.import_scores([str(source)], out)
    else:
        embedding_files.import_embeddings([str(source)], out)


def main(kind: str, number: int, source: Path, out: Path) -> None:
    calls = 0

    def count() -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            wait_for_kill()

    before_renaming(count)
    score_tables.ROWS_A_PART = embedding_files.ROWS_A_PART = ROWS_A_PART
    import_in_small_parts(kind, source, out)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
