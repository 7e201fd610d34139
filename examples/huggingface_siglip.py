"""Joint selection in a loop around a SigLIP model of Hugging Face transformers.

    pip install transformers
    python examples/huggingface_siglip.py

A SigLIP with a tiny configuration and random weights, on made-up pictures of two coloured halves; 60% of the
texts are wrong. Nothing is downloaded. The reference here is the same model trained on right pairs; any
SigLIP checkpoint will do. What the selector adds to the loop stands between the two comment lines.
"""

# ruff: noqa: T201

import torch
from transformers import SiglipConfig, SiglipModel

from thresher.selection import Embeddings, select, take, uid_keys

PAIRS, CURATED, SUPER_BATCH, BATCH = 1200, 200, 160, 32
NUM_COLOURS = 5


def small_siglip() -> SiglipModel:
    """A SigLIP of a few ten thousand weights."""
    width = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {"vocab_size": 16, "max_position_embeddings": 4, "bos_token_id": 1, "eos_token_id": 2, **width}
    model = SiglipModel(
        SiglipConfig(text_config=text, vision_config={"image_size": 16, "patch_size": 8, **width})
    )
    with torch.no_grad():
        model.logit_scale.fill_(2.3)
        model.logit_bias.fill_(-3.4)
    return model


def made_up_pairs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pictures [n, 3, 16, 16], tokens [n, 4] and which texts are right; the curated pairs come first."""
    draw = torch.Generator().manual_seed(0)
    halves = torch.randint(NUM_COLOURS, (PAIRS, 2), generator=draw)
    right = torch.rand(PAIRS, generator=draw) > 0.6
    right[:CURATED] = True
    told = torch.where(right[:, None], halves, halves[torch.randperm(PAIRS, generator=draw)])
    frame = torch.tensor([1, 0, 0, 2]).repeat(PAIRS, 1)
    frame[:, 1], frame[:, 2] = 3 + told[:, 0], 3 + NUM_COLOURS + told[:, 1]
    colours = torch.rand(NUM_COLOURS, 3, generator=draw)[halves]
    pictures = colours.permute(0, 2, 1)[:, :, None, :].repeat_interleave(8, dim=3).expand(-1, -1, 16, -1)
    return pictures + 0.1 * torch.randn(pictures.shape, generator=draw), frame, right


def train_step(
    model: SiglipModel, optimizer: torch.optim.Optimizer, images: torch.Tensor, tokens: torch.Tensor
) -> float:
    """One step with the loss of the model itself; the loss a pair."""
    loss: torch.Tensor = model(input_ids=tokens, pixel_values=images, return_loss=True).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.detach())


# ---- joint selection: what a model says of some pairs, and the choice among them ----


@torch.no_grad()
def embed(model: SiglipModel, images: torch.Tensor, tokens: torch.Tensor) -> Embeddings:
    """Unit embeddings in eval mode, without a graph; use the autocast of training around it."""
    model.eval()
    out = model(input_ids=tokens, pixel_values=images)
    model.train()
    return Embeddings(
        image_BD=out.image_embeds,
        text_BD=out.text_embeds,
        scale=float(model.logit_scale.exp()),
        bias=float(model.logit_bias),
    )


def choose(
    learner: Embeddings, reference: Embeddings, keys: torch.Tensor, rows: torch.Tensor, step: int
) -> torch.Tensor:
    """The rows to train on."""
    picks = select(learner, take(reference, rows), keys[rows], size=BATCH, step=step, seed=0)
    return rows[picks.places_b]


# ---- that was all ----


def main(steps: int = 60, reference_steps: int = 100) -> float:
    """Train a reference, then the learner; the share of right pairs among those chosen."""
    torch.manual_seed(0)
    images, tokens, right = made_up_pairs()
    teacher, model = small_siglip(), small_siglip()
    optimizer = torch.optim.AdamW(teacher.parameters(), lr=2e-3, betas=(0.9, 0.95))
    for _ in range(reference_steps):
        rows = torch.randperm(CURATED)[:BATCH]
        train_step(teacher, optimizer, images[rows], tokens[rows])
    reference = embed(teacher, images, tokens)  # once, for all pairs
    keys = uid_keys([f"pair {row}" for row in range(PAIRS)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.95))
    chosen_right = 0.0
    for step in range(steps):
        rows = torch.randperm(PAIRS)[:SUPER_BATCH]
        rows = choose(embed(model, images[rows], tokens[rows]), reference, keys, rows, step)
        loss = train_step(model, optimizer, images[rows], tokens[rows])
        chosen_right += float(right[rows].float().mean()) / steps
        if step % 20 == 0:
            print(f"step {step}: loss {loss:.3f}")
    print(f"right pairs: {float(right.float().mean()):.2f} of all, {chosen_right:.2f} of the chosen")
    return chosen_right


if __name__ == "__main__":
    main()
