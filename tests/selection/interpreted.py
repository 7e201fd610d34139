"""Errors of the Triton kernels against B x B, as JSON; runs in a process with TRITON_INTERPRET=1."""

import json
import sys

import torch

from tests.selection.made import keys, made
from tests.selection.oracle import logits_after
from tests.selection.test_joint import running_logits, worst_error
from thresher.selection.sub_batch import select


def main() -> None:
    """Sizes that fill no block, a dimension that is no multiple of a step, two models of different widths."""
    errors = {}
    for dim, loss, criterion in (
        (48, "siglip", "learnability"),
        (32, "siglip", "hard-learner"),
        (32, "siglip", "easy-reference"),
        (48, "clip", "learnability"),
    ):
        learner, reference = made(150, dim, seed=4, scale=30, bias=-5), made(150, dim, seed=5)
        chosen = torch.arange(0, 150, 3)
        found = running_logits(learner, reference, criterion, loss, chosen, backend="triton")
        expected = logits_after(learner, reference, criterion, loss, chosen)
        errors[f"{criterion}, {loss}, d={dim}"] = worst_error(found, expected, chosen)
    wild = made(150, seed=6, scale=1e4, noise=9)
    found = running_logits(wild, wild, "hard-learner", "siglip", torch.arange(50), backend="triton")
    expected = logits_after(wild, wild, "hard-learner", "siglip", torch.arange(50))
    errors["logits of 10^4"] = worst_error(found, expected, torch.arange(50))
    learner, wider = made(150, 32, seed=4, scale=30, bias=-5), made(150, 48, seed=5)
    found = running_logits(learner, wider, "learnability", "siglip", torch.arange(50), backend="triton")
    expected = logits_after(learner, wider, "learnability", "siglip", torch.arange(50))
    errors["a wider reference"] = worst_error(found, expected, torch.arange(50))
    picks = [
        select(learner, wider, keys(150), size=30, step=0, seed=0, chunks=3, backend=backend).places_b
        for backend in ("tiles", "triton")
    ]
    errors["picks that differ"] = float((picks[0] != picks[1]).sum())
    json.dump(errors, sys.stdout)


if __name__ == "__main__":
    main()
