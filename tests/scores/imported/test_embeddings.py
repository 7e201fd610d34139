import json
import pickle
import re
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.scores.imported.published import (
    DIM,
    metadata,
    vector,
    vectors,
    write_clip_retrieval,
    write_metadata,
    write_npz,
)
from tests.small_pool import uid, write_shards
from thresher.data.files.quarantine import read_quarantine
from thresher.errors import InputError
from thresher.scores.embeddings.stored import open_embeddings
from thresher.scores.imported.embeddings import import_embeddings
from thresher.sharded.parts import list_parts, list_quarantines


def write_published(folder: Path, *groups: range | list[int]) -> Path:
    """DataComp's metadata with the vectors of both models beside each file."""
    write_metadata(folder, *groups)
    for place, numbers in enumerate(groups):
        write_npz(folder / f"{place:02d}.npz", numbers)
    return folder


def refused(out: Path) -> dict[str | None, str]:
    """Uid -> reason."""
    tables = [read_quarantine(path) for path in list_quarantines(out)]
    return {row["uid"]: row["reason"] for table in tables for row in table.to_pylist()}


@pytest.mark.parametrize(("model", "dim"), [("l14", DIM), ("b32", DIM // 2)])
def test_every_uid_has_the_vectors_that_were_published_for_it(tmp_path: Path, model: str, dim: int) -> None:
    source = write_published(tmp_path / "metadata", [4, 2, 9], [7, 0])
    made = import_embeddings([str(source)], tmp_path / "out", vectors=model)
    stored = open_embeddings(tmp_path / "out")
    assert (stored.count, stored.dim, made.filled.summary.num_pairs) == (5, dim, 5)
    for number in (0, 2, 4, 7, 9):
        place = stored.find([uid(number)])
        for found, side in ((stored.image(place), "img"), (stored.text(place), "txt")):
            np.testing.assert_allclose(found[0], vector(number, f"{model}_{side}", dim), atol=1e-3)
    held = np.load(next((tmp_path / "out/parts").glob("00000*.npy")))
    assert (held[1, 0] == vector(2, f"{model}_img", dim)).all(), "half precision comes over to the last bit"


def test_the_folder_says_where_its_vectors_came_from(tmp_path: Path) -> None:
    source = write_published(tmp_path / "metadata", [1, 2])
    import_embeddings([str(source)], tmp_path / "out")
    stored = open_embeddings(tmp_path / "out")
    assert (stored.model, stored.fingerprint) == ("ViT-L-14", "imported from datacomp: ViT-L-14 openai")
    assert (stored.scale, stored.bias, stored.flops_per_pair) == (100.0, 0.0, 0.0)
    with pytest.raises(InputError, match="holds embeddings of another model: ViT-L-14"):
        open_embeddings(tmp_path / "out", fingerprint="0123456789abcdef")
    content = json.loads((tmp_path / "out/embeddings.json").read_text())
    assert (content["pretrained"], content["precision"]) == ("openai", "imported")


def test_the_order_of_rows_changes_no_vector(tmp_path: Path) -> None:
    found = []
    for name, numbers in (("up", list(range(20))), ("down", list(range(19, -1, -1)))):
        import_embeddings([str(write_published(tmp_path / name, numbers))], tmp_path / f"{name}-out")
        stored = open_embeddings(tmp_path / f"{name}-out")
        found.append(stored.text(stored.find([uid(number) for number in range(20)])))
    assert (found[0] == found[1]).all()


def test_int8_takes_half_the_space_and_nearly_the_same_directions(tmp_path: Path) -> None:
    source = write_published(tmp_path / "metadata", range(6))
    import_embeddings([str(source)], tmp_path / "out", dtype="int8")
    stored = open_embeddings(tmp_path / "out")
    image = stored.image(stored.find([uid(number) for number in range(6)]))
    cosines = (image * vectors(range(6), "l14_img").astype(np.float32)).sum(axis=1)
    assert (cosines > 0.999).all()


def test_clip_retrieval_s_paths_become_uids_by_the_shards(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", (6, 6))
    names = {number: f"{number:09d}" for number in range(12)}
    groups = [
        [(number, names[number]) for number in (5, 11, 0)],
        *([(number, f"/data/{names[number]}.jpg")] for number in range(1, 5)),
        *([(number, names[number])] for number in range(6, 11)),
        [(99, "000000099")],
    ]  # eleven files: the tenth is not the second
    source = write_clip_retrieval(tmp_path / "embeddings", *groups)
    made = import_embeddings([str(source)], tmp_path / "out", model="ViT-B-32", shards=shards)
    stored = open_embeddings(tmp_path / "out", fingerprint="imported from clip-retrieval: ViT-B-32")
    for number in range(12):
        place = stored.find([uid(number)])
        np.testing.assert_allclose(stored.image(place)[0], vector(number, "img"), atol=1e-3)
        np.testing.assert_allclose(stored.text(place)[0], vector(number, "txt"), atol=1e-3)
    order = [
        json.loads(pq.read_schema(part).metadata[b"thresher.embeddings.part"])["shard"]
        for part in list_parts(tmp_path / "out")
    ]
    assert [path.rpartition("_")[2] for path in order] == [f"{number}.parquet" for number in range(11)]
    assert refused(tmp_path / "out") == {None: "no pair of the shards has this key"}
    (said,) = made.status
    assert said.startswith("1 of 13 rows (7.7%) are about pairs that the shards do not hold")


def test_vectors_are_read_from_any_file_system(tmp_path: Path) -> None:
    memory, root = fsspec.filesystem("memory"), f"memory://{tmp_path.name}"
    source = write_published(tmp_path / "m", range(4), range(4, 6))
    found = write_clip_retrieval(tmp_path / "e", [(1, "000000001")])
    for path in [path for folder in (source, found) for path in folder.rglob("*") if path.is_file()]:
        memory.pipe(f"{root}/{path.relative_to(tmp_path).as_posix()}", path.read_bytes())
    assert import_embeddings([f"{root}/m/*.parquet"], tmp_path / "a").filled.summary.num_pairs == 6
    shards = write_shards(tmp_path / "shards", (3,))
    made = import_embeddings([f"{root}/e"], tmp_path / "b", model="ViT-B-32", shards=shards)
    assert (made.filled.summary.num_pairs, made.filled.missing) == (1, 2)


def test_clip_retrieval_needs_a_model_the_shards_and_both_kinds_of_vectors(tmp_path: Path) -> None:
    source = str(write_clip_retrieval(tmp_path / "e", [(0, "000000000")]))
    with pytest.raises(InputError, match="which model made the vectors; name it with --model"):
        import_embeddings([source], tmp_path / "out")
    with pytest.raises(InputError, match=r"by 'image_path' alone, .* give --shards"):
        import_embeddings([source], tmp_path / "out", model="ViT-B-32")
    with pytest.raises(InputError, match="import them into two folders"):
        import_embeddings([source, str(tmp_path)], tmp_path / "out", model="ViT-B-32")
    (tmp_path / "e/text_emb/text_emb_0.npy").unlink()
    with pytest.raises(InputError, match=r"none of the 1 files .*text_emb_0.npy: No such file"):
        import_embeddings([source], tmp_path / "out", model="ViT-B-32")
    (tmp_path / "e/text_emb").rmdir()
    with pytest.raises(InputError, match="there are no vectors of texts"):
        import_embeddings([source], tmp_path / "out", model="ViT-B-32")


def test_vectors_that_are_not_as_many_as_the_rows_are_not_taken(tmp_path: Path) -> None:
    source = write_published(tmp_path / "m", range(4), range(4, 9))
    write_npz(source / "01.npz", range(4, 8))
    made = import_embeddings([str(source)], tmp_path / "out")
    assert made.filled.summary.unreadable == {
        f"{source}/01.parquet": f"l14_img of {source}/01.npz has 4 rows where the table has 5; they belong "
        "together by their order, so nothing of it is taken"
    }
    assert made.filled.incomplete
    assert open_embeddings(tmp_path / "out").count == 4
    write_npz(source / "01.npz", range(4, 9))
    again = import_embeddings([str(source)], tmp_path / "out")
    assert (again.filled.summary.new_pairs, again.filled.incomplete) == (5, False)
    assert not list_quarantines(tmp_path / "out")


def test_a_row_whose_vector_means_nothing_is_refused_alone(tmp_path: Path) -> None:
    source = write_metadata(tmp_path / "m", [0, 1, 2, 3, 0, 5], uid=None)
    table = metadata([0, 1, 2, 3, 0, 5], uid=[uid(0), uid(1), uid(2), uid(3), uid(0), "x"])
    pq.write_table(table, source / "00.parquet")
    image, text = vectors(range(6), "l14_img"), vectors(range(6), "l14_txt")
    image[1, 3], text[2] = np.nan, 0
    write_npz(source / "00.npz", range(6), {"l14_img": image, "l14_txt": text})
    import_embeddings([str(source)], tmp_path / "out")
    assert refused(tmp_path / "out") == {
        uid(1): "the image vector is not finite",
        uid(2): "the text vector has length 0",
        uid(0): "duplicate uid: row 0 of this file has it",
        None: "the uid 'x' is not 32 hexadecimal digits",
    }
    stored = open_embeddings(tmp_path / "out")
    assert stored.count == 2
    np.testing.assert_allclose(stored.image(stored.find([uid(0)]))[0], image[0], atol=1e-3)


def test_vectors_of_any_length_and_precision_are_taken(tmp_path: Path) -> None:
    source = write_metadata(tmp_path / "m", range(3))
    exact = vectors(range(3), "img").astype(np.float64)
    write_npz(source / "00.npz", range(3), {"l14_img": exact * 7, "l14_txt": exact.astype(">f4")})
    import_embeddings([str(source)], tmp_path / "out")
    stored = open_embeddings(tmp_path / "out")
    places = stored.find([uid(number) for number in range(3)])
    np.testing.assert_allclose(stored.image(places), exact, atol=2e-3)
    np.testing.assert_allclose(stored.text(places), exact, atol=2e-3)


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, ("trapped", "w"))


def damage(path: Path, kind: str) -> None:
    whole = path.read_bytes()
    if kind == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "page":
        path.write_text("<html>404</html>", encoding="utf-8")
    elif kind == "gone":
        path.unlink()
    elif kind == "folder":
        path.unlink()
        path.mkdir()
    elif kind == "checksum":
        place = whole.index(b"\x93NUMPY") + 400
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    elif kind == "pickle":
        write_npz(path, range(4), {"l14_img": np.array([[Trap()]] * 4, dtype=object)})
    elif kind == "raw pickle":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("l14_img.npy", pickle.dumps(Trap()))
    elif kind == "by column":
        write_npz(path, range(4), {"l14_img": np.asfortranarray(vectors(range(4), "l14_img"))})
    elif kind == "flat":
        write_npz(path, range(4), {"l14_img": np.zeros(4, np.float16)})
    elif kind == "short":
        header = whole.index(b"\x93NUMPY")
        path.write_bytes(whole[:header] + whole[header:].replace(b"(4, 16)", b"(4, 99)", 1))
    elif kind == "path":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("../../l14_img.npy", b"\x93NUMPY")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("cut", "no .npz archive|is damaged"),
        ("empty", "is damaged"),
        ("page", "is damaged"),
        ("gone", "00.npz: No such file"),
        ("folder", "it is a folder"),
        ("checksum", "is damaged .*CRC"),
        ("pickle", "holds Python objects .a pickle., which are never read"),
        ("raw pickle", "is no array that can be read"),
        ("by column", "stored column by column"),
        ("flat", "float16 of shape .4,."),
        ("short", "ends before its row 4 of 4|is damaged"),
        ("path", "has no array 'l14_img'; its arrays are ../../l14_img"),
    ],
)
def test_a_damaged_archive_is_named_and_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    source = write_published(tmp_path / "m", range(4), range(4, 9))
    damage(source / "00.npz", kind)
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    made = import_embeddings([str(source)], tmp_path / "out")
    (reason,) = made.filled.summary.unreadable.values()
    assert re.search(said, reason), reason
    assert made.filled.summary.num_pairs == 5
    after = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if "out" not in path.parts]
    assert sorted(after) == before, "nothing was unpickled or unpacked"


def test_vectors_of_several_dimensions_are_refused(tmp_path: Path) -> None:
    source = write_published(tmp_path / "m", range(3), range(3, 6))
    write_npz(
        source / "01.npz",
        range(3, 6),
        {"l14_img": vectors(range(3), "i", 8), "l14_txt": vectors(range(3), "t", 8)},
    )
    with pytest.raises(
        InputError, match=r"00.npz has 16 dimensions and .*01.npz has 8; vectors of several models"
    ):
        import_embeddings([str(source)], tmp_path / "out")


def test_an_array_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    source = write_published(tmp_path / "m", range(3))
    with pytest.raises(
        InputError, match="no array 'b16_img'; its arrays are l14_img, l14_txt, b32_img, b32_txt"
    ):
        import_embeddings([str(source)], tmp_path / "out", vectors="b16", model="ViT-B-16")


def test_another_model_dtype_or_a_changed_archive_is_refused(tmp_path: Path) -> None:
    source = write_published(tmp_path / "m", range(3))
    import_embeddings([str(source)], tmp_path / "out")
    with pytest.raises(InputError, match="was made with dtype fp16, this run has int8"):
        import_embeddings([str(source)], tmp_path / "out", dtype="int8")
    with pytest.raises(InputError, match="was made with model imported from datacomp: ViT-L-14 openai"):
        import_embeddings([str(source)], tmp_path / "out", vectors="b32")
    write_npz(source / "00.npz", range(3), {"more": np.zeros(3)})
    with pytest.raises(InputError, match="changed since it was imported"):
        import_embeddings([str(source)], tmp_path / "out")


def test_scores_of_imported_embeddings_know_their_pairs(tmp_path: Path) -> None:
    source = write_published(tmp_path / "m", range(3))
    import_embeddings([str(source)], tmp_path / "out")
    (part,) = list_parts(tmp_path / "out")
    assert pq.read_schema(part).names == ["uid", "key", "shard", "caption"]
    assert pq.read_table(part).column("uid").to_pylist() == [uid(number) for number in range(3)]
