"""Tables, arrays and checkpoints that commands leave for each other, cut off: one sentence each.

What is kept only to save time is made again.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.curate.pools.scores import write_scores
from tests.fuzz.products import Product, Told, judge
from tests.models.small import RESNET
from tests.report.fake_workdir import write_training
from tests.scores.embedded import vectors, write_embeddings
from tests.small_pool import contents, uid, write_shards
from thresher.curate.duplicates.hashing import hash_folder, read_hashes
from thresher.curate.pools.cut import cut
from thresher.curate.pools.record import TABLE_SCHEMA, load_pools
from thresher.curate.subset.manifest import manifest
from thresher.curate.subset.write import write_subset
from thresher.data.exclude import read_exclude
from thresher.data.files.atomic import write_table
from thresher.data.files.quarantine import merge_quarantine, write_quarantine
from thresher.data.pairs import Reject
from thresher.data.shard_index import index_shard
from thresher.models.evaluation.sets import load_tasks, smallest_error, tasks_digest
from thresher.models.saved import CONFIG_FILE, WEIGHTS_FILE, save_model
from thresher.models.towers import load_towers
from thresher.report.pool_stats import batches
from thresher.report.workdir import read_training_runs
from thresher.scores.combine.joined import join
from thresher.scores.of_embeddings import parse_vector_scorer, score_embeddings
from thresher.scores.registry import parse_scorer
from thresher.scores.score import score_shards
from thresher.sharded.parts import list_parts, list_quarantines
from thresher.train import picks
from thresher.train.dataset import describe_dataset, open_dataset
from thresher.train.stage import read_subset

MADE_AGAIN = frozenset({"cut off"})


def of_scoring(root: Path) -> dict[str, Product]:
    """Parts of scores, embeddings and hashes, and what the pools are read from."""
    shards = write_shards(root / "in", (5, 4))
    specs = [parse_scorer("caption")]
    exclude = frozenset({uid(1)})

    def scored() -> object:
        summary = score_shards(shards, root / "scored", specs, exclude=exclude, workers=0)
        return summary.num_pairs, summary.quarantine

    scored()
    scores = write_scores(root / "scores", [[0.9, 0.8, 0.1], [0.3, 0.2, 0.5]])
    other = write_scores(root / "other", [[0.9, 0.8, 0.1], [0.3, 0.2, 0.5]], column="quality")
    cut(scores, by="clip", out=root / "pools", edges=[0.5, 1.0], exclude=exclude)
    embeddings = write_embeddings(root / "embeddings", vectors(30), parts=2)
    hash_folder(root / "hashes", shards, workers=0)
    index_shard(shards[0], root / "index")
    write_quarantine(root / "refused.parquet", [Reject("a.tar", "k", None, "read", "bad", 3)])
    part = list_parts(scores)[0]
    embedded = list_parts(embeddings)[0]
    index, refused = sorted((root / "index").glob("*.parquet"), key=lambda path: ".quarantine." in path.name)

    def scored_embeddings() -> object:
        from thresher.scores.embeddings.stored import open_embeddings

        seen = open_embeddings(embeddings).image(np.arange(30)).tobytes()
        score_embeddings(embeddings, root / "of-embeddings", [parse_vector_scorer("clip")])
        return seen, contents(root / "of-embeddings")

    def indexed() -> object:
        found = index_shard(shards[0], root / "index")
        return found.pairs.to_pylist(), found.rejects.to_pylist()

    return {
        "part of scores, scored again": Product(path=list_parts(root / "scored")[0], use=scored),
        "quarantine of a part": Product(path=list_quarantines(root / "scored")[0], use=scored),
        "part of scores, cut": Product(
            path=part, use=lambda: cut(scores, by="clip", out=root / "again", edges=[0.5]).sizes
        ),
        "part of scores, joined": Product(
            path=list_parts(other)[1],
            use=lambda: join([scores, other], ["clip", "quality"]).values_nC.tolist(),
        ),
        "part of scores, shown": Product(
            path=list_parts(other)[0],
            use=lambda: [rows.num_rows for rows in batches(list_parts(other)[0], ("uid", "quality"))],
        ),
        "part of embeddings": Product(path=embedded, use=scored_embeddings),
        "vectors": Product(path=embedded.with_suffix(".npy"), use=scored_embeddings),
        "part of hashes": Product(
            path=list_parts(root / "hashes")[0], use=lambda: read_hashes(root / "hashes").uid_n.tolist()
        ),
        "index": Product(path=index, use=indexed, unread=MADE_AGAIN),
        "index of rejects": Product(path=refused, use=indexed, unread=MADE_AGAIN),
        "quarantine": Product(
            path=root / "refused.parquet",
            use=lambda: merge_quarantine([root / "refused.parquet"], root / "joined.parquet"),
        ),
        "pools.parquet": Product(
            path=root / "pools" / "pools.parquet",
            use=lambda: manifest(load_pools(root / "pools"), ["0-50%"]).table().to_pylist(),
        ),
        "pools.parquet, shown": Product(
            path=root / "pools" / "pools.parquet",
            use=lambda: [
                rows.num_rows for rows in batches(root / "pools" / "pools.parquet", tuple(TABLE_SCHEMA.names))
            ],
        ),
    }


def of_training(root: Path) -> dict[str, Product]:
    """Subsets, exclude lists, picks, evaluation sets, caches of training and checkpoints of models."""
    uids = pa.array([uid(number) for number in range(6)])
    draws = pa.table({"uid": uids, "pool": ["a"] * 6, "repeats": pa.array([1, 2] * 3, pa.int32())})
    found = {}
    for kind, name in (("npy", "subset.npy"), ("parquet", "subset.parquet")):
        write_subset(draws, root / kind, format=kind)
        found[name] = Product(
            path=root / kind / name,
            use=lambda folder=root / kind: (read_subset(folder)[0], read_subset(folder)[1].tolist()),
        )
    write_table(root / "exclude.parquet", draws.select(["uid"]))
    for name in ("npy/subset.npy", "exclude.parquet"):
        found[f"exclude list {name}"] = Product(
            path=root / name, use=lambda path=root / name: read_exclude(path)
        )
    pairs = [{"uid": uid(number)} for number in range(64)]
    write_training(root / "runs" / "a", "joint", seen=[1024], errors=[0.5], pairs=pairs)
    found["picks.uids.parquet"] = Product(
        path=root / "runs" / "a" / picks.UIDS_FILE,
        use=lambda: picks.picked_pairs(root / "runs" / "a").to_pylist(),
    )
    found["matrix.npy"] = Product(
        path=root / "runs" / "a" / "matrix.npy",
        use=lambda: [run.matrix_bb.tolist() for run in read_training_runs(root / "runs")],
    )
    tasks = root / "eval-0.npz"
    arrays = {"pixels": np.ones((2, 8, 8, 3), np.uint8), "labels": np.array([0, 1])}
    np.savez(tasks, **arrays, prompts=np.ones((2, 1, 4), np.int32), digest=np.asarray("d"))
    found["evaluation set"] = Product(
        path=tasks,
        use=lambda: (tasks_digest(tasks), smallest_error(tasks), load_tasks(tasks)[0].labels.tolist()),
    )
    towers = load_towers(RESNET, seed=1)
    shards = write_shards(root / "in", (5,))

    def dataset() -> object:
        described = describe_dataset(shards, towers, cache=root / "cache", workers=0)
        with open_dataset(described) as opened:
            pixels = opened.images.submit(np.arange(5))()
            return pixels.tobytes(), opened.tokens_nT.tolist(), opened.uids.to_pylist()

    dataset()
    for kind in ("pixels-*.npy", "pixels-*.json", "tokens-*.npy"):
        (path,) = (root / "cache").glob(kind)
        found[f"cache {kind}"] = Product(path=path, use=dataset, unread=MADE_AGAIN)
    save_model(towers, root / "model", sigmoid=False, samples_seen=1)
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        found[f"model's {name}"] = Product(
            path=root / "model" / name,
            use=lambda: load_towers(f"local-dir:{root / 'model'}").fingerprint,
        )
    return found


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Product]:
    root = tmp_path_factory.mktemp("cut-off")
    return of_scoring(root / "scoring") | of_training(root / "training")


def spoiled(whole: bytes, count: int) -> Iterator[tuple[str, bytes]]:
    """The bytes cut off at so many places, none of them, and a text."""
    for length in np.unique(np.linspace(1, len(whole) - 2, count).astype(int)).tolist():
        yield f"cut off after {length} of {len(whole)} bytes", whole[:length]
    yield "empty", b""
    yield "a text", b"no such file\n" * 40


SCORING = (
    *(
        "part of scores, scored again",
        "quarantine of a part",
        "part of scores, cut",
        "part of scores, joined",
    ),
    *("part of scores, shown", "part of embeddings", "vectors", "part of hashes", "index"),
    *("index of rejects", "quarantine", "pools.parquet", "pools.parquet, shown"),
)
TRAINING = (
    *("subset.npy", "subset.parquet", "exclude list npy/subset.npy", "exclude list exclude.parquet"),
    *("picks.uids.parquet", "matrix.npy", "evaluation set", "cache pixels-*.npy", "cache pixels-*.json"),
    *("cache tokens-*.npy", f"model's {CONFIG_FILE}", f"model's {WEIGHTS_FILE}"),
)


@pytest.mark.parametrize("name", [*SCORING, *TRAINING])
@pytest.mark.parametrize("count", [3, pytest.param(20, marks=pytest.mark.soak)])
def test_a_file_that_is_cut_off_emptied_or_a_text_is_one_sentence(
    products: dict[str, Product], name: str, count: int
) -> None:
    product = products[name]
    whole, outcome, told = product.path.read_bytes(), product.use(), Told(0, [], [])
    for what, content in spoiled(whole, count):
        product.path.write_bytes(content)
        told.changes += 1
        judge(told, product, what, outcome, name="cut off")
        product.path.write_bytes(whole)
    assert told.wrong == []
    assert told.said or product.unread
