"""Training runs on a pool with planted captions, none of which is done twice.

Shapes: n pairs.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from jest_worlds import World, describe, read_planted
from real_pairs import auc
from thresher.data.files.atomic import write_json
from thresher.data.files.lock import folder_lock
from thresher.data.patterns import expand
from thresher.models.evaluation.evaluate import evaluate
from thresher.models.evaluation.sets import load_tasks
from thresher.models.flops import forward_flops
from thresher.models.saved import save_model
from thresher.models.towers import load_towers
from thresher.scores.embeddings.embed import embed_shards
from thresher.scores.embeddings.stored import StoredEmbeddings, open_embeddings
from thresher.train import picks
from thresher.train.dataset import OpenDataset, open_dataset
from thresher.train.distributed import SINGLE
from thresher.train.loop import Measurement, clear, train
from thresher.train.pairs import Pairs
from thresher.train.recipe import Recipe

RESULT_FILE = "result.json"
SOURCES = ("pool", "filtered", "curated", "both")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One training run: several lengths, each cooled down.

    Attributes:
        method: what it is called in the tables.
        source: one of `SOURCES`.
        recipe: all settings.
        points: steps at which a cooled-down model is measured, ascending.
        seed: of weights, order, augmentation and choice.
    """

    method: str
    source: str
    recipe: Recipe
    points: tuple[int, ...]
    seed: int

    @property
    def name(self) -> str:
        """Unique and readable; differs when any setting differs, and not with the source code."""
        settings = json.dumps([self.recipe.settings(), self.source, self.points], sort_keys=True)
        digest = hashlib.blake2b(settings.encode(), digest_size=4).hexdigest()
        plain = "".join(letter if letter.isalnum() or letter == "." else "-" for letter in self.method)
        return f"{plain}-lr{self.recipe.lr:g}-s{self.seed}-{digest}"


def make_reference(world: World, progress: Any = print) -> dict[str, float]:
    """Train the reference, embed the pool by it and filter the pool by it, once; what is known of it.

    Returns:
        `accuracy` and the like, `auc` of its similarities, `precision` of the filtered pairs, and FLOPs of
        training it (`train`) and of embedding the pool (`embed`).
    """
    summary = world.folder / "reference.json"
    if summary.exists():
        content: dict[str, float] = json.loads(summary.read_text())
        return content
    points = (world.reference_steps,)
    cell = Cell(method="reference", source="curated", recipe=world.reference, points=points, seed=100)
    result = run_cell(world, cell, keep_model=True)
    model = f"local-dir:{world.folder / 'runs' / cell.name}"
    embed_shards(expand([str(world.folder / "pool")]), model, world.folder / "reference", workers=0)
    stored = open_embeddings(world.folder / "reference")
    planted = read_planted(world)
    uids = list(planted)
    places = stored.find(uids)
    similarity = (stored.image(places) * stored.text(places)).sum(axis=1)
    right = np.asarray([planted[uid] for uid in uids])
    best = np.argsort(-similarity, kind="stable")[: round(world.keep * len(uids))]
    write_json(world.folder / "filtered.json", [uids[place] for place in best.tolist()])
    towers = load_towers(world.reference.model, sigmoid=True)
    context = int(towers.tokenize(["a"]).shape[1])
    last = result["points"][-1]
    content = dict(last["metrics"])
    content |= {"precision": float(right[best].mean()), "train": last["flops"]["train"]}
    content["auc"] = auc(similarity, right) if right.any() and not right.all() else 0.5
    content["embed"] = forward_flops(towers, context) * len(uids)
    write_json(summary, content)
    progress(f"{world.name}: reference {content}")
    return content


def run_cell(world: World, cell: Cell, *, keep_model: bool = False) -> dict[str, Any]:
    """Train one cell, or read what it left.

    Returns:
        `points`: a dictionary a length, with `steps`, `metrics`, `flops` by kind, `scored` pairs and `clean`,
        the share of pairs with a right caption among those trained on.
    """
    folder = world.folder / "runs" / cell.name
    path = folder / RESULT_FILE
    if not path.exists():
        torch.set_num_threads(1)
        with folder_lock(folder):
            dataset, tasks = describe(world, cell.recipe.model)
            with open_dataset(dataset) as opened:
                pairs, clean_n = make_pairs(world, cell, opened)
                towers, measured = train(
                    cell.recipe,
                    pairs,
                    [steps * cell.recipe.batch_size for steps in cell.points],
                    folder,
                    seed=cell.seed,
                    evaluate=lambda trained: evaluate(trained, load_tasks(tasks)),
                    ranks=SINGLE,
                    reference=open_reference(world) if cell.recipe.needs_reference else None,
                )
            if keep_model:
                save_model(towers, folder, sigmoid=True, samples_seen=measured[-1].samples_seen)
            shares = clean_shares(folder, cell, clean_n, pairs)
            content = {
                "method": cell.method,
                "seed": cell.seed,
                "lr": cell.recipe.lr,
                "source": cell.source,
                "recipe": cell.recipe.settings(),
                "points": [_point(m, cell, share) for m, share in zip(measured, shares, strict=True)],
            }
            write_json(path, content)
            clear(folder)
    finished: dict[str, Any] = json.loads(path.read_text())
    return finished


def _point(measured: Measurement, cell: Cell, clean: float) -> dict[str, Any]:
    return {
        "steps": measured.samples_seen // cell.recipe.batch_size,
        "metrics": measured.metrics,
        "flops": measured.flops_by_kind,
        "scored": measured.samples_scored,
        "clean": clean,
    }


def open_reference(world: World) -> StoredEmbeddings:
    """The cached embeddings of the pool by the reference."""
    return open_embeddings(world.folder / "reference")


def make_pairs(world: World, cell: Cell, opened: OpenDataset) -> tuple[Pairs, npt.NDArray[np.bool_]]:
    """The pairs that a cell draws from, and which of all pairs have a right caption."""
    planted = read_planted(world)
    uids = opened.uids.to_pylist()
    clean_n = np.asarray([planted.get(uid, True) for uid in uids])
    in_pool = np.asarray([uid in planted for uid in uids])
    if cell.source == "filtered":
        kept = set(json.loads((world.folder / "filtered.json").read_text()))
        taken = np.asarray([uid in kept for uid in uids])
    else:
        taken = {"pool": in_pool, "curated": ~in_pool, "both": np.ones_like(in_pool)}[cell.source]
    rows = np.flatnonzero(taken)
    pairs = Pairs(
        images=opened.images,
        tokens=opened.tokens_nT,
        rows=rows,
        repeats=np.ones(len(rows), dtype=np.int64),
        uids=opened.uids,
    )
    return pairs, clean_n


def clean_shares(folder: Path, cell: Cell, clean_n: npt.NDArray[np.bool_], pairs: Pairs) -> list[float]:
    """Share of right captions among the pairs trained on until each point of a cell."""
    if not cell.recipe.selects:
        return [float(clean_n[pairs.rows].mean())] * len(cell.points)
    found = list(picks.read(folder))
    shares = []
    for point in cell.points:
        start = min(pick.step for pick in found if pick.cooldown == point)
        chosen = [p.rows for p in found if p.cooldown == point or (p.cooldown is None and p.step < start)]
        shares.append(float(clean_n[np.concatenate(chosen)].mean()))
    return shares
