"""What a budget in FLOPs or GPU-hours costs: the options of the commands that read one."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from thresher.budget import DEVICES, USUAL_MFU, Price, parse_flops

if TYPE_CHECKING:
    from thresher.pipeline.config import Config

FlopsPerSample = Annotated[
    str | None,
    typer.Option(
        metavar="FLOPS|MODEL",
        help="Training FLOPs of one sample seen, or an open_clip model to count them on; for budgets in "
        "FLOPs or GPU-hours.  [default: as the runs tell]",
    ),
]
DeviceFlops = Annotated[
    str | None,
    typer.Option(
        metavar="FLOPS|DEVICE",
        help=f"Peak FLOP/s of one GPU, or its name ({', '.join(DEVICES)}); for GPU-hours.",
    ),
]
Mfu = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE", help=f"Share of that peak which training reaches.  [default: {USUAL_MFU:g}]"
    ),
]


def price_of(
    flops_per_sample: str | None, device_flops: str | None, mfu: float | None, config: "Config | None" = None
) -> Price:
    """The price in the config's section [plan], with every option that was given in place of its key."""
    price = config.plan.price if config is not None else Price()
    if flops_per_sample is not None:
        price = replace(price, flops_per_sample=flops_of(flops_per_sample, training=True))
    if device_flops is not None:
        price = replace(price, device_flops=device_flops)
    return price if mfu is None else replace(price, mfu=mfu)


def flops_of(text: str, *, training: bool) -> float:
    """FLOPs as a number, or counted on a pass of the model of that name."""
    if text[:1].isdigit():
        return parse_flops(text)
    from thresher.models.flops import forward_flops, training_flops
    from thresher.models.towers import context_length, load_towers

    towers = load_towers(text)
    num_tokens = context_length(towers)
    return training_flops(towers, num_tokens) if training else forward_flops(towers, num_tokens)
