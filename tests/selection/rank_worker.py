"""`torchrun ... -m tests.selection.rank_worker FOLDER`: one process of several that select together.

Writes what it was told into FOLDER/RANK.json, a result a case.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from thresher.selection.across_ranks import select_across
from thresher.selection.embeddings import Embeddings, take
from thresher.selection.even_ranks import balance
from thresher.selection.sub_batch import select

NUM_CANDIDATES = 1003
DIM = 24
SIZE = 120
JOINT = {
    f"{criterion} {loss}": {"criterion": criterion, "loss": loss}
    for criterion in ("learnability", "easy-reference", "hard-learner")
    for loss in ("siglip", "clip")
}
CASES: dict[str, dict[str, Any]] = {
    **JOINT,
    "independent": {"method": "independent"},
    "uniform": {"method": "uniform"},
    "gain": {"gain": 0.2, "step": 7, "chunks": 5},
    "one chunk": {"chunks": 1},
    "a pair a chunk": {"chunks": SIZE},
    "bf16": {"dtype": torch.bfloat16},
    "repeats": {"repeats": 200},
}
ERRORS: dict[str, dict[str, Any]] = {
    "too few": {"size": NUM_CANDIDATES + 1},
    "not finite": {"spoil": True},
    "stratified of too few": {"size": 1000, "mode": "stratified"},
    "odd": {"size": 121, "mode": "stratified"},
}


def candidates(
    *, dtype: torch.dtype = torch.float32, repeats: int = 0, spoil: bool = False
) -> tuple[Embeddings, Embeddings, torch.Tensor]:
    """Learner, reference and keys of the whole super-batch; `repeats` candidates stand in it twice."""
    random = torch.Generator().manual_seed(5)
    models = []
    for scale, bias in ((9.0, -3.0), (14.0, -4.0)):
        image, text = torch.randn(2, NUM_CANDIDATES, DIM, generator=random)
        unit = [torch.nn.functional.normalize(x, dim=1) for x in (image, text + 0.7 * image)]
        if repeats:
            for x in unit:
                x[-repeats:] = x[:repeats]
        models.append(
            Embeddings(image_BD=unit[0].to(dtype), text_BD=unit[1].to(dtype), scale=scale, bias=bias)
        )
    keys = torch.randint(-(2**63), 2**63 - 1, (NUM_CANDIDATES,), generator=random)
    if repeats:
        keys[-repeats:] = keys[:repeats]
    if spoil:
        models[0].image_BD[NUM_CANDIDATES - 3] = torch.nan
    return models[0], models[1], keys


def share_of(rank: int, world: int) -> torch.Tensor:
    """Rows of the super-batch that a rank holds: not equally many, and in no order."""
    order = torch.randperm(NUM_CANDIDATES, generator=torch.Generator().manual_seed(world))
    first, rest = order[: NUM_CANDIDATES // (world + 1)], order[NUM_CANDIDATES // (world + 1) :]
    parts = [*rest.tensor_split(world - 1), first] if world > 1 else [order]
    return parts[rank]


def split_options(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a case says of the candidates, and of the selection."""
    about_data = ("dtype", "repeats", "spoil")
    data = {name: value for name, value in options.items() if name in about_data}
    rest = {name: value for name, value in options.items() if name not in about_data}
    return data, {"size": SIZE, "step": 3, "seed": 11} | rest


def of_first(rows: list[int], options: dict[str, Any]) -> list[int]:
    """The rows, with the first of its key in place of one that repeats it."""
    first = NUM_CANDIDATES - options.get("repeats", 0)
    return [row - first if row >= first else row for row in rows]


def picks_of_one(options: dict[str, Any]) -> list[int]:
    """Rows that `select` draws from all candidates."""
    data, rest = split_options(options)
    return of_first(select(*candidates(**data), **rest).places_b.tolist(), data)


def picks_across(options: dict[str, Any], rank: int, world: int) -> dict[str, Any]:
    """The same from `select_across`, and what `balance` brings to this rank."""
    data, rest = split_options(options)
    learner, reference, keys = candidates(**data)
    rows = share_of(rank, world)
    chosen = select_across(take(learner, rows), take(reference, rows), keys[rows], **rest)
    held = [share_of(number, world) for number in range(world)]
    pairs = zip(chosen.ranks_b.tolist(), chosen.places_b.tolist(), strict=True)
    picks = [int(held[number][place]) for number, place in pairs]
    floats, numbers = balance([rows[:, None].double().expand(-1, 3), rows], chosen)
    assert (floats[:, 2] == numbers).all()
    return {
        "picks": of_first(picks, data),
        "balanced": of_first(numbers.tolist(), data),
        "mine": of_first(rows[chosen.mine()].tolist(), data),
        "ranks": chosen.ranks_b.tolist(),
        "logits": chosen.logit_b.tolist(),
        "flops": chosen.flops,
    }


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    results: dict[str, Any] = {name: picks_across(case, rank, world) for name, case in CASES.items()}
    for name, case in JOINT.items():
        results[f"stratified {name}"] = picks_across(case | {"mode": "stratified"}, rank, world)
    for name, case in ERRORS.items():
        try:
            picks_across(case, rank, world)
        except ValueError as error:
            results[name] = str(error)
    dist.destroy_process_group()
    (folder / f"{rank}.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
