"""Files that commands leave for each other, damaged a field at a time: one sentence, or it is not missed."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.curate.pools.scores import write_scores
from tests.fuzz.products import FEW, MANY, Product, judge, name_of, places, use_damaged
from tests.models.small import TINY
from tests.planning.predicting import mix_error
from tests.report.fake_workdir import write_training
from tests.report.planted import NAMES, SIZES, planted_laws, planted_plan
from tests.scores.embedded import vectors, write_embeddings
from tests.small_pool import contents, uid, write_shards
from tests.train import small
from thresher.curate.balance.balanced import balance_embeddings
from thresher.curate.pools.cut import cut
from thresher.curate.pools.record import load_pools, missing_pairs
from thresher.curate.subset.write import write_subset
from thresher.data.files.atomic import write_json
from thresher.data.files.provenance import claim, mark
from thresher.data.shard_index import marks_of
from thresher.models.towers import Towers
from thresher.pipeline.demo import make_demo
from thresher.planning.laws.laws_file import load_laws, save_laws
from thresher.planning.plans.plan import load_plan, save_plan
from thresher.planning.runs.ledger import read_runs
from thresher.report.sections import read_commands
from thresher.report.workdir import read_planted, read_training_runs
from thresher.scores.combine.joined import join
from thresher.scores.combine.learned import Column, HeldOut, LearnedModel, Measured, load_model, save_model
from thresher.scores.combine.rank_shares import Quantiles
from thresher.scores.embeddings.stored import open_embeddings
from thresher.train.job import JOB_FILE, Job, _made_of, run_job
from thresher.train.loop import STATE_FILE, Measurement, TrainingRun, measurements
from thresher.train.probe import trials
from thresher.train.probe.trials import Trial, TrialContext
from thresher.train.recipe import Recipe
from thresher.train.reference import reference_mark
from thresher.train.stage import read_subset

HEADER = frozenset({"schema", "version"})
"""What is not looked at where the settings of a folder are compared, name by name."""
MEASURED = Measurement(samples_seen=32, flops=2, metrics={"zeroshot_acc1": 0.5}, flops_by_kind={"train": 2})
POINT = {
    f"measured.*.{name}"
    for name in (
        *("samples_scored", "flops", "flops_by_kind", "metrics.zeroshot_acc1", "metrics.zeroshot_acc5"),
        *(f"flops_by_kind.{kind}" for kind in ("train", "score", "reference", "select")),
    )
}
"""A model need not be measured by every metric, and what is counted beside its samples may be absent."""


def write_result(path: Path, **fields: Any) -> None:
    content = {"schema": "thresher.training", "version": 1, "recipe": "r", **fields, "tasks": None}
    write_json(path, content | {"measured": [dataclasses.asdict(MEASURED)]})


def all_but(path: Path, *read: str) -> frozenset[str]:
    """Every place of a file but those that are read."""
    return frozenset(map(name_of, places(json.loads(path.read_text())))) - {*read}


def of_tables(root: Path) -> dict[str, Product]:
    """What scores, embeddings, pools and subsets say of themselves."""
    scores = write_scores(root / "scores", [[0.9, 0.8, 0.1], [0.3, 0.2, 0.5]])
    cut(scores, by="clip", out=root / "pools", edges=[0.5, 1.0])
    other = write_scores(root / "other", [[0.9, 0.8, 0.1], [0.3, 0.2, 0.5]], column="quality")
    embeddings = write_embeddings(root / "embeddings", vectors(40), parts=2)
    sample = {"size": 10, "clusters": (4, 2), "seed": 1}
    balance_embeddings(embeddings, root / "balanced", **sample)
    table = load_pools(root / "pools").table(["uid"]).append_column("pool", [["all"] * 6])
    draws = table.append_column("repeats", [np.array([1, 2, 1, 1, 1, 1], np.int32)])
    shards = write_shards(root / "in", (4, 3))
    write_subset(draws, root / "subset", format="npy", samples_seen=100)
    write_subset(draws, root / "copied", format="shards", shards=shards, pairs_per_shard=4)
    quantiles = Quantiles((0.1, 0.5, 0.9), (0.2, 0.5, 0.8))
    held = HeldOut(
        num_pairs=9,
        num_good=4,
        num_groups=9,
        combined=Measured(0.9, 0.1),
        columns={"clip": Measured(0.8, 0.1)},
        best="clip",
        gain=Measured(0.1, 0.1),
    )
    save_model(LearnedModel((Column("clip", 1.5, quantiles, "f"),), 0.2, 1.0, held), root / "model.json")
    some = np.array([[0.3], [0.7]], np.float32)

    def embedded() -> object:
        stored = open_embeddings(embeddings)
        facts = (stored.model, stored.scale, stored.bias, stored.flops_per_pair, *reference_mark(embeddings))
        return (*facts, stored.image(np.arange(3)).tolist())

    def copied() -> object:
        write_subset(draws, root / "copied", format="shards", shards=shards, pairs_per_shard=4)
        return contents(root / "copied")

    def joined() -> object:
        found = join([scores, other], ["clip", "quality"])
        return found.scorers, found.values_nC.tolist()

    learned = root / "model.json"
    meta_unread = {"format", "pairs", "shards", "num_shards", "pairs_per_shard", "plan", "plan.candidate"}
    return {
        "pools.json": Product(
            path=root / "pools" / "pools.json",
            use=lambda: (load_pools(root / "pools").sizes, missing_pairs(root / "pools")),
            unread=frozenset({"thresholds", "made_of"}),
        ),
        "scores.json": Product(
            path=scores / "scores.json",
            use=lambda: cut(scores, by="clip", out=root / "again", edges=[0.5]).sizes,
            unread=HEADER | {"scorers"},
        ),
        "joined scores.json": Product(
            path=other / "scores.json", use=joined, defaults=frozenset({"scorers"}), unread=HEADER
        ),
        "embeddings.json": Product(path=embeddings / "embeddings.json", use=embedded),
        "balance.json": Product(
            path=root / "balanced" / "balance.json",
            use=lambda: balance_embeddings(embeddings, root / "balanced", **sample),
        ),
        "model.json": Product(
            path=learned, use=lambda: (load_model(learned), load_model(learned).scores(some).tolist())
        ),
        "meta.json": Product(
            path=root / "subset" / "meta.json",
            use=lambda: (
                read_subset(root / "subset")[1].tolist(),
                read_commands(root / "subset" / "meta.json", None),
            ),
            defaults=frozenset({"samples_seen"}),
            unread=frozenset({*meta_unread, "pools.*.num_rows"}),
        ),
        "claimed meta.json": Product(
            path=root / "copied" / "meta.json",
            use=copied,
            unread=all_but(root / "copied" / "meta.json", "format", "pairs", "shards", "pairs_per_shard"),
        ),
        **{
            name: Product(path=root / "copied" / name, use=copied, unread=all_but(root / "copied" / name))
            for name in ("00000000_stats.json", "sizes.json")
        },
    }


def of_plans(root: Path) -> dict[str, Product]:
    """What laws, plans and ledgers say."""
    save_laws(root / "laws.json", planted_laws())
    save_plan(root / "plan.json", planted_plan())
    runs = [json.dumps({"pool": "a", "unique_samples": 9, "samples_seen": n, "error": 0.5}) for n in (10, 20)]
    (root / "runs.jsonl").write_text("\n".join(runs) + "\n")
    return {
        "laws.json": Product(
            path=root / "laws.json",
            use=lambda: mix_error(load_laws(root / "laws.json"), {NAMES[0]: 1.0}, SIZES, 1e6),
            defaults=None,
        ),
        "plan.json": Product(
            path=root / "plan.json", use=lambda: load_plan(root / "plan.json"), defaults=None
        ),
        "runs.jsonl": Product(
            path=root / "runs.jsonl", use=lambda: read_runs(root / "runs.jsonl"), defaults=None
        ),
    }


def of_training(root: Path) -> dict[str, Product]:
    """What trainings, trials, reports and the demo say."""
    shards = tuple(write_shards(root / "trained", (4,)))
    recipe = Recipe(model=TINY, batch_size=2, warmup_samples=4)
    job = Job(
        shards=shards,
        uids=None,
        repeats=None,
        recipe=recipe,
        samples_seen=32,
        seed=0,
        tasks=None,
        device="cpu",
        cache=root / "cache",
    )
    result, made_of = root / "job" / "result.json", _made_of(job, marks_of(job.shards))
    write_result(result, **made_of)
    write_json(root / "open" / JOB_FILE, {"schema": "thresher.job", "version": 2, **made_of})
    marked = {"settings": {"lr": 0.1, "seeds": [1, 2]}, "shards": "s"}
    mark(root / "marked", marked)
    trial = Trial(role="fit", weights={"a": 1.0}, fraction=1.0, points=(32,), seed=0)
    prompts = np.zeros((10, 1, 4), np.int64)
    np.savez(root / "tasks.npz", labels=np.zeros(8, np.int64), prompts=prompts, digest=np.asarray("d"))
    bench = TrialContext(
        dataset=None,
        members={"a": ("1", "2")},
        tasks=root / "tasks.npz",
        recipe=recipe,
        metric="zeroshot_error",
        device="cpu",
        folder=root / "trials",
        threads=1,
    )
    tried = root / "trials" / trial.name / "result.json"
    write_json(tried, {"schema": "thresher.trial", "version": 1, "trial": trial.record()})
    write_json(tried, json.loads(tried.read_text()) | {"measured": [dataclasses.asdict(MEASURED)]})
    pairs = [{"uid": uid(number)} for number in range(64)]
    write_training(root / "shown" / "a", "joint", seen=[1024, 2048], errors=[0.5, 0.4], pairs=pairs)
    write_json(root / "planted.json", {uid(1): "clean", uid(2): "noise"})
    write_json(root / "demo.json", {"schema": "thresher.demo", "version": 1, "seed": 0})

    def finished() -> object:
        run_job(job, root / "job")
        return measurements(result, json.loads(result.read_text()))

    def shown() -> object:
        return [
            (run.method, run.measured, run.lines, run.times_n.tolist(), run.matrix_bb.tolist())
            for run in read_training_runs(root / "shown", "zeroshot_error")
        ]

    def tested() -> object:
        return [runs for _, runs in trials._results(bench, [trial], 1)]

    chosen = {"schema", *(f"settings.{name}" for name in ("select", "filter_ratio", "flexi"))}
    lines = {f"*.{name}" for name in ("cooldown", "learnability", "rank_correlation")}
    return {
        "result.json": Product(
            path=result, use=finished, defaults=frozenset(POINT), unread=HEADER | {"recipe", "tasks"}
        ),
        "job.json": Product(
            path=root / "open" / JOB_FILE,
            use=lambda: claim(root / "open", made_of, record=JOB_FILE, noun="run") is None,
            unread=HEADER,
        ),
        "made-of.json": Product(
            path=root / "marked" / "made-of.json",
            use=lambda: claim(root / "marked", marked) is None,
            unread=HEADER,
        ),
        "trial's result.json": Product(path=tried, use=tested, defaults=frozenset(POINT), unread=HEADER),
        "shown result.json": Product(
            path=root / "shown" / "a" / "result.json", use=shown, defaults=frozenset(chosen | POINT)
        ),
        "selection.jsonl": Product(
            path=root / "shown" / "a" / "selection.jsonl", use=shown, defaults=frozenset(lines)
        ),
        "planted.json": Product(
            path=root / "planted.json",
            use=lambda: read_planted(root / "planted.json"),
            defaults=frozenset({uid(1), uid(2)}),
        ),
        "demo.json": Product(path=root / "demo.json", use=lambda: make_demo(root).read_text(), unread=HEADER),
    }


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Product]:
    root = tmp_path_factory.mktemp("products")
    return of_tables(root) | of_plans(root) | of_training(root)


ALL = (
    *("laws.json", "plan.json", "runs.jsonl", "pools.json", "scores.json", "joined scores.json"),
    *("embeddings.json", "balance.json", "model.json", "meta.json", "claimed meta.json"),
    *("00000000_stats.json", "sizes.json", "result.json", "job.json", "made-of.json", "trial's result.json"),
    *("shown result.json", "selection.jsonl", "planted.json", "demo.json"),
)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("others", [FEW, pytest.param(MANY, marks=pytest.mark.soak)])
def test_every_field_gone_or_of_another_type_is_one_sentence(
    products: dict[str, Product], name: str, others: tuple[Any, ...]
) -> None:
    product = products[name]
    whole = product.path.read_text()
    content = [json.loads(line) for line in whole.splitlines()] if name.endswith("l") else json.loads(whole)

    def write(made: Any) -> None:
        lines = made if name.endswith("l") else [made]
        product.path.write_text("\n".join(json.dumps(line) for line in lines) + "\n")

    try:
        told = use_damaged(
            product, content, others, write, [*places(content, most=1 if others is FEW else 2)]
        )
    finally:
        product.path.write_text(whole)
    assert told.wrong == []


OPTIMIZERS_OWN = (
    "state.*.step",
    *(
        f"param_groups.*.{name}"
        for name in (
            *("lr", "amsgrad", "maximize", "foreach", "capturable", "differentiable"),
            "decoupled_weight_decay",
        )
    ),
)
"""What torch's optimizer has defaults for, sets anew at each step, or takes as it stands."""
POINTS = (6 * small.BATCH, 12 * small.BATCH, 18 * small.BATCH)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Product:
    """The checkpoint of a run that stopped where its second model is measured."""
    folder = tmp_path_factory.mktemp("checkpoint")
    pairs = small.flat_pairs(model=small.JOINT.model)
    settings = {"recipe": small.JOINT, "reference": small.random_reference(pairs), "checkpoint_seconds": 0}
    calls: list[int] = []

    def stop_second(towers: Towers) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 2:
            raise small.Stop
        return small.measure(towers)

    with pytest.raises(small.Stop):
        small.run(folder, pairs, *POINTS, evaluate=stop_second, **settings)

    def resumed() -> object:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TrainingRun, "advance", stop)
            with pytest.raises(small.Stop):
                small.run(folder, pairs, *POINTS, **settings)
        return "goes on"

    return Product(
        path=folder / STATE_FILE,
        use=resumed,
        defaults=frozenset({"measured.*.samples_scored", "measured.*.flops_by_kind"}),
        unread=frozenset(
            {
                *(f"{trunk}optimizer.{name}" for trunk in ("", "trunk.") for name in OPTIMIZERS_OWN),
                *(f"measured.*.metrics.feature{number}" for number in range(8)),
                *(f"measured.*.flops_by_kind.{kind}" for kind in ("score", "reference", "train", "select")),
            }
        ),
    )


def stop(*_: object, **__: object) -> None:
    raise small.Stop


@pytest.mark.parametrize(
    "others", [(), *(pytest.param(others, marks=pytest.mark.soak) for others in (FEW, MANY))]
)
def test_every_field_of_a_checkpoint_gone_or_of_another_type_is_one_sentence(
    checkpoint: Product, others: tuple[Any, ...]
) -> None:
    whole = checkpoint.path.read_bytes()
    content = torch.load(checkpoint.path, weights_only=True)
    known = [place for place in places(content) if len(place) == 1 or others is MANY]
    known = [place for place in known if not {"model", "state"} & {*place} or _is_first(content, place)]

    def write(made: Any) -> None:
        torch.save(made, checkpoint.path)

    try:
        told = use_damaged(checkpoint, content, others, write, known)
        for length in (1, len(whole) // 2, len(whole) - 1):
            checkpoint.path.write_bytes(whole[:length])
            judge(told, checkpoint, f"cut off after {length}", None)
    finally:
        checkpoint.path.write_bytes(whole)
    assert told.wrong == []


def _is_first(content: Any, place: tuple[Any, ...]) -> bool:
    """Whether a place is in the first tensor of a model, or in the first moments of an optimizer."""
    for depth, key in enumerate(place):
        if key in ("model", "state") and len(place) > depth + 1:
            return bool(place[depth + 1] == next(iter(content[key])))
        content = content[key]
    return True
