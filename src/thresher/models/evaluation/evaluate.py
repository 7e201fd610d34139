"""Zero-shot accuracy and retrieval recall of a model.

Shapes: N images, M captions, C classes, P prompts a class, D embedding dimensions, T tokens.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from thresher.models.towers import Towers, embed_images, embed_tokens

Embeddings = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
BATCH = 250
RECALL_AT = (1, 5, 10)
TIE = 1e-6
"""Similarities nearer than this are equal: the order of summation alone makes them differ so much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroShotTask:
    """Labelled images and the prompts of their classes."""

    pixels: Pixels  # [N, H, W, 3]
    labels: npt.NDArray[np.int64]  # [N]
    prompts: torch.Tensor  # [C, P, T]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalTask:
    """Images with one caption or several each."""

    pixels: Pixels  # [N, H, W, 3]
    captions: torch.Tensor  # [M, T]
    image_of_caption: npt.NDArray[np.int64]  # [M]


Task = ZeroShotTask | RetrievalTask


def evaluate(towers: Towers, tasks: list[Task], *, precision: str = "auto") -> dict[str, float]:
    """All metrics of all tasks; shares are in [0, 1], `retrieval_loss` in nats."""
    metrics: dict[str, float] = {}
    for task in tasks:
        images = _embedded(lambda part: embed_images(towers, part, precision=precision), task.pixels)
        if isinstance(task, ZeroShotTask):
            num_classes, num_prompts = task.prompts.shape[:2]
            texts = _embedded(
                lambda part: embed_tokens(towers, part, precision=precision), task.prompts.flatten(0, 1)
            )
            classes = class_embeddings(texts.reshape(num_classes, num_prompts, -1))
            metrics |= zero_shot(images, classes, task.labels)
        else:
            texts = _embedded(lambda part: embed_tokens(towers, part, precision=precision), task.captions)
            scale = float(towers.model.logit_scale.detach().exp())  # type: ignore[operator]
            same_M = same_text(task.captions.numpy())
            metrics |= retrieval(images, texts, task.image_of_caption, scale=scale, text_of_caption_M=same_M)
    return metrics


def _embedded(embed: Callable[[Any], Embeddings], items: Any) -> Embeddings:
    return np.concatenate([embed(items[i : i + BATCH]) for i in range(0, len(items), BATCH)])


def class_embeddings(prompts_CPD: Embeddings) -> Embeddings:
    """Mean over the prompts of each class, unit length, [C, D]."""
    mean = prompts_CPD.mean(axis=1)
    unit: Embeddings = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    return unit


def zero_shot(
    images_ND: Embeddings, classes_CD: Embeddings, labels_N: npt.NDArray[np.int64]
) -> dict[str, float]:
    """Share of images whose class is the nearest (`zeroshot_acc1`) or one of the five nearest (`_acc5`).

    A tie counts as a miss, so that a collapsed model, whose embeddings are all alike, scores nothing.
    """
    scores_NC = images_ND @ classes_CD.T
    true_N = scores_NC[np.arange(len(labels_N)), labels_N]
    better_N = (scores_NC >= true_N[:, None] - TIE).sum(axis=1) - 1
    return {"zeroshot_acc1": float((better_N < 1).mean()), "zeroshot_acc5": float((better_N < 5).mean())}


def same_text(captions_MT: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
    """A number of each caption's tokens that equal captions share."""
    same_M: npt.NDArray[np.int64] = np.unique(captions_MT, axis=0, return_inverse=True)[1].reshape(-1)
    return same_M


def _has(
    image_of_caption_M: npt.NDArray[np.int64], text_of_caption_M: npt.NDArray[np.int64] | None
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Which of the K different texts are captions of which image, [N, K], and the text of each caption."""
    texts_M = np.arange(len(image_of_caption_M)) if text_of_caption_M is None else text_of_caption_M
    texts_M = np.unique(texts_M, return_inverse=True)[1].astype(np.int64)
    has_NK = np.zeros((image_of_caption_M.max() + 1, texts_M.max() + 1), dtype=np.bool_)
    has_NK[image_of_caption_M, texts_M] = True
    return has_NK, texts_M


def retrieval(
    images_ND: Embeddings,
    texts_MD: Embeddings,
    image_of_caption_M: npt.NDArray[np.int64],
    *,
    scale: float,
    text_of_caption_M: npt.NDArray[np.int64] | None = None,
) -> dict[str, float]:
    """Recall in both directions, mean reciprocal rank and contrastive loss.

    With several captions an image, any true one among the k nearest counts; a tie with a false one counts as
    a miss. Captions of the same text (`text_of_caption_M`) are one, which is true for every image that has
    it. The loss is the softmax loss in nats over the first caption of each image, at the model's own `scale`.
    """
    scores_NM = images_ND @ texts_MD.T
    has_NK, texts_M = _has(image_of_caption_M, text_of_caption_M)
    scores_NK = scores_NM[:, np.unique(texts_M, return_index=True)[1]]
    true_NK = np.where(has_NK, scores_NK, -np.inf)
    rank_N = ((scores_NK >= true_NK.max(axis=1)[:, None] - TIE) & ~has_NK).sum(axis=1)
    rank_M = ((scores_NK >= true_NK.max(axis=0) - TIE) & ~has_NK).sum(axis=0)[texts_M]
    metrics: dict[str, float] = {}
    for k in RECALL_AT:
        metrics[f"image_to_text_R@{k}"] = float((rank_N < k).mean())
        metrics[f"text_to_image_R@{k}"] = float((rank_M < k).mean())
    metrics["retrieval_mrr"] = float(((1 / (1 + rank_N)).mean() + (1 / (1 + rank_M)).mean()) / 2)
    _, first = np.unique(image_of_caption_M, return_index=True)
    logits = torch.from_numpy(scores_NM[:, first]).double() * scale
    target = torch.arange(len(logits))
    loss = torch.nn.functional.cross_entropy
    metrics["retrieval_loss"] = float((loss(logits, target) + loss(logits.T, target)) / 2)
    return metrics


def guessed(
    num_classes: int | None = None,
    image_of_caption_M: npt.NDArray[np.int64] | None = None,
    text_of_caption_M: npt.NDArray[np.int64] | None = None,
) -> dict[str, float]:
    """The metrics of a model that ranks at random, in expectation; every image has a caption."""
    metrics: dict[str, float] = {}
    if num_classes is not None:
        metrics |= {f"zeroshot_acc{k}": min(k, num_classes) / num_classes for k in (1, 5)}
    if image_of_caption_M is None:
        return metrics
    has_NK, texts_M = _has(image_of_caption_M, text_of_caption_M)
    images, texts = has_NK.shape
    mrr = []
    for name, true_I, count in (
        ("image_to_text", has_NK.sum(1), texts),
        ("text_to_image", has_NK.sum(0)[texts_M], images),
    ):
        beyond_IJ = _first_beyond(true_I, count)
        metrics |= {f"{name}_R@{k}": float(1 - beyond_IJ[:, min(k, count)].mean()) for k in RECALL_AT}
        mrr.append((-np.diff(beyond_IJ) / np.arange(1, count + 1)).sum(1).mean())
    metrics["retrieval_mrr"] = float(np.mean(mrr))
    metrics["retrieval_loss"] = float(np.log(images))
    return metrics


def _first_beyond(true_N: npt.NDArray[np.int64], captions: int) -> npt.NDArray[np.float64]:
    """Chance that no true caption of an image is among the first 0 to M of a random order, [N, M + 1].

    Of m true ones it is `C(M - m, r) / C(M, r)`, which falls by `(M - m - r) / (M - r)` with each r.
    """
    kinds, kind_N = np.unique(true_N, return_inverse=True)
    r = np.arange(captions)
    falls = np.maximum(captions - kinds[:, None] - r, 0) / (captions - r)
    return np.cumprod(np.pad(falls, ((0, 0), (1, 0)), constant_values=1.0), axis=1)[kind_N]
