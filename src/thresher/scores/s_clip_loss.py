"""s-CLIPLoss: the cosine of a pair, minus how well its image and its text fit other pairs.

Shapes: n pairs scored, B pairs of a batch, D embedding dimensions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thresher.data.digests import number_of
from thresher.data.uids import scrambled
from thresher.errors import InputError
from thresher.scores.embeddings.stored import Places, StoredEmbeddings, Vectors
from thresher.scores.vectors import Scores, Step, VectorScorer, cosines, finite, made_by, tiles

Words = npt.NDArray[np.uint64]


def s_clip_loss(
    *, batch: int = 32_768, repeats: int = 10, temperature: float | None = None, seed: int = 0
) -> Callable[[StoredEmbeddings], VectorScorer]:
    """Scores pairs by the negative of their loss under the model, in units of the cosine.

    With f the unit image vectors and g the unit text vectors, t the temperature, and X a batch that holds
    the pair i (arXiv 2405.19547, where it is called negCLIPLoss in the first versions):

        f_i . g_i  -  t/2 (log sum_{j in X} exp(f_i . g_j / t)  +  log sum_{j in X} exp(f_j . g_i / t))

    averaged over several random batches. The second term takes back what a vague caption or a common image
    gets from everything. It needs no model and no images, only the embeddings.

    The defaults are those of the authors' code: batches of the size that the teacher was trained with
    (32,768 for OpenAI's CLIP) and 10 of them; fewer than 5 were worse. Their code deals the rows of a
    metadata file into batches. Here the batch of a pair is the pair and B - 1 others drawn from the whole
    folder by a hash of their uids, the same others for all pairs. So the score of a pair depends neither on
    its neighbours nor on the order of the shards, and differences between pairs are no noise of the draw.

    Args:
        batch: B; where fewer pairs are stored, all of them are the batch.
        repeats: How many batches.
        temperature: t; left out, that of the model, 1 / `scale`.
        seed: Of the batches.

    Raises:
        InputError: an option is out of range.
    """
    if batch < 2 or repeats < 1 or (temperature is not None and not temperature > 0):
        raise InputError(
            f"s-clip-loss with batch={batch}, repeats={repeats}, temperature={temperature} cannot be "
            "computed; a batch has at least 2 pairs, repeats at least 1, and the temperature is above 0"
        )

    def opened(embeddings: StoredEmbeddings) -> VectorScorer:
        words = embeddings.uids.view(np.uint64).reshape(-1, 2)  # the uid of every place as two whole numbers
        size = min(batch, len(np.unique(_hash(words, 0))))
        if size < 2:
            raise InputError(f"{embeddings.folder} holds {size} pairs; s-clip-loss compares at least 2")
        rounds = 1 if size < batch else repeats  # with everything in the batch, all batches are one
        cold = temperature if temperature is not None else 1 / embeddings.scale
        held = f"{int(_hash(words, 1).sum()):016x}{int(_hash(words, 2).sum()):016x}"  # in whatever order

        def score(parts: Sequence[Places], step: Step) -> list[Scores]:
            sums = [np.zeros(len(places)) for places in parts]
            for number in range(rounds):
                others = _draw(embeddings, words, size, seed, number)
                for places, total in zip(parts, sums, strict=True):
                    for rows, tile in tiles(places):
                        total[rows] += _normalised(embeddings, tile, words[tile], others, cold)
                    step(len(places) * (number + 1) // rounds - len(places) * number // rounds)
            return [(total / rounds).astype(np.float32) for total in sums]

        return VectorScorer(
            fingerprint=f"s-clip-loss-1 {made_by(embeddings)} {size} {rounds} {cold:.9g} {seed} {held}",
            score=score,
        )

    return opened


@dataclass(frozen=True, slots=True, eq=False)
class _Others:
    """The B pairs that stand for everything else: their hashes (rising) and vectors."""

    hashes: Words
    key: int
    image_BD: Vectors
    text_BD: Vectors

    def dropped(self, words: Words) -> npt.NDArray[np.int64]:
        """For each pair the one of the B that makes room for it: itself where it is among them."""
        found = _hash(words, self.key)
        near = np.minimum(np.searchsorted(self.hashes, found), len(self.hashes) - 1)
        last = len(self.hashes) - 1
        return np.where(self.hashes[near] == found, near, last)


def _draw(embeddings: StoredEmbeddings, words: Words, size: int, seed: int, number: int) -> _Others:
    """The `size` pairs of the lowest hashes; a uid that stands in two shards counts once."""
    key = number_of(f"{seed} {number}".encode())
    hashes = _hash(words, key)
    asked = 2 * size
    while True:  # until so many of the lowest differ
        lowest = np.argpartition(hashes, asked)[:asked] if asked < len(hashes) else np.arange(len(hashes))
        lowest.sort()  # of equal ones the first stays
        different, first = np.unique(hashes[lowest], return_index=True)
        if len(different) >= size or asked >= len(hashes):
            places = lowest[first[:size]]
            images, texts = (finite(embeddings, read(places)) for read in (embeddings.image, embeddings.text))
            return _Others(different[:size], key, images, texts)
        asked *= 2


def _normalised(
    embeddings: StoredEmbeddings, places: Places, words: Words, others: _Others, temperature: float
) -> npt.NDArray[np.float64]:
    image_nD, text_nD = embeddings.image(places), embeddings.text(places)
    own_n = cosines(embeddings, places).astype(np.float64)
    dropped = others.dropped(words)
    of_texts = _log_sum(image_nD, others.text_BD, own_n, dropped, temperature)
    of_images = _log_sum(text_nD, others.image_BD, own_n, dropped, temperature)
    return own_n - 0.5 * temperature * (of_texts + of_images)


def _log_sum(
    one_nD: Vectors,
    others_BD: Vectors,
    own_n: npt.NDArray[np.float64],
    dropped: npt.NDArray[np.int64],
    temperature: float,
) -> npt.NDArray[np.float64]:
    """Logarithm of the sum of exp(cosine / temperature) over the pair and the others but the dropped."""
    logits_nB = one_nD @ others_BD.T
    logits_nB /= np.float32(temperature)
    logits_nB[np.arange(len(dropped)), dropped] = own_n / temperature
    highest_n1 = logits_nB.max(axis=1, keepdims=True)
    logits_nB -= highest_n1
    np.exp(logits_nB, out=logits_nB)
    found: npt.NDArray[np.float64] = np.log(logits_nB.sum(axis=1, dtype=np.float64)) + highest_n1[:, 0]
    return found


def _hash(words: Words, key: int) -> Words:
    """A uint64 of each uid that looks random and depends on `key` (the finaliser of SplitMix64, twice)."""
    first = scrambled(words[:, 0] ^ np.uint64(key))
    return scrambled(first ^ words[:, 1])
