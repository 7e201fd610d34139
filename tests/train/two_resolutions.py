"""Steps at two resolutions, steered by a reference."""

import torch
from torch.nn.functional import normalize

from thresher.models.flexi import FlexiForward
from thresher.models.towers import load_towers
from thresher.train.distributed import Ranks, wrap
from thresher.train.reference_loss import ReferenceLoss

VIT, LOW, PAIRS, NUM_LOW, STEPS = "thresher-tiny-vit-32", 8, 8, 4, 3


def train(ranks: Ranks) -> dict[str, torch.Tensor]:
    """All weights and averages after a few steps on this process's share; low rows come first in each."""
    random = torch.Generator().manual_seed(0)
    images = torch.randn(PAIRS, 3, 32, 32, generator=random)
    tokens = torch.randint(1, 50, (PAIRS, 20), generator=random)
    reference = [normalize(torch.randn(PAIRS, 5, generator=random), dim=1) for _ in range(2)]
    model = load_towers(VIT, seed=0).model.train()
    flexi, loss = wrap(FlexiForward(model, LOW), ranks), ReferenceLoss(PAIRS, gamma=0.5, ranks=ranks)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    low, high = torch.arange(PAIRS).chunk(2)  # on one process as on two the same pairs are low
    own = torch.cat([low.chunk(ranks.world)[ranks.rank], high.chunk(ranks.world)[ranks.rank]])
    for _ in range(STEPS):
        output = flexi(images[own], tokens[own], NUM_LOW // ranks.world)
        features = (output["image_features"], output["text_features"], output["logit_scale"])
        value = loss(*features, *(side[own] for side in reference), own) + 0 * output["logit_bias"]
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
    return {**model.state_dict(), **loss.state_dict()}
