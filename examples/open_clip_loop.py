"""Joint selection in a loop around an open_clip model.

    python examples/open_clip_loop.py

A small CLIP with the sigmoid loss, on made-up pictures of two coloured halves; 60% of the captions are wrong.
The reference here is the same model trained on right pairs; any open_clip model that embeds them will do.
What the selector adds to the loop stands between the two comment lines.
"""

# ruff: noqa: T201

import open_clip
import torch
from open_clip.loss import SigLipLoss

from thresher.selection import Embeddings, select, take, uid_keys

PAIRS, CURATED, SUPER_BATCH, BATCH = 1200, 200, 160, 32
COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "white": (1, 1, 1), "black": (0, 0, 0)}


def small_clip() -> open_clip.CLIP:
    """An open_clip model of a few hundred thousand weights, with a bias for the sigmoid loss."""
    return open_clip.CLIP(
        embed_dim=32,
        vision_cfg=open_clip.CLIPVisionCfg(image_size=16, patch_size=8, width=32, layers=1, head_width=16),
        text_cfg=open_clip.CLIPTextCfg(context_length=16, width=32, heads=2, layers=1),
        init_logit_scale=2.3,
        init_logit_bias=-3.4,
        output_dict=True,
    )


def made_up_pairs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pictures [n, 3, 16, 16], tokens [n, 16] and which captions are right; the curated pairs come first."""
    draw = torch.Generator().manual_seed(0)
    names = list(COLOURS)
    halves = torch.randint(len(names), (PAIRS, 2), generator=draw)
    right = torch.rand(PAIRS, generator=draw) > 0.6
    right[:CURATED] = True
    told = torch.where(right[:, None], halves, halves[torch.randperm(PAIRS, generator=draw)])
    captions = [f"{names[one]} beside {names[two]}" for one, two in told.tolist()]
    tokens = open_clip.get_tokenizer("ViT-B-32", context_length=16)(captions)
    colours = torch.tensor(list(COLOURS.values())).float()[halves]
    pictures = colours.permute(0, 2, 1)[:, :, None, :].repeat_interleave(8, dim=3).expand(-1, -1, 16, -1)
    return pictures + 0.3 * torch.randn(pictures.shape, generator=draw), tokens, right


def train_step(
    model: open_clip.CLIP, optimizer: torch.optim.Optimizer, images: torch.Tensor, tokens: torch.Tensor
) -> float:
    """One step with open_clip's sigmoid loss; the loss a pair."""
    loss: torch.Tensor = SigLipLoss()(**model(images, tokens))
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.detach())


# ---- joint selection: what a model says of some pairs, and the choice among them ----


@torch.no_grad()
def embed(model: open_clip.CLIP, images: torch.Tensor, tokens: torch.Tensor) -> Embeddings:
    """Unit embeddings in eval mode, without a graph; use the autocast of training around it."""
    model.eval()
    out = model(images, tokens)
    model.train()
    return Embeddings(
        image_BD=out["image_features"],
        text_BD=out["text_features"],
        scale=float(out["logit_scale"]),
        bias=float(out["logit_bias"]),
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
    teacher, model = small_clip(), small_clip()
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
