import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.models.small import TINY
from thresher.errors import InputError
from thresher.models.evaluation.evaluate import (
    RECALL_AT,
    TIE,
    RetrievalTask,
    ZeroShotTask,
    class_embeddings,
    evaluate,
    guessed,
    retrieval,
    same_text,
    zero_shot,
)
from thresher.models.evaluation.settings import error_of
from thresher.models.towers import embed_images, embed_texts, load_towers

SEEDS = st.integers(0, 10_000)


def unit(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Unit vectors on a coarse grid, so that equal ones, hence ties, happen."""
    vectors = random.integers(1, 4, size=shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def slow_zero_shot(images: np.ndarray, classes: np.ndarray, labels: np.ndarray, k: int) -> float:
    hits = 0
    for image, label in zip(images, labels, strict=True):
        scores = [float(image @ one) for one in classes]
        others = [score for number, score in enumerate(scores) if number != label]
        hits += sum(score >= scores[label] - TIE for score in others) < k
    return hits / len(images)


def slow_ranks(scores: np.ndarray, true: np.ndarray) -> list[int]:
    """For each row, how many false columns score at least as high as its best true one."""
    ranks = []
    for row, is_true in zip(scores.tolist(), true.tolist(), strict=True):
        best = max(score for score, t in zip(row, is_true, strict=True) if t)
        ranks.append(sum(score >= best - TIE for score, t in zip(row, is_true, strict=True) if not t))
    return ranks


@given(SEEDS, st.integers(1, 20), st.integers(2, 9))
def test_zero_shot_agrees_with_a_slow_count(seed: int, num_images: int, num_classes: int) -> None:
    random = np.random.default_rng(seed)
    images, classes = unit(random, num_images, 3), unit(random, num_classes, 3)
    labels = random.integers(num_classes, size=num_images)
    measured = zero_shot(images, classes, labels)
    assert measured["zeroshot_acc1"] == pytest.approx(slow_zero_shot(images, classes, labels, 1))
    assert measured["zeroshot_acc5"] == pytest.approx(slow_zero_shot(images, classes, labels, 5))


@given(SEEDS, st.lists(st.integers(1, 4), min_size=1, max_size=12), st.booleans())
def test_retrieval_agrees_with_a_slow_count(seed: int, captions_of: list[int], some_equal: bool) -> None:
    random = np.random.default_rng(seed)
    image_of = random.permutation(np.repeat(np.arange(len(captions_of)), captions_of))
    images, texts = unit(random, len(captions_of), 3), unit(random, len(image_of), 3)
    text_of = np.arange(len(image_of)) // (2 if some_equal else 1)
    texts = texts[text_of]
    measured = retrieval(images, texts, image_of, scale=1.0, text_of_caption_M=text_of)
    scores = images @ texts.T
    once = np.unique(text_of, return_index=True)[1]
    said = [set(text_of[image_of == image]) for image in range(len(images))]
    true = np.array([[text in own for text in text_of] for own in said])
    to_text, to_image = slow_ranks(scores[:, once], true[:, once]), slow_ranks(scores.T, true.T)
    for k in RECALL_AT:
        assert measured[f"image_to_text_R@{k}"] == pytest.approx(np.mean([rank < k for rank in to_text]))
        assert measured[f"text_to_image_R@{k}"] == pytest.approx(np.mean([rank < k for rank in to_image]))
    mrr = [np.mean([1 / (1 + rank) for rank in ranks]) for ranks in (to_text, to_image)]
    assert measured["retrieval_mrr"] == pytest.approx(np.mean(mrr))


def test_retrieval_loss_is_the_softmax_loss_over_first_captions() -> None:
    random = np.random.default_rng(0)
    images, texts = unit(random, 4, 8), unit(random, 7, 8)
    image_of = np.array([2, 0, 0, 1, 3, 2, 1])
    logits = 3.0 * (images @ texts[[1, 3, 0, 4]].T).astype(float)
    losses = [
        np.mean([np.log(np.exp(line).sum()) - line[i] for i, line in enumerate(table)])
        for table in (logits, logits.T)
    ]
    measured = retrieval(images, texts, image_of, scale=3.0)
    assert measured["retrieval_loss"] == pytest.approx(np.mean(losses), rel=1e-5)


def test_any_true_caption_finds_its_image_and_each_caption_looks_for_its_own() -> None:
    axes = np.eye(4, dtype=np.float32)
    # of image 0, one caption is right on it and one right on image 1
    texts = np.stack([axes[0], axes[1], (axes[1] + axes[2]) / np.sqrt(2).astype(np.float32)])
    measured = retrieval(axes[:2], texts, np.array([0, 0, 1]), scale=1.0)
    assert measured["image_to_text_R@1"] == 0.5  # image 1 has a caption of image 0 nearer
    assert measured["text_to_image_R@1"] == pytest.approx(2 / 3)


def test_a_caption_that_two_images_have_is_a_miss_for_neither() -> None:
    """As classes of one name are one class: no model could tell which of the two is meant."""
    axes = np.eye(3, dtype=np.float32)
    text_of = same_text(np.array([[5, 6], [5, 6], [7, 8]]))
    measured = retrieval(axes, axes[[0, 0, 2]], np.arange(3), scale=1.0, text_of_caption_M=text_of)
    assert measured["image_to_text_R@1"] == pytest.approx(2 / 3), "image 1 is like no caption"
    assert measured["text_to_image_R@1"] == 1
    assert retrieval(axes, axes[[0, 0, 2]], np.arange(3), scale=1.0)["image_to_text_R@1"] == 1 / 3


@pytest.mark.parametrize("num_classes", [2, 7, 10, 100])
def test_a_collapsed_model_scores_nothing(num_classes: int) -> None:
    """All embeddings are alike, so that everything ties, whatever order the sums are taken in."""
    one = unit(np.random.default_rng(1), 1, 64)
    images, classes = np.repeat(one, 301, axis=0), np.repeat(one, num_classes, axis=0)
    assert zero_shot(images, classes, np.arange(301) % num_classes)["zeroshot_acc1"] == 0
    measured = retrieval(images, np.repeat(one, 602, axis=0), np.arange(602) // 2, scale=1.0)
    assert measured["image_to_text_R@10"] == measured["text_to_image_R@10"] == 0


def test_a_class_is_the_mean_of_its_prompts_at_unit_length() -> None:
    prompts = np.eye(3, dtype=np.float32)[None, :2]
    assert class_embeddings(prompts) == pytest.approx(np.array([[0.5**0.5, 0.5**0.5, 0]]))


def test_a_model_is_evaluated_on_its_embeddings_however_many_images_there_are() -> None:
    towers = load_towers(TINY, seed=0)
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, size=(251, 32, 32, 3), dtype=np.uint8)
    captions = [f"number {n}" for n in range(251)]
    labels = random.integers(4, size=251)
    prompts = torch.stack([towers.tokenize([f"a {n}", f"one {n}"]) for n in range(4)])
    tasks = [
        ZeroShotTask(pixels=pixels, labels=labels, prompts=prompts),
        RetrievalTask(pixels=pixels, captions=towers.tokenize(captions), image_of_caption=np.arange(251)),
    ]
    images = embed_images(towers, pixels, precision="fp32")
    classes = class_embeddings(
        np.stack([embed_texts(towers, [f"a {n}", f"one {n}"], precision="fp32") for n in range(4)])
    )
    texts = embed_texts(towers, captions, precision="fp32")
    scale = float(towers.model.logit_scale.detach().exp())
    expected = zero_shot(images, classes, labels) | retrieval(images, texts, np.arange(251), scale=scale)
    assert evaluate(towers, tasks, precision="fp32") == pytest.approx(expected, abs=1e-4)


METRICS = {
    "zeroshot_acc1": 0.6,
    "zeroshot_acc5": 0.9,
    "image_to_text_R@1": 0.2,
    "text_to_image_R@1": 0.1,
    "image_to_text_R@5": 0.5,
    "text_to_image_R@5": 0.6,
    "image_to_text_R@10": 0.7,
    "text_to_image_R@10": 0.9,
    "retrieval_mrr": 0.3,
    "retrieval_loss": 2.5,
}


@pytest.mark.parametrize(
    ("metric", "error"),
    [
        ("zeroshot_error", 0.4),
        ("retrieval_error", 0.85),
        ("recall_error", 0.5),
        ("mrr_error", 0.7),
        ("retrieval_loss", 2.5),
        ("average_error", 1 - (0.6 + 0.15) / 2),
    ],
)
def test_an_error_is_what_its_name_says(metric: str, error: float) -> None:
    assert error_of(metric, METRICS) == pytest.approx(error)


def test_an_unknown_metric_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="metric 'accuracy' is unknown; take one of zeroshot_error, "):
        error_of("accuracy", METRICS)


def test_a_metric_whose_task_was_not_evaluated_is_named() -> None:
    with pytest.raises(
        InputError, match="metric 'mrr_error' needs 'retrieval_mrr', which no evaluation set gives"
    ):
        error_of("mrr_error", {"zeroshot_acc1": 0.5})


@pytest.mark.parametrize("num_texts", [14, 9])
def test_guessing_is_what_random_embeddings_show_on_average(num_texts: int) -> None:
    rng = np.random.default_rng(0)
    image_of = np.array([0, 0, 0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 8, 9])
    text_of = np.arange(14) % num_texts  # with 9, five of them stand twice
    labels = rng.integers(0, 7, 10)
    shown: dict[str, list[float]] = {}
    for _ in range(3000):
        images, texts, classes = (
            rng.standard_normal((count, 32)).astype(np.float32) for count in (10, 14, 7)
        )
        texts = texts[text_of]
        found = zero_shot(images, classes, labels)
        found |= retrieval(images, texts, image_of, scale=0.0, text_of_caption_M=text_of)
        for name, value in found.items():
            shown.setdefault(name, []).append(value)
    expected = guessed(7, image_of, text_of)
    assert set(expected) == set(shown)
    for name, values in shown.items():
        assert np.mean(values) == pytest.approx(expected[name], abs=0.01), name
