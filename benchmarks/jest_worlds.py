"""Pairs with planted captions, pairs set aside as curated, and what to measure on.

Captions are planted by a fixed seed, so every run of `jest.py` finds the same pool.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from real_pairs import CIFAR_CLASSES, write_tars
from thresher.data.files.atomic import write_json
from thresher.data.pairs import Pair
from thresher.data.patterns import expand
from thresher.data.shards import read_pairs
from thresher.models.evaluation.sets import prepare_tasks
from thresher.models.evaluation.settings import Evaluate
from thresher.models.towers import Towers, load_towers
from thresher.train.dataset import Dataset, describe_dataset
from thresher.train.recipe import Recipe

GROUPS = ("airplane ship", "automobile truck", "bird frog", "cat dog", "deer horse")
"""Classes that a coarse caption does not tell apart."""
PLANTED_FILE = "planted.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One pool with planted captions, its curated pairs and what to measure on.

    Attributes:
        name: its folder under OUT.
        data: folder with `cifar10/` and `flickr8k/`.
        out: folder of all worlds.
        dataset: `cifar10` or `flickr8k`.
        wrong: share of the pool whose captions are wrong.
        num_curated: clean images set aside for the reference.
        coarse: whether the captions of the curated pairs tell classes of one of `GROUPS` apart.
        reference: recipe of the reference.
        reference_steps: its length.
        keep: share of the pool that the offline filter keeps.
    """

    name: str
    data: Path
    out: Path
    dataset: str
    wrong: float
    num_curated: int
    coarse: bool
    reference: Recipe
    reference_steps: int
    keep: float

    @property
    def folder(self) -> Path:
        """Where all of it lies."""
        return self.out / self.name


def plant(world: World) -> None:
    """Write `curated/` and `pool/` shards with planted captions and `planted.json`, once."""
    if (world.folder / PLANTED_FILE).exists():
        return
    folder = world.data / "cifar10" / "train" if world.dataset == "cifar10" else world.data / "flickr8k"
    shards = sorted(folder.glob("*.tar" if world.dataset == "cifar10" else "0000[0-5].tar"))
    pairs = [pair for shard in shards for pair in read_pairs(str(shard)) if isinstance(pair, Pair)]
    random = np.random.default_rng(17)
    order = random.permutation(len(pairs))
    curated = [one for place in order[: world.num_curated] for one in each_caption(pairs[place])]
    pool = [one for place in order[world.num_curated :] for one in each_caption(pairs[place])]
    is_wrong = np.zeros(len(pool), dtype=bool)
    is_wrong[random.permutation(len(pool))[: round(world.wrong * len(pool))]] = True
    captions = [
        wrong_caption(pair, pool, random) if wrong else pair.caption
        for pair, wrong in zip(pool, is_wrong, strict=True)
    ]
    described = [coarse_caption(pair) if world.coarse else pair.caption for pair in curated]
    write_tars(world.folder / "curated", list(zip(curated, described, strict=True)))
    write_tars(world.folder / "pool", list(zip(pool, captions, strict=True)))
    planted = {pair.uid: "wrong" if wrong else "clean" for pair, wrong in zip(pool, is_wrong, strict=True)}
    write_json(world.folder / PLANTED_FILE, planted)


def wrong_caption(pair: Pair, pool: list[Pair], random: np.random.Generator) -> str:
    """The caption of another image; where pairs have classes, of another class."""
    while True:
        other = pool[int(random.integers(len(pool)))]
        same_class = pair.meta.get("class") is not None and other.meta["class"] == pair.meta["class"]
        if other.image != pair.image and not same_class:
            return other.caption


def each_caption(pair: Pair) -> list[Pair]:
    """A pair for each caption that people gave an image, with a uid of its own; or the pair itself."""
    captions = pair.meta.get("captions") or [pair.caption]
    if len(captions) == 1:
        return [pair]
    uids = [hashlib.md5(f"{pair.uid}#{place}".encode()).hexdigest() for place in range(len(captions))]
    return [replace(pair, uid=uid, caption=text) for uid, text in zip(uids, captions, strict=True)]


def coarse_caption(pair: Pair) -> str:
    """The caption with the class replaced by the two classes of its group."""
    name = str(pair.meta["class"])
    group = next(group for group in GROUPS if name in group.split())
    return pair.caption.replace(name, " or ".join(group.split()))


def read_planted(world: World) -> dict[str, bool]:
    """Whether the caption of a pair of the pool is right, by uid."""
    planted = json.loads((world.folder / PLANTED_FILE).read_text())
    return {uid: state == "clean" for uid, state in planted.items()}


def make_tasks(world: World, towers: Towers) -> Path:
    """What a trained model is measured on."""
    if world.dataset == "cifar10":
        settings = Evaluate(
            zeroshot=tuple(expand([str(world.data / "cifar10" / "test")])),
            classes=CIFAR_CLASSES,
            templates=("a photo of a {}", "a picture of a {}", "an image of a {}"),
        )
    else:
        settings = Evaluate(metric="retrieval_error", retrieval=(str(world.data / "flickr8k" / "00006.tar"),))
    return prepare_tasks(settings, towers, world.folder / "cache")


def describe(world: World, model: str) -> tuple[Dataset, Path]:
    """Curated pairs and pool, decoded and tokenised once, and the tasks."""
    towers = load_towers(model)
    shards = expand([str(world.folder / "curated"), str(world.folder / "pool")])
    dataset = describe_dataset(shards, towers, cache=world.folder / "cache")
    return dataset, make_tasks(world, towers)
