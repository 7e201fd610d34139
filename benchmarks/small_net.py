"""A small convolutional network that other benchmarks embed images with, trained in a minute or two on a CPU.

Shapes: n images, B of them in a batch, C classes, D = 64 dimensions.
"""

import io

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

SIDE, DIM = 32, 64
BATCH = 256
TEMPERATURE = 0.1


def pixels_of(images: list[bytes]) -> torch.Tensor:
    """Images as float [n, 3, SIDE, SIDE] in -1 to 1."""
    pixels = []
    for data in images:
        with Image.open(io.BytesIO(data)) as image:
            pixels.append(np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)))
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1


def new_network(seed: int) -> nn.Sequential:
    """The network without training; it gives vectors [n, D] that are not normalised."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for before, after, stride in ((3, 32, 1), (32, 64, 2), (64, 128, 2), (128, 128, 2)):
        layers += [
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(512, DIM))


def learn_classes(pixels: torch.Tensor, labels: np.ndarray, *, epochs: int, seed: int = 0) -> nn.Sequential:
    """A network whose cosines with one vector a class are trained to tell the classes apart."""
    network = new_network(seed)
    head = nn.Parameter(torch.randn(int(labels.max()) + 1, DIM))
    target = torch.from_numpy(labels)

    def loss_of(rows: torch.Tensor) -> torch.Tensor:
        vectors_BD = functional.normalize(network(shifted(pixels[rows], 0.1)), dim=1)
        cosine_BC = vectors_BD @ functional.normalize(head, dim=1).T
        return functional.cross_entropy(cosine_BC / TEMPERATURE, target[rows])

    train(network, [head], loss_of, len(pixels), epochs)
    return network


def learn_crops(pixels: torch.Tensor, *, epochs: int, seed: int = 0) -> nn.Sequential:
    """A network that is trained to find, of two crops of each image, those of the same one."""
    network = new_network(seed)

    def loss_of(rows: torch.Tensor) -> torch.Tensor:
        views = [functional.normalize(network(shifted(pixels[rows], 0.3)), dim=1) for _ in range(2)]
        cosine_BB = views[0] @ views[1].T / TEMPERATURE
        same = torch.arange(len(rows))
        return functional.cross_entropy(cosine_BB, same) + functional.cross_entropy(cosine_BB.T, same)

    train(network, [], loss_of, len(pixels), epochs)
    return network


def shifted(pixels: torch.Tensor, most: float) -> torch.Tensor:
    """Crops that leave out up to the share `most` of each axis, anywhere, with a little noise."""
    count = len(pixels)
    zoom = 1 - most * torch.rand(count, 2)
    move = (1 - zoom) * (2 * torch.rand(count, 2) - 1)
    place = torch.zeros(count, 2, 3)
    place[:, 0, 0], place[:, 1, 1], place[:, :, 2] = zoom[:, 0], zoom[:, 1], move
    grid = functional.affine_grid(place, list(pixels.shape), align_corners=False)
    crops = functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    return crops + 0.03 * torch.randn_like(crops)


def train(network: nn.Module, more: list, loss_of, count: int, epochs: int) -> None:
    """AdamW with a rate that rises and falls."""
    steps = epochs * (count // min(BATCH, count))
    parameters = [*network.parameters(), *more]
    optimizer = torch.optim.AdamW(parameters, lr=3e-3, weight_decay=0.02)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    network.train()
    for step in range(steps):
        if step % (count // min(BATCH, count)) == 0:
            order = torch.randperm(count)
        first = step % (count // min(BATCH, count)) * BATCH
        optimizer.zero_grad()
        loss_of(order[first : first + BATCH]).backward()
        optimizer.step()
        rate.step()
    network.eval()


@torch.no_grad()
def embed(network: nn.Module, pixels: torch.Tensor) -> np.ndarray:
    """Vectors of length 1, float32 [n, D]."""
    found = [functional.normalize(network(pixels[at : at + 512]), dim=1) for at in range(0, len(pixels), 512)]
    return torch.cat(found).numpy()
