import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from tests.data.bad_pool import jpeg, write_tar
from tests.models.small import TINY, VIT
from thresher.data.images.decode import decode
from thresher.errors import InputError
from thresher.models.evaluation.evaluate import RetrievalTask, ZeroShotTask
from thresher.models.evaluation.sets import (
    load_tasks,
    prepare_tasks,
    smallest_error,
    tasks_digest,
)
from thresher.models.evaluation.settings import Evaluate
from thresher.models.towers import Towers, load_towers


@pytest.fixture(scope="module")
def towers() -> Towers:
    return load_towers(TINY)


def shard(path: Path, *metas: dict[str, object] | None, images: dict[int, bytes] | None = None) -> str:
    members = []
    for number, meta in enumerate(metas):
        members.append((f"{number}.jpg", (images or {}).get(number, jpeg(number))))
        members.append((f"{number}.txt", f"caption {number}".encode()))
        if meta is not None:
            members.append((f"{number}.json", json.dumps(meta).encode()))
    write_tar(path, members)
    return str(path)


def zero_shot(towers: Towers, path: Path, *metas: dict[str, object], **settings: object) -> ZeroShotTask:
    name = shard(path / "eval.tar", *metas)
    (task,) = load_tasks(prepare_tasks(Evaluate(zeroshot=(name,), **settings), towers, path / "cache"))
    assert isinstance(task, ZeroShotTask)
    return task


def test_labels_are_numbered_in_the_order_of_sorted_names(towers: Towers, tmp_path: Path) -> None:
    task = zero_shot(towers, tmp_path, {"class": "dog"}, {"class": "cat"}, {"class": "dog"})
    assert task.labels.tolist() == [1, 0, 1]
    assert task.prompts.shape[:2] == (2, 1)
    assert task.prompts[0].tolist() == towers.tokenize(["a photo of a cat."]).tolist()


def test_images_are_those_that_training_decodes(towers: Towers, tmp_path: Path) -> None:
    task = zero_shot(towers, tmp_path, {"class": "dog"}, {"class": "cat"})
    assert np.array_equal(task.pixels, np.stack([decode(jpeg(n), towers.spec) for n in range(2)]))


def test_given_classes_number_the_labels_and_each_template_makes_a_prompt(
    towers: Towers, tmp_path: Path
) -> None:
    task = zero_shot(
        towers, tmp_path, {"y": "dog"}, {"y": 0}, {"y": "2"},
        label_key="y", classes=("rat", "dog", "cat"), templates=("a {}", "two {}s"),
    )  # fmt: skip
    assert task.labels.tolist() == [1, 0, 2]
    assert task.prompts[1].tolist() == towers.tokenize(["a dog", "two dogs"]).tolist()


def test_labels_are_read_in_one_way_in_the_whole_set(towers: Towers, tmp_path: Path) -> None:
    """As names where all are names, though some could be numbers of classes too."""
    metas = [{"class": label} for label in (3, 4, 5)]
    assert zero_shot(towers, tmp_path, *metas, classes=("5", "4", "3")).labels.tolist() == [2, 1, 0]
    metas = [{"class": label} for label in (0, 1, 2)]
    assert zero_shot(towers, tmp_path, *metas, classes=("1", "3", "5")).labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize(("labels", "classes"), [((1, 2), ("2", "1", "0")), ((0, 3, 2), ("3", "4", "5"))])
def test_labels_that_can_be_read_in_two_ways_are_refused(
    towers: Towers, tmp_path: Path, labels: tuple[int, ...], classes: tuple[str, ...]
) -> None:
    with pytest.raises(
        InputError, match=r"is the name of one class and the number of another|is none of the"
    ):
        zero_shot(towers, tmp_path, *({"class": label} for label in labels), classes=classes)


def test_classes_of_one_name_are_one_class(towers: Towers, tmp_path: Path) -> None:
    metas = [{"class": label} for label in (0, 1, 2, 3)]
    task = zero_shot(towers, tmp_path, *metas, classes=("crane", "dog", "Crane ", "cat"))
    assert task.labels.tolist() == [0, 1, 0, 2]
    assert (
        task.prompts[:, 0].tolist()
        == towers.tokenize([f"a photo of a {n}." for n in ("crane", "dog", "cat")]).tolist()
    )


def test_classes_whose_prompts_are_cut_off_before_they_differ_are_refused(
    towers: Towers, tmp_path: Path
) -> None:
    long = "a very long template that says nothing about what it is that can be seen on this nice photo of {}"
    with pytest.raises(InputError, match=r"the classes 'cat' and 'dog' have the same prompts .* 20 tokens"):
        zero_shot(towers, tmp_path, {"class": "cat"}, {"class": "dog"}, templates=(long,))


@pytest.mark.parametrize("given", [{}, [{"raw": "a cat"}], ["a", 3], 7, True])
def test_captions_that_are_no_texts_are_refused(towers: Towers, tmp_path: Path, given: object) -> None:
    name = shard(tmp_path / "eval.tar", {"captions": given})
    with pytest.raises(
        InputError, match=r"`captions` of evaluation pair 0 in .* is .*; write a list of texts"
    ):
        prepare_tasks(Evaluate(metric="retrieval_error", retrieval=(name,)), towers, tmp_path / "cache")


@pytest.mark.parametrize(
    ("text", "meta"),
    [
        ("one red\ntwo blue\n", None),
        ("one red\r\n\r\n two blue", {"captions": None}),
        ("one red\ntwo blue", {"captions": []}),
        ("x", {"captions": ["one red", None, "two blue", " "]}),
    ],
)
def test_lines_of_the_text_and_a_list_in_the_json_are_the_same_captions(
    towers: Towers, tmp_path: Path, text: str, meta: dict[str, object] | None
) -> None:
    members = [("0.jpg", jpeg(0)), ("0.txt", text.encode())]
    members += [("0.json", json.dumps(meta).encode())] if meta is not None else []
    write_tar(tmp_path / "eval.tar", members)
    settings = Evaluate(metric="retrieval_error", retrieval=(str(tmp_path / "eval.tar"),))
    (task,) = load_tasks(prepare_tasks(settings, towers, tmp_path / "cache"))
    assert task.captions.tolist() == towers.tokenize(["one red", "two blue"]).tolist()


def test_a_string_of_captions_is_one_caption(towers: Towers, tmp_path: Path) -> None:
    name = shard(tmp_path / "eval.tar", {"captions": "one red"})
    (task,) = load_tasks(
        prepare_tasks(Evaluate(metric="retrieval_error", retrieval=(name,)), towers, tmp_path / "cache")
    )
    assert task.captions.tolist() == towers.tokenize(["one red"]).tolist()


def test_retrieval_takes_several_captions_an_image_or_the_one_it_has(towers: Towers, tmp_path: Path) -> None:
    name = shard(tmp_path / "eval.tar", {"captions": ["a", "b c"]}, None, {"captions": ["d"]})
    (task,) = load_tasks(
        prepare_tasks(Evaluate(metric="retrieval_error", retrieval=(name,)), towers, tmp_path / "cache")
    )
    assert isinstance(task, RetrievalTask)
    assert task.image_of_caption.tolist() == [0, 0, 1, 2]
    assert task.captions.tolist() == towers.tokenize(["a", "b c", "caption 1", "d"]).tolist()


def test_what_is_prepared_is_not_prepared_again(towers: Towers, tmp_path: Path) -> None:
    name = shard(tmp_path / "eval.tar", {"class": "dog"})
    settings = Evaluate(zeroshot=(name,), retrieval=(name,))
    path = prepare_tasks(settings, towers, tmp_path / "cache")
    before = path.stat().st_mtime_ns
    assert prepare_tasks(settings, towers, tmp_path / "cache") == path
    assert path.stat().st_mtime_ns == before
    assert [type(task) for task in load_tasks(path)] == [ZeroShotTask, RetrievalTask]


def test_a_changed_shard_is_prepared_anew(towers: Towers, tmp_path: Path) -> None:
    """Also when it has the size that it had."""
    found = []
    for label in ("dog", "cat"):
        name = shard(tmp_path / "eval.tar", {"class": label}, {"class": "eel"})
        path = prepare_tasks(Evaluate(zeroshot=(name,)), towers, tmp_path / "cache")
        found.append(load_tasks(path)[0].prompts.tolist())
    assert found[0] != found[1]


def test_the_digest_is_of_the_content_and_not_of_the_place(towers: Towers, tmp_path: Path) -> None:
    digests = []
    for folder, label in (("a", "dog"), ("b", "dog"), ("c", "cat")):
        (tmp_path / folder).mkdir()
        name = shard(tmp_path / folder / "eval.tar", {"class": label}, {"class": "eel"})
        digests.append(tasks_digest(prepare_tasks(Evaluate(zeroshot=(name,)), towers, tmp_path / folder)))
    assert digests[0] == digests[1] != digests[2]


def test_each_model_has_its_own_tokens(towers: Towers, tmp_path: Path) -> None:
    name = shard(tmp_path / "eval.tar", {"class": "dog"})
    lengths = {}
    for model in (towers, load_towers(VIT)):
        path = prepare_tasks(Evaluate(zeroshot=(name,)), model, tmp_path / "cache")
        lengths[model.name] = load_tasks(path)[0].prompts.shape[-1]
    assert lengths == {TINY: 20, VIT: 12}


@pytest.mark.parametrize(
    ("metas", "settings", "sentence"),
    [
        ([{"class": "dog"}, {}], {}, "pair 1 in .* has no label 'class' in its json; set `label_key`"),
        ([{"class": "dog"}], {"classes": ("cat",)}, "label 'dog' of pair 0 in .* is none of the 1 classes"),
        ([{"class": 3}], {}, "the labels of .* are numbers, .* list them in `classes`"),
        ([{"class": 3}], {"classes": ("cat", "dog")}, "label 3 of pair 0 in .* is none of the 2 classes"),
        ([{"class": ["dog"]}], {}, r"the label 'class' of pair 0 in .* is \[\"dog\"\]; a label is the name"),
        (
            [{"class": True}],
            {},
            "the label 'class' of pair 0 in .* is true; a label is the name or the number",
        ),
        ([{"class": 1.0}], {}, r"the label 'class' of pair 0 in .* is 1\.0; a label is the name or the num"),
    ],
)
def test_a_label_that_cannot_be_used_is_named(
    towers: Towers, tmp_path: Path, metas: list[dict[str, object]], settings: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        zero_shot(towers, tmp_path, *metas, **settings)


def test_an_image_that_does_not_decode_is_named(towers: Towers, tmp_path: Path) -> None:
    name = shard(tmp_path / "eval.tar", {"class": "dog"}, {"class": "dog"}, images={1: jpeg(1)[:200]})
    with pytest.raises(InputError, match=r"evaluation image 1 in .* does not decode"):
        prepare_tasks(Evaluate(zeroshot=(name,)), towers, tmp_path)


def test_a_pair_that_cannot_be_read_is_named(towers: Towers, tmp_path: Path) -> None:
    write_tar(tmp_path / "eval.tar", [("0.jpg", jpeg(0))])
    with pytest.raises(InputError, match=r"pair 0 in .* cannot be used \(no .txt .* has to be whole"):
        prepare_tasks(
            Evaluate(metric="retrieval_error", retrieval=(str(tmp_path / "eval.tar"),)), towers, tmp_path
        )


def test_a_shard_without_pairs_or_none_at_all_is_named(towers: Towers, tmp_path: Path) -> None:
    write_tar(tmp_path / "empty.tar", [])
    with pytest.raises(InputError, match=r"in .*empty.tar cannot be used \(.* no pairs"):
        prepare_tasks(Evaluate(zeroshot=(str(tmp_path / "empty.tar"),)), towers, tmp_path / "cache")
    with pytest.raises(InputError, match=r"there is no file or folder .*absent.tar"):
        prepare_tasks(Evaluate(zeroshot=(str(tmp_path / "absent.tar"),)), towers, tmp_path / "cache")


def test_labelled_images_need_no_captions_and_equal_ones_all_count(towers: Towers, tmp_path: Path) -> None:
    members = [
        (f"{n}.{ext}", data) for n in range(3) for ext, data in (("jpg", jpeg(n % 2)), ("cls", b"%d" % n))
    ]
    write_tar(tmp_path / "eval.tar", members)
    settings = Evaluate(zeroshot=(str(tmp_path / "eval.tar"),), classes=("rat", "dog", "cat"))
    path = prepare_tasks(settings, towers, tmp_path / "cache")
    (task,) = load_tasks(path)
    assert task.labels.tolist() == [0, 1, 2]
    assert smallest_error(path) == 1 / 6


def test_the_tokens_of_one_model_are_not_taken_for_those_of_another(towers: Towers, tmp_path: Path) -> None:
    settings = Evaluate(zeroshot=(shard(tmp_path / "eval.tar", {"class": "dog"}),))
    other = dataclasses.replace(towers, name="another")
    paths = {prepare_tasks(settings, model, tmp_path / "cache") for model in (towers, other)}
    assert len(paths) == 2
