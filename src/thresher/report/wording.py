"""Numbers and captions formatted for a reader."""

import dataclasses
import math
import unicodedata
from collections.abc import Iterable, Mapping

from thresher.planning.runs.record import is_loss
from thresher.tables import error_text, gap_text, number, passes_text, percent

MINUS = "−"
ABSENT = "–"
CAPTION_LIMIT = 120
JOINERS = "\u200c\u200d"  # without them emoji families and Persian words fall apart

METRICS = {
    "zeroshot_error": "zero-shot error",
    "retrieval_error": "retrieval error, 1 − mean recall",
    "imagenet_error": "ImageNet zero-shot error",
    "loss": "loss",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How errors of one metric are shown: in per cent, or as they are."""

    metric: str
    percent: bool

    @property
    def factor(self) -> float:
        """What an error is multiplied by before it is drawn."""
        return 100.0 if self.percent else 1.0

    @property
    def axis(self) -> str:
        """Title of an axis that shows the error, with its unit."""
        name = METRICS.get(self.metric, self.metric.replace("_", " ") or "error")
        return f"{name[:1].upper()}{name[1:]}{' (%)' if self.percent else ''}"

    @property
    def difference(self) -> str:
        """The unit of a difference between two errors."""
        return "points" if self.percent else "units"

    @property
    def hover(self) -> str:
        """How plotly writes an error under the pointer."""
        return "%{y:.1f}%" if self.percent else "%{y:.3f}"

    def text(self, error: float | None) -> str:
        """An error as text, `61.2%` or `2.13`; a dash where there is none."""
        if error is None or not math.isfinite(error):
            return ABSENT
        return error_text(error, loss=not self.percent)

    def interval(self, low: float | None, high: float | None) -> str:
        """Two ends as text, `58.3% to 64.0%`; empty where one is missing."""
        if low is None or high is None:
            return ""
        return f"{self.text(low)} to {self.text(high)}"

    def gap(self, difference: float) -> str:
        """A difference of two errors, `1.3 points`, or of two losses, `0.012`."""
        return gap_text(difference, loss=not self.percent).replace("-", MINUS)


def scale_of(metric: str, errors: Iterable[float]) -> Scale:
    """Per cent where every error lies in 0..1 and the metric is no loss."""
    inside = all(0.0 <= error <= 1.0 for error in errors)
    return Scale(metric=metric, percent=inside and not is_loss(metric))


def number_text(value: float | None) -> str:
    """A parameter with three significant digits, large ones as counts; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return ABSENT
    return number(value).replace("-", MINUS)


def interval_text(ends: tuple[float, float] | None) -> str:
    """The interval of a parameter, `−0.21 to −0.18`; empty where there is none."""
    return "" if ends is None else f"{number_text(ends[0])} to {number_text(ends[1])}"


def share_text(part: float, whole: float) -> str:
    """A share in per cent with one decimal; a dash of nothing."""
    return percent(part / whole, 1) if whole else ABSENT


def times_text(times: float) -> str:
    """Passes over a pool, `4.1 times`; `once` for one pass."""
    passes = passes_text(times)
    return "once" if passes == "1" else f"{passes} times"


def mix_text(weights: Mapping[str, float]) -> str:
    """The pools of a mix in the order given, `0-10% + 10-20%`."""
    return " + ".join(name for name, weight in weights.items() if weight > 0)


def cut_caption(caption: str, limit: int = CAPTION_LIMIT) -> tuple[str, str]:
    """The caption without control characters and no longer than `limit`, and a remark on what was cut.

    Line breaks and tabs become spaces. The remark is empty when the caption is whole.

    >>> cut_caption("a dog")
    ('a dog', '')
    """
    head = caption[: 4 * limit]
    clean = one_line(head)
    if len(clean) <= limit and len(caption) == len(head):
        return clean, ""
    return clean[:limit].rstrip() + "…", f"cut, {len(caption):,} characters in all"


def one_line(text: str) -> str:
    """The text without control characters, lone surrogates and line breaks."""
    return " ".join("".join(_printable(char) for char in text).split())


def _printable(char: str) -> str:
    if char.isprintable() or char in JOINERS:
        return char
    return "" if unicodedata.category(char) == "Cf" else " "
