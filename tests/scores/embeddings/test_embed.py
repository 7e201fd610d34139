"""Embedding small shards with a tiny model."""

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.data.bad_pool import DECODE_CASES, OK
from tests.scores.embeddings.conftest import MODEL
from tests.small_pool import caption, contents, uid
from thresher.data.files.lock import folder_lock
from thresher.data.files.quarantine import read_quarantine
from thresher.data.images.decode import decode
from thresher.data.pairs import Pair
from thresher.data.patterns import expand
from thresher.data.shards import read_pairs
from thresher.errors import InputError
from thresher.models.flops import forward_flops
from thresher.models.towers import context_length, embed_images, embed_texts, load_towers
from thresher.scores.embeddings.embed import embed_shards
from thresher.scores.embeddings.stored import DTYPES, open_embeddings
from thresher.sharded.parts import list_parts, list_quarantines

NUM_PAIRS = 15


@pytest.mark.parametrize(("dtype", "most"), [("fp16", 3e-4), ("int8", 8e-3)])
def test_vectors_are_those_of_the_model_in_evaluation(
    embedded: SimpleNamespace, dtype: str, most: float
) -> None:
    towers = load_towers(MODEL, seed=0)
    pairs = [pair for shard in embedded.shards for pair in read_pairs(shard) if isinstance(pair, Pair)]
    pixels = np.stack([decode(pair.image_bytes or b"", towers.spec) for pair in pairs])
    stored = open_embeddings(getattr(embedded, dtype), fingerprint=towers.fingerprint)
    places = stored.find([uid(n) for n in range(NUM_PAIRS)])
    images = embed_images(towers, pixels, precision="fp32")
    texts = embed_texts(towers, [caption(n) for n in range(NUM_PAIRS)], precision="fp32")
    assert np.abs(stored.image(places) - images).max() < most
    assert np.abs(stored.text(places) - texts).max() < most


def test_the_summary_holds_what_using_the_embeddings_needs(embedded: SimpleNamespace) -> None:
    towers = load_towers(MODEL, seed=0)
    content = json.loads((embedded.int8 / "embeddings.json").read_text())
    assert content == {
        "schema": "thresher.embeddings",
        "version": 1,
        "model": MODEL,
        "pretrained": None,
        "fingerprint": towers.fingerprint,
        "precision": "fp32",
        "dtype": "int8",
        "dim": 64,
        "scale": pytest.approx(float(towers.model.logit_scale.detach().exp())),
        "bias": -10.0,
        "flops_per_pair": forward_flops(towers, context_length(towers)),
        "shards": 3,
        "counts": {"pairs": NUM_PAIRS, "quarantined": 0},
        "quarantine": {},
        "unreadable": [],
    }


@pytest.mark.parametrize("workers", [0, 2])
def test_bytes_depend_on_the_pairs_alone(embedded: SimpleNamespace, tmp_path: Path, workers: int) -> None:
    """Not on the number of workers, nor on whether a run was stopped between two shards."""
    embed_shards(embedded.shards[:2], MODEL, tmp_path, workers=workers, **embedded.options)
    more = embed_shards(embedded.shards, MODEL, tmp_path, workers=workers, **embedded.options)
    assert (more.new_shards, more.new_pairs, more.num_pairs) == (1, 9, NUM_PAIRS)
    assert contents(tmp_path) == contents(embedded.fp16)


def test_a_finished_folder_is_left_as_it_is(embedded: SimpleNamespace) -> None:
    files = sorted(embedded.fp16.glob("parts/*"))
    assert [path.name for path in files] == [
        f"0000{n}-0000{n}.{end}" for n in range(3) for end in ("npy", "parquet")
    ]
    times = [path.stat().st_mtime_ns for path in files]
    assert embed_shards(embedded.shards, MODEL, embedded.fp16, **embedded.options).whole() == embedded.fp16
    assert [path.stat().st_mtime_ns for path in files] == times


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model": "ViT-S-32-alt"}, "by another model: its fingerprint is .* name another folder"),
        ({"precision": "bf16"}, "with precision fp32, this run has bf16; give --precision fp32"),
        ({"dtype": "int8"}, "with dtype fp16, this run has int8; give --dtype fp16"),
        ({"exclude": frozenset({uid(0)})}, "was embedded with another exclude list; give the same list"),
    ],
)
def test_what_another_run_made_is_refused(
    embedded: SimpleNamespace, change: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        embed_shards(embedded.shards, out=embedded.fp16, **{"model": MODEL, **embedded.options, **change})


def test_other_weights_of_the_same_model_are_refused(embedded: SimpleNamespace, tmp_path: Path) -> None:
    import torch

    towers = load_towers(MODEL, seed=1)
    torch.save({"epoch": 1, "name": MODEL, "state_dict": towers.model.state_dict()}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="embedded by another model"):
        embed_shards(
            *(embedded.shards, MODEL, embedded.fp16),
            pretrained=str(tmp_path / "other.pt"),
            **embedded.options,
        )


def test_a_shard_that_changed_is_refused_by_name(embedded: SimpleNamespace, tmp_path: Path) -> None:
    shutil.copytree(embedded.fp16, tmp_path / "out")
    times = Path(embedded.shards[1]).stat()
    try:
        os.utime(embedded.shards[1], ns=(1, 1))
        with pytest.raises(InputError, match=r"00001.tar changed since it was embedded .* to embed it again"):
            embed_shards(embedded.shards, MODEL, tmp_path / "out", **embedded.options)
    finally:
        os.utime(embedded.shards[1], ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_folder_that_another_run_holds_is_refused(embedded: SimpleNamespace) -> None:
    with folder_lock(embedded.fp16), pytest.raises(InputError, match="another run is writing into"):
        embed_shards(embedded.shards, MODEL, embedded.fp16, **embedded.options)


def test_bad_pairs_go_to_the_quarantine_and_bad_shards_are_named(
    tmp_path: Path, bad_pool: tuple[Path, dict[str, str]]
) -> None:
    folder, expected = bad_pool
    shards = expand(str(folder))
    summary = embed_shards(shards, MODEL, tmp_path, device="cpu")
    refused = [row for path in list_quarantines(tmp_path) for row in read_quarantine(path).to_pylist()]
    stages = {row["key"]: row["stage"] for row in refused}
    assert {case for case in DECODE_CASES if stages.get(case) == "embed"} == DECODE_CASES
    assert {case for case, outcome in expected.items() if outcome == OK}.isdisjoint(stages)
    assert len(summary.unreadable) == 3
    assert open_embeddings(tmp_path).count == summary.num_pairs > 0
    with pytest.raises(InputError, match="3 of 5 shards gave no pairs"):
        embed_shards(shards, MODEL, tmp_path, device="cpu").whole()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"shards": []}, "no shards are given to embed"),
        ({"dtype": "fp8"}, f"dtype 'fp8' is unknown; take one of {', '.join(DTYPES)}"),
        ({"model": "ViT-B-3"}, "model 'ViT-B-3' is not in open_clip"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_what_cannot_be_done_is_refused(tmp_path: Path, change: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        embed_shards(**{"shards": ["absent.tar"], "model": MODEL, "out": tmp_path, **change})


def test_a_shard_without_good_pairs_is_a_part_without_vectors(
    tmp_path: Path, embedded: SimpleNamespace
) -> None:
    everything = frozenset(uid(n) for n in range(5))
    embed_shards(embedded.shards, MODEL, tmp_path, exclude=everything, **embedded.options)
    assert len(list_parts(tmp_path)) == 3
    assert open_embeddings(tmp_path).count == NUM_PAIRS - 5
