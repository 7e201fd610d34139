"""Options of the commands whose work can be done on a Ray cluster."""

from typing import Annotated

import typer

Executor = Annotated[
    str,
    typer.Option(
        metavar="local|ray",
        help="Where the work is done: on this machine, or on a Ray cluster. The files are the same.",
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Head of the Ray cluster, or auto for the one of this machine.  [default: RAY_ADDRESS, else a "
        "Ray that starts here and ends with the run]",
    ),
]
