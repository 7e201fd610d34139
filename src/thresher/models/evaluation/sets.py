"""Evaluation sets: from shards to decoded images with labels, prompts and captions, kept in a file.

Shapes: N images, M captions, C classes, P prompts a class, T tokens.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from thresher.data.digests import digest, hasher
from thresher.data.files.atomic import atomic_path
from thresher.data.files.record_file import own_file
from thresher.data.images.decode import BadImage, decode
from thresher.data.pairs import Pair
from thresher.data.patterns import expand
from thresher.data.shards import read_pairs, state_of_shard
from thresher.errors import InputError
from thresher.models.evaluation.evaluate import RetrievalTask, Task, ZeroShotTask, guessed, same_text
from thresher.models.evaluation.settings import Evaluate, error_of
from thresher.models.towers import Towers

KINDS = ("zeroshot", "retrieval")
"""Keys of the shards of labelled images, and of images with captions."""


def prepare_tasks(evaluate: Evaluate, towers: Towers, cache: Path) -> Path:
    """Decode and tokenise the evaluation sets into one .npz under `cache`; its path.

    Raises:
        InputError: a label is missing or not among the classes, or an image cannot be decoded.
    """
    shards = {kind: tuple(expand(names)) if (names := getattr(evaluate, kind)) else () for kind in KINDS}
    settings = evaluate.model_copy(update=shards)
    described = settings.model_dump(exclude={"metric"})
    context = getattr(towers.tokenize, "context_length", None)
    key = digest(towers.name, described, asdict(towers.spec), context, _states(settings))
    path = cache / f"eval-{key}.npz"
    if path.exists():
        return path
    arrays: dict[str, Any] = {}
    if settings.zeroshot:
        arrays |= _zero_shot_arrays(settings, towers)
    if settings.retrieval:
        arrays |= _retrieval_arrays(settings, towers)
    held = hasher()
    for name, array in arrays.items():
        held.update(f"{name} {array.shape}".encode() + np.ascontiguousarray(array).data)
    arrays["digest"] = np.asarray(held.hexdigest())
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)
    return path


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with (
        own_file(path, "delete it, and it is made again"),
        path.open("rb") as file,  # which numpy leaves open where it is damaged
        np.load(file, allow_pickle=False) as stored,
    ):
        yield stored


def tasks_digest(path: Path) -> str:
    """What differs when anything in the tasks that `prepare_tasks` wrote differs, wherever they lie."""
    with _opened(path) as stored:
        return str(stored["digest"])


def smallest_error(path: Path) -> float:
    """Half a sample of the tasks that `prepare_tasks` wrote: what a perfect model's error is taken for."""
    with _opened(path) as stored:
        count = sum(len(stored[name]) for name in ("labels", "image_of") if name in stored)
    return 1 / (2 * max(1, count))


def chance_error(path: Path, metric: str) -> float:
    """What guessing would err by on the tasks that `prepare_tasks` wrote."""
    with _opened(path) as stored:
        classes = len(stored["prompts"]) if "labels" in stored else None
        image_of, texts = None, None
        if "captions" in stored:
            image_of, texts = stored["image_of"], same_text(stored["captions"])
        return error_of(metric, guessed(classes, image_of, texts))


def load_tasks(path: Path) -> list[Task]:
    """The tasks that `prepare_tasks` wrote."""
    with _opened(path) as stored:
        content = dict(stored)
    tasks: list[Task] = []
    if "labels" in content:
        prompts = torch.from_numpy(content["prompts"])
        tasks.append(ZeroShotTask(pixels=content["pixels"], labels=content["labels"], prompts=prompts))
    if "captions" in content:
        captions = torch.from_numpy(content["captions"])
        tasks.append(
            RetrievalTask(pixels=content["photos"], captions=captions, image_of_caption=content["image_of"])
        )
    return tasks


def _states(settings: Evaluate) -> list[str]:
    """Sizes and times of the files, so that a changed evaluation set is decoded anew."""
    states = []
    for name in (*settings.zeroshot, *settings.retrieval):
        try:
            states.append(state_of_shard(name))
        except OSError as error:
            raise InputError(f"evaluation shard {name} cannot be read: {error.strerror or error}") from error
    return states


def _zero_shot_arrays(settings: Evaluate, towers: Towers) -> dict[str, Any]:
    pairs = _pairs(settings.zeroshot, need_caption=False)
    labels = [_label(pair, settings) for pair in pairs]
    if not settings.classes and any(isinstance(label, int) for label in labels):
        raise InputError(
            f"the labels of {', '.join(settings.zeroshot)} are numbers, and nothing tells their names; list "
            "them in `classes`, in the order of the numbers"
        )
    classes = list(settings.classes) or sorted({str(label) for label in labels})
    numbers = np.asarray(_places(pairs, labels, classes), dtype=np.int64)
    prompts = torch.stack(
        [towers.tokenize([template.format(name) for template in settings.templates]) for name in classes]
    ).int()
    kept, number_of = _distinct(classes, prompts.numpy())
    return {"pixels": _decoded(pairs, towers), "labels": number_of[numbers], "prompts": prompts.numpy()[kept]}


def _label(pair: Pair, settings: Evaluate) -> int | str:
    label = pair.meta.get(settings.label_key, pair.meta.get("cls"))
    if label is None:
        raise InputError(
            f"pair {pair.key} in {pair.shard} has no label {settings.label_key!r} in its json; "
            "set `label_key` to the key that holds the class"
        )
    if isinstance(label, bool) or not isinstance(label, int | str):
        raise InputError(
            f"the label {settings.label_key!r} of pair {pair.key} in {pair.shard} is "
            f"{json.dumps(label, default=str)[:80]}; a label is the name or the number of a class"
        )
    is_number = isinstance(label, str) and re.fullmatch("0|[1-9][0-9]{0,17}", label)
    return int(label) if is_number else label


def _places(pairs: Sequence[Pair], labels: Sequence[int | str], classes: Sequence[str]) -> list[int]:
    """The place in `classes` of each label, which is a name or a place: the same reading for the whole set.

    Raises:
        InputError: a label can be read in no way, or the set in two ways that differ.
    """
    number = {name: place for place, name in reversed(list(enumerate(classes)))}
    names = [number.get(str(label)) for label in labels]
    numbers = [label if isinstance(label, int) and 0 <= label < len(classes) else None for label in labels]
    if None in names:  # a number that is a name as well would be read in one way here, in another there
        names = [None if isinstance(label, int) else name for label, name in zip(labels, names, strict=True)]
    two_readings = None not in names and None not in numbers
    places = []
    for pair, label, name, place in zip(pairs, labels, names, numbers, strict=True):
        where = f"label {label!r} of pair {pair.key} in {pair.shard}"
        found = place if name is None else name
        if found is None:
            raise InputError(
                f"{where} is none of the {len(classes)} classes; name it in `classes` or correct the label"
            )
        if two_readings and name != place:
            raise InputError(
                f"{where} is the name of one class and the number of another, {classes[int(label)]!r}; write "
                "`classes` so that no name is another's number"
            )
        places.append(found)
    return places


def _distinct(classes: Sequence[str], prompts_CPT: npt.NDArray[np.int32]) -> tuple[list[int], Any]:
    """The classes with prompts of their own, and for each class the place of its prompts among these.

    Classes of one name are one class: whatever a model does, it cannot tell them apart.

    Raises:
        InputError: two names have the same prompts, since those are cut off before they differ.
    """
    first: dict[bytes, int] = {}
    kept: list[int] = []
    number_of = np.zeros(len(classes), np.int64)
    for place, prompts in enumerate(prompts_CPT):
        number_of[place] = first.setdefault(prompts.tobytes(), len(kept))
        if number_of[place] == len(kept):
            kept.append(place)
            continue
        other = classes[kept[number_of[place]]]
        if " ".join(other.lower().split()) != " ".join(classes[place].lower().split()):
            raise InputError(
                f"the classes {other!r} and {classes[place]!r} have the same prompts for this model, which "
                f"reads {prompts_CPT.shape[-1]} tokens; shorten `templates` or rename one"
            )
    return kept, number_of


def _retrieval_arrays(settings: Evaluate, towers: Towers) -> dict[str, Any]:
    pairs = _pairs(settings.retrieval)
    captions = [_captions(pair) for pair in pairs]
    flat = [caption for several in captions for caption in several]
    image_of = np.repeat(np.arange(len(pairs)), [len(several) for several in captions])
    tokens = towers.tokenize(flat).int().numpy()
    return {"photos": _decoded(pairs, towers), "captions": tokens, "image_of": image_of}


def _captions(pair: Pair) -> list[str]:
    """The captions of an image: those under `captions` in its json, else the lines of its text.

    Raises:
        InputError: there is something else than texts under `captions`.
    """
    given = pair.meta.get("captions")
    listed = [given] if isinstance(given, str) else [] if given is None else given
    if not isinstance(listed, list) or not all(text is None or isinstance(text, str) for text in listed):
        raise InputError(
            f"`captions` of evaluation pair {pair.key} in {pair.shard} is "
            f"{json.dumps(given, default=str)[:80]}; write a list of texts"
        )
    texts = [text for text in listed if text is not None and text.strip()]
    return texts or [line.strip() for line in pair.caption.splitlines() if line.strip()]


def _pairs(shards: Sequence[str], *, need_caption: bool = True) -> list[Pair]:
    pairs = []
    for shard in shards:
        for item in read_pairs(shard, need_caption=need_caption):
            if not isinstance(item, Pair):
                raise InputError(
                    f"evaluation pair {item.key or '?'} in {item.shard} cannot be used ({item.reason}); "
                    "an evaluation set has to be whole"
                )
            pairs.append(item)
    if not pairs:
        raise InputError(f"no pairs in the evaluation shards {', '.join(shards)}")
    return pairs


def _decoded(pairs: Sequence[Pair], towers: Towers) -> Any:
    images = []
    for pair in pairs:
        assert pair.image_bytes is not None
        try:
            images.append(decode(pair.image_bytes, towers.spec))
        except BadImage as error:
            raise InputError(
                f"evaluation image {pair.key} in {pair.shard} does not decode: {error}"
            ) from error
    return np.stack(images)
