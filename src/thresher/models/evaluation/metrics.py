"""Turns the metrics of a model into the error that laws are fitted to and pages show."""

from collections.abc import Callable

from thresher.errors import InputError


def _recall_error(metrics: dict[str, float]) -> float:
    import numpy as np

    return 1 - float(np.mean([value for name, value in metrics.items() if "_R@" in name]))


ERRORS: dict[str, Callable[[dict[str, float]], float]] = {
    "zeroshot_error": lambda m: 1 - m["zeroshot_acc1"],
    "retrieval_error": lambda m: 1 - (m["image_to_text_R@1"] + m["text_to_image_R@1"]) / 2,
    "recall_error": _recall_error,
    "mrr_error": lambda m: 1 - m["retrieval_mrr"],
    "retrieval_loss": lambda m: m["retrieval_loss"],
    "average_error": lambda m: (
        1 - (m["zeroshot_acc1"] + (m["image_to_text_R@1"] + m["text_to_image_R@1"]) / 2) / 2
    ),
}


def error_of(metric: str, metrics: dict[str, float]) -> float:
    """The error that laws are fitted to, from what was measured.

    Raises:
        InputError: the metric is unknown, or its task was not among those evaluated.
    """
    if metric not in ERRORS:
        raise InputError(f"metric {metric!r} is unknown; take one of {', '.join(ERRORS)}")
    try:
        return ERRORS[metric](metrics)
    except KeyError as missing:
        raise InputError(f"metric {metric!r} needs {missing}, which no evaluation set gives") from missing
