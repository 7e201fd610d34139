"""Every kind of input by its name, with the function that makes a case of it and looks at the outcome."""

from collections.abc import Callable

from tests.fuzz.case import Case
from tests.fuzz.checkpoints import checkpoints
from tests.fuzz.lists import lists
from tests.fuzz.pictures import pictures
from tests.fuzz.runs import runs
from tests.fuzz.sidecars import sidecars
from tests.fuzz.tables import tables
from tests.fuzz.tars import tars

KINDS: dict[str, Callable[[Case], None]] = {
    "tars": tars,
    "tables": tables,
    "sidecars": sidecars,
    "pictures": pictures,
    "checkpoints": checkpoints,
    "lists": lists,
    "runs": runs,
}
