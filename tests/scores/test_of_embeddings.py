"""Scores of stored embeddings: what they are, and that a stopped run goes on."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.scores.embedded import vectors, write_embeddings
from tests.small_pool import caption, contents, uid
from thresher.curate.pools.cut import cut
from thresher.data.pairs import Reject
from thresher.data.uids import scrambled
from thresher.errors import InputError
from thresher.scores import of_embeddings
from thresher.scores.embeddings.stored import open_embeddings
from thresher.scores.of_embeddings import parse_vector_scorer, score_embeddings
from thresher.scores.registry import parse_scorer
from thresher.sharded.parts import list_parts, write_rejects

TEMPERATURE = 1 / 20  # of the model that is written by hand


def scored(folder: Path, out: Path, *scorers: str) -> dict[str, dict[str, float]]:
    """Column -> uid -> score."""
    score_embeddings(folder, out, [parse_vector_scorer(text) for text in scorers])
    table = pa.concat_tables([pq.read_table(part) for part in list_parts(out)])
    names = [name for name in table.column_names if name not in ("uid", "key", "shard", "caption")]
    uids = table.column("uid").to_pylist()
    return {name: dict(zip(uids, table.column(name).to_pylist(), strict=True)) for name in names}


def loss_of(pair: int, batch: list[int], images: np.ndarray, texts: np.ndarray, cold: float) -> float:
    """The formula, written out for one pair."""
    of_texts = np.log(sum(np.exp(images[pair] @ texts[j] / cold) for j in batch))
    of_images = np.log(sum(np.exp(images[j] @ texts[pair] / cold) for j in batch))
    return float(images[pair] @ texts[pair] - cold / 2 * (of_texts + of_images))


def test_s_clip_loss_over_everything_is_the_formula(tmp_path: Path) -> None:
    folder = write_embeddings(tmp_path / "e", vectors(30), parts=3)
    found = scored(folder, tmp_path / "s", "s-clip-loss", "s-clip-loss:temperature=0.5,as=warm")
    stored = open_embeddings(folder)
    images, texts = stored.image(np.arange(30)), stored.text(np.arange(30))
    for column, cold in (("s_clip_loss", TEMPERATURE), ("warm", 0.5)):
        slow = [loss_of(n, list(range(30)), images, texts, cold) for n in range(30)]
        np.testing.assert_allclose([found[column][uid(n)] for n in range(30)], slow, atol=2e-6)


def test_a_pair_stands_in_every_batch_with_others_that_its_uid_does_not_choose(tmp_path: Path) -> None:
    folder = write_embeddings(tmp_path / "e", vectors(40))
    found = scored(folder, tmp_path / "s", "s-clip-loss:batch=12,repeats=1,seed=3")["s_clip_loss"]
    stored = open_embeddings(folder)
    images, texts = stored.image(np.arange(40)), stored.text(np.arange(40))
    key = int.from_bytes(hashlib.blake2b(b"3 0", digest_size=8).digest())
    high, low = stored.uids.view(np.uint64).reshape(-1, 2).T
    lowest = np.argsort(scrambled(scrambled(high ^ np.uint64(key)) ^ low))[:12].tolist()
    for n in range(40):
        batch = lowest if n in lowest else [*lowest[:-1], n]
        assert found[uid(n)] == pytest.approx(loss_of(n, batch, images, texts, TEMPERATURE), abs=2e-6)


def test_batches_follow_seed_and_uids_and_not_the_shards(tmp_path: Path) -> None:
    pairs, order = vectors(60), np.random.default_rng(1).permutation(60)
    one = write_embeddings(tmp_path / "one", pairs)
    other = write_embeddings(tmp_path / "other", pairs[order], numbers=order.tolist(), parts=4)
    scorers = ("s-clip-loss:batch=16,repeats=3", "s-clip-loss:batch=16,repeats=3,seed=1,as=again")
    first, second = scored(one, tmp_path / "1", *scorers), scored(other, tmp_path / "2", *scorers)
    for column in ("s_clip_loss", "again"):
        for name, score in first[column].items():
            assert second[column][name] == pytest.approx(score, abs=1e-6)
    assert first["s_clip_loss"] != first["again"]


def test_a_caption_that_fits_everything_falls_behind(tmp_path: Path) -> None:
    pairs = np.zeros((20, 2, 21))
    pairs[np.arange(20), :, np.arange(20)] = 1  # every pair is something of its own
    pairs[:, 0, 20], pairs[:, 1, 20] = 2, 0.5  # what all images have in common, and captions hardly name
    pairs[0, 1] = np.eye(21)[20]  # but for one, which names nothing else
    pairs /= np.linalg.norm(pairs, axis=2, keepdims=True)
    found = scored(write_embeddings(tmp_path / "e", pairs), tmp_path / "s", "clip", "s-clip-loss")
    rank = {column: sorted(of, key=of.get).index(uid(0)) for column, of in found.items()}
    assert rank == {"clip": 19, "s_clip_loss": 0}


@pytest.mark.parametrize("p", ["2", "inf", "3", "1"])
def test_normsim_is_the_norm_of_the_cosines_with_the_target(tmp_path: Path, p: str) -> None:
    folder = write_embeddings(tmp_path / "e", vectors(25), parts=2)
    target = write_embeddings(tmp_path / "t", vectors(11, seed=1), parts=2)
    found = scored(folder, tmp_path / "s", f"normsim:target={target},p={p}")["normsim"]
    images = open_embeddings(folder).image(np.arange(25))
    aims = open_embeddings(target).image(np.arange(11))
    slow = [np.linalg.norm(aims @ image, ord=float(p)) for image in images]
    np.testing.assert_allclose([found[uid(n)] for n in range(25)], slow, rtol=2e-6)


def test_the_same_pairs_are_near_themselves(tmp_path: Path) -> None:
    folder = write_embeddings(tmp_path / "e", vectors(9))
    found = scored(folder, tmp_path / "s", f"normsim:target={folder}")["normsim"]
    assert found == pytest.approx({uid(n): 1.0 for n in range(9)}, abs=1e-6)


@pytest.mark.parametrize("scorer", ["normsim:target={}", "normsim:target={},p=2", "s-clip-loss"])
def test_vectors_that_are_not_finite_are_nothing_to_compare_with(tmp_path: Path, scorer: str) -> None:
    """One NaN would be in the score of every pair."""
    pairs = vectors(9)
    pairs[4] = np.nan
    folder = write_embeddings(tmp_path / "e", pairs)
    with pytest.raises(InputError, match="holds vectors that are not finite"):
        scored(folder, tmp_path / "s", scorer.format(folder))


def test_a_run_that_stopped_goes_on_and_leaves_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_embeddings(tmp_path / "e", vectors(50), parts=5)
    specs = [parse_vector_scorer("clip"), parse_vector_scorer("s-clip-loss:batch=20,repeats=2")]
    score_embeddings(folder, tmp_path / "whole", specs)
    monkeypatch.setattr(of_embeddings, "GROUP_PAIRS", 20)

    def stop(at: of_embeddings.EmbeddingProgress) -> None:
        if at.pairs > 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_embeddings(folder, tmp_path / "stopped", specs, progress=stop)
    assert len(list_parts(tmp_path / "stopped")) == 2
    assert not (tmp_path / "stopped" / "scores.json").exists()
    summary = score_embeddings(folder, tmp_path / "stopped", specs)
    assert (summary.num_pairs, summary.new_pairs) == (50, 30)
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")
    assert score_embeddings(folder, tmp_path / "stopped", specs).new_pairs == 0


def test_rows_name_their_pairs_and_what_was_refused_keeps_its_reason(tmp_path: Path) -> None:
    folder = write_embeddings(tmp_path / "e", vectors(6), parts=2)
    write_rejects(list_parts(folder)[1], [Reject("1.tar", "9", None, "embed", "no caption", 7)])
    summary = score_embeddings(folder, tmp_path / "s", [parse_vector_scorer("clip")])
    assert (summary.num_quarantined, summary.quarantine, summary.status) == (1, {"no caption": 1}, ())
    row = pq.read_table(list_parts(tmp_path / "s")[1]).to_pylist()[0]
    assert {name: row[name] for name in ("uid", "key", "shard", "caption")} == {
        "uid": uid(3),
        "key": "000000003",
        "shard": "1.tar",
        "caption": caption(3),
    }
    assert cut(tmp_path / "s", by="clip", edges=(0.5,), out=tmp_path / "p").sizes == {"0-50%": 3}


def test_embeddings_that_name_their_pairs_by_uid_alone_are_scored_and_that_is_said(tmp_path: Path) -> None:
    folder = write_embeddings(tmp_path / "e", vectors(4), named=False)
    summary = score_embeddings(folder, tmp_path / "s", [parse_vector_scorer("clip")])
    assert "keys and captions are empty" in summary.status[0]
    assert pq.read_table(list_parts(tmp_path / "s")[0]).column("caption").to_pylist() == [""] * 4


def test_other_embeddings_and_other_options_are_refused(tmp_path: Path) -> None:
    folder = write_embeddings(tmp_path / "e", vectors(8), parts=2)
    scored(folder, tmp_path / "s", "s-clip-loss:batch=4")
    with pytest.raises(InputError, match="was scored by another s_clip_loss"):
        scored(folder, tmp_path / "s", "s-clip-loss:batch=4,seed=1")
    with pytest.raises(InputError, match="has the scores s_clip_loss, this run makes clip"):
        scored(folder, tmp_path / "s", "clip")
    fewer = write_embeddings(tmp_path / "fewer", vectors(8))
    with pytest.raises(InputError, match="has no counterpart among the parts"):
        scored(fewer, tmp_path / "s", "s-clip-loss:batch=4")


def test_what_cannot_be_scored_is_named(tmp_path: Path) -> None:
    folder = write_embeddings(tmp_path / "e", vectors(8))
    foreign = write_embeddings(tmp_path / "foreign", vectors(8), fingerprint="g")
    for text, sentence in (
        (f"normsim:target={foreign}", "embeddings of another model"),
        (f"normsim:target={tmp_path / 'absent'}", "holds no finished embeddings"),
        (f"normsim:target={folder},p=0.5", r"p=0\.5 is not a norm"),
        (f"normsim:target={folder},p=two", "p='two' is not a number"),
        ("normsim", r"needs target; write normsim:target=\.\.\."),
        ("s-clip-loss:batch=1", "cannot be computed"),
        ("s-clip-loss:temperature=0", "the temperature is above 0"),
        ("norm", "did you mean 'normsim'"),
    ):
        with pytest.raises(InputError, match=sentence):
            scored(folder, tmp_path / "s", text)
    lonely = write_embeddings(tmp_path / "lonely", vectors(1))
    with pytest.raises(InputError, match="compares at least 2"):
        scored(lonely, tmp_path / "l", "s-clip-loss")


def test_a_scorer_of_embeddings_among_those_of_shards_says_where_it_belongs() -> None:
    with pytest.raises(InputError, match="`thresher score-embedded EMBEDDINGS --scorer s-clip-loss:"):
        parse_scorer("s-clip-loss:repeats=5")


def test_the_form_of_scores_json_is_that_of_scored_shards(tmp_path: Path) -> None:
    folder = write_embeddings(tmp_path / "e", vectors(5))
    scored(folder, tmp_path / "s", "clip:as=b32")
    content = json.loads((tmp_path / "s" / "scores.json").read_text())
    assert content["scorers"][0] | {"fingerprint": ""} == {
        "column": "b32",
        "name": "clip",
        "options": {},
        "fingerprint": "",
    }
    assert content["counts"] == {"pairs": 5, "quarantined": 0}
