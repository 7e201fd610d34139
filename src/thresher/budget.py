"""Budgets: how many samples a run sees, as people write them, as passes over a pool, as FLOPs and GPU-hours.

This is the only place where samples, epochs, FLOPs and GPU-hours are turned into each other. FLOPs per sample
are measured where models live (`probe`, `train`) and only read here.
"""

import math
import re
from dataclasses import dataclass
from decimal import Decimal

from thresher.errors import InputError

_WHOLE = r"(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|[0-9][0-9_]*)"
_NUMBER = rf"(?P<number>{_WHOLE}(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{{1,3}})?)"
_COUNT = re.compile(_NUMBER + r"\s*(?P<suffix>[kKmMbBgGtT]?)")
_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9, "t": 10**12}
_LARGEST_COUNT = 10**18
_FLOPS = re.compile(_NUMBER + r"\s*(?P<prefix>[kmgtpezy]?)flops?(?P<days>/s-?days?)?", re.IGNORECASE)
_GPU_HOURS = re.compile(_NUMBER + r"\s*(?P<prefix>[km]?)\s*gpu[- ]?h(?:ours?)?", re.IGNORECASE)
_SAMPLES = re.compile(r"\s*samples?$", re.IGNORECASE)
_PREFIXES = {name: 1e3**power for power, name in enumerate(("", "k", "m", "g", "t", "p", "e", "z", "y"))}

DEVICES = {
    "A100": 312e12,
    "H100": 989e12,
    "H200": 989e12,
    "V100": 125e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "B200": 2250e12,
    "A10": 125e12,
    "L40S": 362e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}
"""Peak FLOP/s of a device in bf16 (V100: fp16), without sparsity, from the makers' data sheets."""
USUAL_MFU = 0.35
"""Share of the peak that training is taken to reach where nobody says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Compute for one run.

    Attributes:
        samples_seen: Samples that the run sees; repeats count.
        flops_per_sample: Training FLOPs for one sample seen (forward and backward).
    """

    samples_seen: int
    flops_per_sample: float

    def __post_init__(self) -> None:
        if self.samples_seen < 1:
            raise InputError(f"a budget of {self.samples_seen} samples seen trains nothing; give at least 1")
        if not (math.isfinite(self.flops_per_sample) and self.flops_per_sample > 0):
            raise InputError(f"flops_per_sample is {self.flops_per_sample}; give a positive number")


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What turns FLOPs and GPU-hours into samples seen; what is None is not known.

    Attributes:
        flops_per_sample: Training FLOPs for one sample seen.
        device_flops: Peak FLOP/s of one device, or its name in `DEVICES`.
        mfu: Share of the peak that training reaches, in (0, 1].
    """

    flops_per_sample: float | None = None
    device_flops: float | str | None = None
    mfu: float = USUAL_MFU

    def __post_init__(self) -> None:
        rate = self.flops_per_sample
        if rate is not None and not (math.isfinite(rate) and rate > 0):
            raise InputError(f"flops_per_sample is {rate}; give a positive number")
        if self.device_flops is not None:
            parse_device(self.device_flops)
        if not 0 < self.mfu <= 1:
            raise InputError(
                f"mfu is {self.mfu}; give the share of the peak that training reaches, like 0.35"
            )


def parse_budget(text: str | int, price: Price | None = None) -> int:
    """Samples seen of a budget that a person wrote.

    Samples are written as in `parse_count`, FLOPs as `1e18FLOPs`, `3.2 EFLOPs` or `2 PFLOP/s-days`, GPU-hours
    as `100gpu-h` or `100 GPU-hours`. The budget in samples is the largest that the FLOPs pay for.

    Raises:
        InputError: for another text, or where the price does not say what the unit needs.

    >>> parse_budget("32M")
    32000000
    >>> parse_budget("2 PFLOPs", Price(flops_per_sample=1e9))
    2000000
    >>> parse_budget("10gpu-h", Price(flops_per_sample=36e9, device_flops=100e12, mfu=0.5))
    50000000
    >>> parse_budget("1gpu-h", Price(flops_per_sample=312e9, device_flops="A100", mfu=0.5))
    1800000
    """
    price = price or Price()
    written = str(text).strip()
    hours = _GPU_HOURS.fullmatch(written)
    if hours is None and _FLOPS.fullmatch(written) is None:
        return parse_count(_SAMPLES.sub("", written))
    if price.flops_per_sample is None:
        raise InputError(
            f"{text!r} needs the FLOPs of one sample seen; give them (--flops-per-sample, or "
            "flops_per_sample in [plan] and in Price), or runs that tell their flops"
        )
    if hours is None:
        flops = parse_flops(written)
    elif price.device_flops is None:
        raise InputError(
            f"{text!r} needs the peak FLOP/s of the device; give a number or one of {', '.join(DEVICES)} "
            "(--device-flops, or device_flops in [plan] and in Price)"
        )
    else:
        flops = _scaled(hours) * 3600 * parse_device(price.device_flops) * price.mfu
    return budget_from_flops(flops, price.flops_per_sample).samples_seen


def parse_flops(text: str | float) -> float:
    """FLOPs that a person wrote: `1e18`, `1e18FLOPs`, `3.2 EFLOPs`, `2 PFLOP/s-days`.

    Raises:
        InputError: where the text is no number of FLOPs, or not above 0.

    >>> parse_flops("3.2 EFLOPs"), parse_flops("1 PFLOP/s-day"), parse_flops("4e9")
    (3.2e+18, 8.64e+19, 4000000000.0)
    """
    written = str(text).strip()
    match = _FLOPS.fullmatch(written) or _FLOPS.fullmatch(f"{written}FLOPs")
    flops = math.nan if match is None else _scaled(match) * (86_400 if match["days"] else 1)
    if not 0 < flops < math.inf:
        like = _with_a_point(written) or "write it like 1e18FLOPs, 3.2 EFLOPs or 2 PFLOP/s-days"
        raise InputError(f"{text!r} is no number of FLOPs; {like}")
    return flops


def parse_device(device: str | float) -> float:
    """Peak FLOP/s of a device by its name in `DEVICES`, in any case, or as a number.

    Raises:
        InputError: for another name, or a number that is not above 0.

    >>> parse_device("a100"), parse_device(1e14), parse_device("312 TFLOPs")
    (312000000000000.0, 100000000000000.0, 312000000000000.0)
    """
    if not isinstance(device, str):
        if not (math.isfinite(device) and device > 0):
            raise InputError(f"device_flops is {device}; give a positive number")
        return float(device)
    named = [peak for name, peak in DEVICES.items() if name.lower() == device.strip().lower()]
    if named:
        return named[0]
    if not device.strip()[:1].isdigit():
        raise InputError(
            f"there is no device {device!r}; give its peak FLOP/s or one of {', '.join(DEVICES)}"
        )
    return parse_flops(device)


def _scaled(match: re.Match[str]) -> float:
    return float(_digits(match)) * _PREFIXES[match["prefix"].lower()]


def _digits(match: re.Match[str]) -> str:
    return match["number"].replace("_", "").replace(",", "")


def _with_a_point(written: str) -> str:
    """What to do about a comma that parts no groups of three digits; empty without a comma."""
    if "," not in written:
        return ""
    return "a comma may only part groups of three digits: write a decimal point, like 12.8M"


def total_flops(budget: Budget) -> float:
    """FLOPs that the run costs.

    >>> total_flops(Budget(samples_seen=1_000, flops_per_sample=2e9))
    2000000000000.0
    """
    return budget.samples_seen * budget.flops_per_sample


def budget_from_flops(flops: float, flops_per_sample: float) -> Budget:
    """The largest budget that costs at most `flops`.

    Raises:
        InputError: where `flops` do not pay for one sample.

    >>> budget_from_flops(2e12, 2e9).samples_seen
    1000
    """
    if not (math.isfinite(flops) and flops > 0 and flops_per_sample > 0):
        raise InputError(
            f"cannot buy samples with {flops} FLOPs at {flops_per_sample} a sample; both must be positive"
        )
    if flops < flops_per_sample:
        raise InputError(
            f"{flops:g} FLOPs do not pay for one sample of {flops_per_sample:g} FLOPs; raise the budget"
        )
    return Budget(samples_seen=int(flops // flops_per_sample), flops_per_sample=flops_per_sample)


def epochs(samples_seen: float, num_unique: float) -> float:
    """Passes over `num_unique` samples that `samples_seen` make; 1.0 is the end of the first pass.

    >>> epochs(128_000_000, 12_800_000)
    10.0
    """
    if num_unique <= 0:
        raise InputError(
            f"num_unique is {num_unique}; a pool needs at least one sample before it can be repeated"
        )
    return samples_seen / num_unique


def parse_count(text: str | int) -> int:
    """Whole number that a person wrote: `32M`, `1.5B`, `4e7`, `12800`, `12_800`; suffixes k, M, B (or G), T.

    A comma parts groups of three digits (`12,800`); as a decimal sign it is refused.

    Raises:
        InputError: where the text is not a number, not whole, below 1 or above 1e18.

    >>> parse_count("32M"), parse_count("1.5B"), parse_count("4e7")
    (32000000, 1500000000, 40000000)
    """
    match = _COUNT.fullmatch(str(text).strip())
    if match is None:
        like = _with_a_point(str(text)) or "write it like 12800, 32M, 1.5B or 4e7"
        raise InputError(f"{text!r} is not a count; {like}")
    number = Decimal(_digits(match)) * _FACTORS[match["suffix"].lower()]
    if number > _LARGEST_COUNT:
        raise InputError(f"{text!r} is above 1e18; check its suffix")
    if number != number.to_integral_value():
        raise InputError(f"{text!r} is not a whole number of samples; round it")
    if number < 1:
        raise InputError(f"{text!r} is below 1; a count of samples starts at 1")
    return int(number)


def format_count(count: float) -> str:
    """Short text for people, four significant digits: `12.8M`; `parse_count` reads it back, rounded.

    >>> format_count(32_000_000), format_count(12_345_678), format_count(960)
    ('32M', '12.35M', '960')
    """
    for factor, suffix in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k")):
        if round(count) >= factor:
            return (
                f"{count / factor:.4g}{suffix}" if count / factor < 1000 else f"{count / factor:.0f}{suffix}"
            )
    return f"{round(count)}"
