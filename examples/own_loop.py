"""Joint selection in a PyTorch loop of one's own.

    python examples/own_loop.py

Two linear towers learn to match made-up vectors; 60% of the pairs have a wrong partner. A reference that was
trained on 200 clean pairs helps to choose 64 pairs out of 320 for each step. What the selector adds to the
loop stands between the two comment lines.
"""

# ruff: noqa: T201

import torch
from torch import nn
from torch.nn.functional import logsigmoid, normalize

from thresher.selection import Embeddings, select, take, uid_keys

PAIRS, CURATED, SUPER_BATCH, BATCH = 4000, 200, 320, 64


class Towers(nn.Module):
    """An image tower and a text tower, each a matrix, with the scale and bias of the sigmoid loss."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.text = nn.Linear(48, 32), nn.Linear(40, 32)
        self.logit_scale, self.logit_bias = nn.Parameter(torch.tensor(2.3)), nn.Parameter(torch.tensor(-4.0))

    def forward(self, images: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        """Logits of all pairs of an image and a text."""
        image, text = normalize(self.image(images), dim=1), normalize(self.text(texts), dim=1)
        logits: torch.Tensor = image @ text.T * self.logit_scale.exp() + self.logit_bias
        return logits


def made_up_pairs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images [n, 48], texts [n, 40] and which pairs are right; the curated pairs come first."""
    draw = torch.Generator().manual_seed(0)
    meaning = torch.randn(PAIRS, 12, generator=draw)
    images = meaning @ torch.randn(12, 48, generator=draw) + torch.randn(PAIRS, 48, generator=draw)
    right = torch.rand(PAIRS, generator=draw) > 0.6
    right[:CURATED] = True
    other = torch.randint(PAIRS, (PAIRS,), generator=draw)
    meaning = torch.where(right[:, None], meaning, meaning[other])
    texts = meaning @ torch.randn(12, 40, generator=draw) + torch.randn(PAIRS, 40, generator=draw)
    return images, texts, right


def train_step(
    model: Towers, optimizer: torch.optim.Optimizer, images: torch.Tensor, texts: torch.Tensor
) -> float:
    """One step with the sigmoid loss; the loss a pair."""
    logits = model(images, texts)
    loss = -logsigmoid(logits * (2 * torch.eye(len(logits)) - 1)).sum() / len(logits)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.detach())


# ---- joint selection: what a model says of some pairs, and the choice among them ----


@torch.no_grad()
def embed(model: Towers, images: torch.Tensor, texts: torch.Tensor) -> Embeddings:
    """Unit embeddings in eval mode, without a graph."""
    model.eval()
    image_BD, text_BD = normalize(model.image(images), dim=1), normalize(model.text(texts), dim=1)
    model.train()
    scale, bias = float(model.logit_scale.exp()), float(model.logit_bias)
    return Embeddings(image_BD=image_BD, text_BD=text_BD, scale=scale, bias=bias)


def choose(
    learner: Embeddings, reference: Embeddings, keys: torch.Tensor, rows: torch.Tensor, step: int
) -> torch.Tensor:
    """The rows to train on."""
    picks = select(learner, take(reference, rows), keys[rows], size=BATCH, step=step, seed=0)
    return rows[picks.places_b]


# ---- that was all ----


def main(steps: int = 200, reference_steps: int = 300) -> float:
    """Train a reference, then the learner; the share of right pairs among those chosen."""
    torch.manual_seed(0)
    images, texts, right = made_up_pairs()
    teacher, model = Towers(), Towers()
    optimizer = torch.optim.AdamW(teacher.parameters(), lr=3e-3, betas=(0.9, 0.95))
    for _ in range(reference_steps):
        rows = torch.randperm(CURATED)[:BATCH]
        train_step(teacher, optimizer, images[rows], texts[rows])
    reference = embed(teacher, images, texts)  # once, for all pairs
    keys = uid_keys([f"pair {row}" for row in range(PAIRS)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95))
    chosen_right = 0.0
    for step in range(steps):
        rows = torch.randperm(PAIRS)[:SUPER_BATCH]
        rows = choose(embed(model, images[rows], texts[rows]), reference, keys, rows, step)
        loss = train_step(model, optimizer, images[rows], texts[rows])
        chosen_right += float(right[rows].float().mean()) / steps
        if step % 50 == 0:
            print(f"step {step}: loss {loss:.3f}")
    print(f"right pairs: {float(right.float().mean()):.2f} of all, {chosen_right:.2f} of the chosen")
    return chosen_right


if __name__ == "__main__":
    main()
