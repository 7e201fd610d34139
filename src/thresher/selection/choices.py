"""Names that settings choose from, apart from the code that they name, which loads PyTorch."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Criterion:
    """Weights of the two losses in the score; a weight of 0 means that the model is not needed."""

    learner: int
    reference: int


CRITERIA = {
    "learnability": Criterion(learner=1, reference=-1),
    "easy-reference": Criterion(learner=0, reference=-1),
    "hard-learner": Criterion(learner=1, reference=0),
}
METHODS = ("uniform", "independent", "joint")
"""How a batch is chosen from a super-batch."""
MODES = ("global", "stratified")
"""Among which candidates several processes choose."""
LOSSES = ("siglip", "clip")
"""Losses that need no reference; pairs are scored by one of them."""
