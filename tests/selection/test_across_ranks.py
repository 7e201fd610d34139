import json
from typing import Any

import pytest
import torch

from tests.forking import run_ranks
from tests.selection.oracle import score_matrix, sigmoid_logits
from tests.selection.rank_worker import (
    CASES,
    ERRORS,
    JOINT,
    NUM_CANDIDATES,
    SIZE,
    candidates,
    picks_across,
    picks_of_one,
    share_of,
)
from thresher.selection.across_ranks import select_across
from thresher.selection.choices import MODES
from thresher.selection.embeddings import Embeddings
from thresher.selection.keys import chunk_sizes
from thresher.selection.noise import gumbel

Results = list[dict[str, Any]]


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.soak)])
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What each of two or four processes was told, a dictionary a rank."""
    world, folder = request.param, tmp_path_factory.mktemp("ranks")
    run_ranks(world, "tests.selection.rank_worker", folder)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(world)]


@pytest.mark.slow
def test_many_processes_pick_what_one_picks(results: Results) -> None:
    for name, case in CASES.items():
        one = picks_of_one(case)
        for told in results:
            assert told[name]["picks"] == one, name


@pytest.mark.slow
def test_every_rank_is_told_the_same(results: Results) -> None:
    for name in results[0]:
        if name not in ERRORS:
            for key in ("picks", "ranks", "logits"):
                assert all(told[name][key] == results[0][name][key] for told in results), name


@pytest.mark.slow
def test_the_ranks_share_the_products(results: Results) -> None:
    whole = select_across(*candidates(), size=SIZE, step=3, seed=11).flops
    assert sum(told["learnability siglip"]["flops"] for told in results) == pytest.approx(whole, rel=0.01)


@pytest.mark.slow
def test_balanced_rows_are_the_chosen_ones_equally_many_a_rank(results: Results) -> None:
    for name in (*CASES, *(f"stratified {joint}" for joint in JOINT)):
        told = [each[name] for each in results]
        rows = [each["balanced"] for each in told]
        assert {len(part) for part in rows} == {SIZE // len(results)}
        assert sorted(row for part in rows for row in part) == sorted(told[0]["picks"])
        for part, each in zip(rows, told, strict=True):
            assert part == sorted(part, key=each["picks"].index), "in the order in which they were drawn"
            kept = set(part) & set(each["mine"])
            assert len(kept) == min(len(part), len(each["mine"])), "no more moves than has to"


@pytest.mark.slow
def test_stratified_selection_takes_equally_many_of_each_rank(results: Results) -> None:
    for name in JOINT:
        told = results[0][f"stratified {name}"]
        held = torch.bincount(torch.tensor(told["ranks"]), minlength=len(results))
        assert held.tolist() == [SIZE // len(results)] * len(results)
        assert len(set(told["picks"])) == SIZE
        for each in results:
            part = each[f"stratified {name}"]
            assert part["balanced"] == part["mine"], "nothing moves"


@pytest.mark.slow
def test_stratified_scores_are_against_all_that_is_chosen(results: Results) -> None:
    """By the plain B x B version: each rank its own largest, all ranks the same sums."""
    world = len(results)
    learner, reference, keys = candidates()
    scores = score_matrix(learner, reference, "learnability")
    held = [share_of(rank, world) for rank in range(world)]
    chosen: list[int] = []
    for chunk, count in enumerate(chunk_sizes(SIZE // world, 16)):
        values = sigmoid_logits(scores, chosen) + gumbel(keys, seed=11, step=3, chunk=chunk)
        values[chosen] = -torch.inf
        drawn = [int(rows[place]) for rows in held for place in values[rows].topk(count).indices]
        chosen += sorted(drawn, key=lambda row: -float(values[row]))
    assert results[0]["stratified learnability siglip"]["picks"] == chosen


@pytest.mark.slow
def test_every_rank_raises_the_same_error(results: Results) -> None:
    for rank, told in enumerate(results):
        spoilt = told.pop("not finite")
        assert "of the learner has length nan" in spoilt
        assert spoilt.startswith("rank ") == (NUM_CANDIDATES - 3 not in share_of(rank, len(results)).tolist())
    texts = {name: {told[name] for told in results} for name in ERRORS if name != "not finite"}
    assert all(len(found) == 1 for found in texts.values()), texts
    assert f"to the {NUM_CANDIDATES} different candidates" in texts["too few"].pop()
    assert f"of each of {len(results)} ranks, and rank" in texts["stratified of too few"].pop()
    assert f"size 121 does not divide by {len(results)} ranks" in texts["odd"].pop()


@pytest.mark.parametrize("name", CASES)
def test_one_process_alone_picks_what_select_picks(name: str) -> None:
    told = picks_across(CASES[name], rank=0, world=1)
    assert told["picks"] == told["balanced"] == picks_of_one(CASES[name])


@pytest.mark.parametrize("mode", MODES)
def test_on_one_rank_the_modes_are_the_same(mode: str) -> None:
    assert picks_across({"mode": mode}, 0, 1)["picks"] == picks_of_one({})


@pytest.mark.parametrize("loss", ["siglip", "clip"])
def test_the_sums_of_a_candidate_do_not_depend_on_its_neighbours(loss: str) -> None:
    """What many ranks rest on: to the last bit, wherever it stands and whatever else is there."""
    learner, reference, keys = candidates()
    together = select_across(learner, reference, keys, size=SIZE, step=0, seed=0, loss=loss)
    order = torch.randperm(NUM_CANDIDATES, generator=torch.Generator().manual_seed(1))
    apart = select_across(
        *(
            Embeddings(image_BD=m.image_BD[order], text_BD=m.text_BD[order], scale=m.scale, bias=m.bias)
            for m in (learner, reference)
        ),
        keys[order],
        size=SIZE,
        step=0,
        seed=0,
        loss=loss,
    )
    assert (order[apart.places_b] == together.places_b).all()
    assert (apart.logit_b == together.logit_b).all()
    assert (apart.score_B == together.score_B[order]).all()


def test_unknown_names_are_refused() -> None:
    learner, reference, keys = candidates()
    for option in ("mode", "method", "criterion", "loss", "backend"):
        with pytest.raises(ValueError, match=f"{option} 'best' is unknown; take one of"):
            select_across(learner, reference, keys, size=8, step=0, seed=0, **{option: "best"})
