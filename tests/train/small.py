"""Pairs of flat colours and captions, in memory, that a small model learns in a few steps."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tests.models.small import RESNET, VIT
from thresher.errors import InputError
from thresher.models.towers import Towers, embed_images, load_towers
from thresher.scores.embeddings.stored import StoredEmbeddings
from thresher.train.distributed import SINGLE, Ranks
from thresher.train.images import MappedImages, Pixels
from thresher.train.loop import Measurement, train
from thresher.train.pairs import Pairs, tokenize
from thresher.train.recipe import Recipe

BATCH = 16
RECIPE = Recipe(model=RESNET, batch_size=BATCH, warmup_samples=64, precision="fp32")
JOINT = dataclasses.replace(RECIPE, model=VIT, select="joint", filter_ratio=0.75, chunks=4)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InMemory:
    """Embeddings in arrays, one row a uid."""

    uids: Sequence[str]
    image_nD: npt.NDArray[np.float32]
    text_nD: npt.NDArray[np.float32]
    scale: float
    bias: float

    def find(self, uids: Sequence[str] | pa.ChunkedArray) -> npt.NDArray[np.int64]:
        """Place of each uid.

        Raises:
            InputError: a uid is missing; the text names it.
        """
        place = {uid: number for number, uid in enumerate(self.uids)}
        wanted = uids.to_pylist() if isinstance(uids, pa.ChunkedArray) else uids
        try:
            return np.array([place[uid] for uid in wanted], dtype=np.int64)
        except KeyError as error:
            raise InputError(f"uid {error.args[0]} has no reference embedding; embed its pair") from error

    def image(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Image embeddings, [B, D]."""
        return self.image_nD[places]

    def text(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Caption embeddings, [B, D]."""
        return self.text_nD[places]


def pixels(count: int) -> Pixels:
    """Images of one colour each, with some noise."""
    random = np.random.default_rng(5)
    colours = random.integers(0, 200, size=(count, 1, 1, 3))
    return (colours + random.integers(0, 50, size=(count, 32, 32, 3))).astype(np.uint8)


def flat_pairs(count: int = 96, *, model: str = RESNET, repeats: Sequence[int] | None = None) -> Pairs:
    towers = load_towers(model)
    captions = [f"a picture of colour number {number}" for number in range(count)]
    times = np.ones(count) if repeats is None else np.asarray(repeats)
    return Pairs(
        images=MappedImages(pixels(count)),
        tokens=tokenize(towers, captions),
        rows=np.arange(count),
        repeats=times.astype(np.int64),
        uids=[f"{number:032x}" for number in range(count)],
    )


def random_reference(pairs: Pairs, *, seed: int = 0, dim: int = 8) -> InMemory:
    """Embeddings that know which caption belongs to which image, but for some noise."""
    random = np.random.default_rng(seed)
    shared = random.normal(size=(len(pairs.uids), dim))
    image, text = (shared + random.normal(size=shared.shape) for _ in range(2))
    unit = [(one / np.linalg.norm(one, axis=1, keepdims=True)).astype(np.float32) for one in (image, text)]
    return InMemory(uids=pairs.uids, image_nD=unit[0], text_nD=unit[1], scale=10.0, bias=-5.0)


def measure(towers: Towers) -> dict[str, float]:
    """Numbers that differ when any bit of the image tower does."""
    features = embed_images(towers, pixels(8), precision="fp32")
    return {f"feature{place}": float(value) for place, value in enumerate(features[:, 0])}


def run(
    folder: Path,
    pairs: Pairs,
    *points: int,
    recipe: Recipe = RECIPE,
    evaluate: Callable[[Towers], dict[str, float]] = measure,
    ranks: Ranks = SINGLE,
    checkpoint_seconds: float = 1e9,
    reference: StoredEmbeddings | None = None,
) -> list[Measurement]:
    _, measured = train(
        recipe,
        pairs,
        points,
        folder,
        seed=3,
        evaluate=evaluate,
        ranks=ranks,
        checkpoint_seconds=checkpoint_seconds,
        reference=reference,
    )
    return measured


class Stop(Exception):
    """Stands in for a kill: nothing catches it."""


@dataclasses.dataclass
class StoppingImages:
    """Images that call `stop` when batch number `at` is asked for."""

    pixels: Pixels
    at: int
    stop: Callable[[], None]
    asked: int = 0

    def submit(self, places: npt.NDArray[np.int64]) -> Callable[[], Pixels]:
        self.asked += 1
        if self.asked == self.at:
            self.stop()
        return lambda: self.pixels[places]


def stopping(pairs: Pairs, at: int, stop: Callable[[], None]) -> Pairs:
    assert isinstance(pairs.images, MappedImages)
    return dataclasses.replace(pairs, images=StoppingImages(pairs.images.pixels, at, stop))
