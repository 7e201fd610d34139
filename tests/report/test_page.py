import base64
import hashlib
import io
import json
import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.report.fake_workdir import HOSTILE, SPECIAL, dump, make_workdir
from tests.report.planted import NAMES, planted_fit, planted_laws, planted_plan
from tests.report.reading import Page
from thresher.errors import InputError
from thresher.planning.laws.laws_file import save_laws
from thresher.planning.laws.registry import LAWS
from thresher.planning.plans.plan import save_plan
from thresher.report.chart import FREE_WEIGHTS
from thresher.report.page import write_report

CHARTS = ["plan", "frontier", "crossovers", "errors", "residuals", "utility", "scores"]
TRAINING = ["training-samples", "training-flops", "learnability", "training-repeats", "resolutions"]
CHARTS += TRAINING
GROUPS = 2  # of pairs that training chose: most and least
SECTIONS = ["plan", "errors", "utility", "scores", "gallery", "training", "quarantine", "commands", "fit"]
ABSENT = {
    "plan.json": "There is no plan here",
    "runs.jsonl": "No candidate was trained at a budget of the plan",
    "laws.json": "There is no fit here",
    "pools": "There are no pools here",
    "subset": "There is no subset here",
    "train": "There is no finished training run here",
    "quarantine.parquet": "There is no quarantine here",
}


def _photographs(page: Page) -> list[dict]:
    return [attrs for attrs in page.named("img") if attrs.get("class") != "matrix"]


def test_a_whole_workdir_fills_every_section(page: str) -> None:
    read = Page(page)
    assert [attrs["id"] for attrs in read.named("section")] == SECTIONS
    assert 'class="absent"' not in page
    assert list(read.charts) == [f"chart-{name}-data" for name in CHARTS]


@pytest.mark.parametrize("name", ABSENT)
def test_an_absent_file_is_said_in_a_sentence(workdir: Path, tmp_path: Path, name: str) -> None:
    path = workdir / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    if name == "train":
        shutil.rmtree(workdir / "others")
    text = Page(write_report(workdir, tmp_path / "report.html").read_text()).text
    assert ABSENT[name] in text
    assert "There are no probe runs here" not in text
    assert sum(sentence in text for sentence in ABSENT.values()) == 1


def test_without_a_ledger_the_runs_of_the_laws_are_drawn(workdir: Path, tmp_path: Path) -> None:
    before = Page(write_report(workdir, tmp_path / "before.html").read_text()).charts
    (workdir / "runs.jsonl").unlink()
    after = Page(write_report(workdir, tmp_path / "after.html").read_text()).charts
    assert after["chart-errors-data"] == before["chart-errors-data"]


def test_scores_alone_make_a_page(workdir: Path, tmp_path: Path) -> None:
    for path in workdir.iterdir():
        if path.name != "scores":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    read = Page(write_report(workdir, tmp_path / "report.html").read_text())
    assert all(sentence in read.text for sentence in ABSENT.values() if "candidate" not in sentence)
    assert "There are no probe runs here" in read.text
    assert read.charts == {}
    assert len(read.code) == 1  # no figures, so no figure library


@pytest.mark.parametrize("label", ["recipe", "model"])
def test_runs_of_another_recipe_or_model_than_the_fit_are_left_out(
    workdir: Path, tmp_path: Path, label: str
) -> None:
    before = write_report(workdir, tmp_path / "before.html").read_bytes()
    lines = (workdir / "runs.jsonl").read_text().splitlines()
    others = [json.dumps(json.loads(line) | {label: "another", "error": 0.99}) for line in lines]
    (workdir / "runs.jsonl").write_text("\n".join([*lines, *others]) + "\n")
    assert write_report(workdir, tmp_path / "after.html").read_bytes() == before


def test_html_in_captions_stays_text(page: str) -> None:
    read = Page(page)
    assert HOSTILE in read.text
    assert "<script>alert" not in page
    assert all(str(attrs["src"]).startswith("data:image/jpeg;base64,") for attrs in _photographs(read))
    assert all("onerror" not in attrs for _, attrs in read.tags)


def test_a_pool_name_cannot_end_the_script_that_holds_it(workdir: Path, tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><!--"
    for name in ("laws.json", "plan.json", "runs.jsonl", "pools/pools.json"):
        path = workdir / name
        path.write_text(path.read_text().replace(NAMES[0], json.dumps(evil)[1:-1]))
    page = write_report(workdir, tmp_path / "report.html").read_text()
    read = Page(page)
    assert len(read.code) == 2
    assert evil in read.text
    names = [trace.get("name") for trace in read.charts["chart-utility-data"]["data"]]
    assert "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;!--" in names


def test_the_page_asks_nothing_from_the_network(page: str) -> None:
    read = Page(page)
    addresses = [attrs[key] for _, attrs in read.tags for key in ("src", "href", "action") if key in attrs]
    assert addresses
    assert all(
        str(address).startswith(("data:image/jpeg;base64,", "data:image/png;base64,", "#"))
        for address in addresses
    )
    library = max(read.code, key=len)
    rest = page.replace(library, "").replace("http://evil.example/x.png", "")
    assert "http:" not in rest
    assert "https:" not in rest
    assert "//cdn" not in rest
    assert "@import" not in rest
    assert "url(" not in rest


def test_the_policy_lets_these_scripts_run_and_no_other(page: str) -> None:
    read = Page(page)
    policy = next(str(a["content"]) for a in read.named("meta") if a.get("http-equiv"))
    allowed = re.findall(r"'sha256-([^']+)'", policy)
    hashes = [base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in read.code]
    assert hashes == allowed
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy.split("script-src")[1]


def test_same_files_give_the_same_bytes_wherever_they_lie(tmp_path: Path, page_path: Path) -> None:
    workdir = make_workdir(tmp_path / "another" / "place")
    assert write_report(workdir, tmp_path / "report.html").read_bytes() == page_path.read_bytes()


def test_images_come_along_small(page: str) -> None:
    images = [str(attrs["src"]).partition(",")[2] for attrs in _photographs(Page(page))]
    assert len(images) == 8 * (len(NAMES) + GROUPS)
    for data in images:
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            assert image.format == "JPEG"
            assert max(image.size) <= 192


def test_every_image_has_a_text_and_every_figure_a_label(page: str) -> None:
    read = Page(page)
    assert all(attrs.get("alt") for attrs in read.named("img"))
    charts = [attrs for attrs in read.named("div") if attrs.get("class") == "chart"]
    assert len(charts) == len(CHARTS)
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in charts)
    assert [tag for tag, _ in read.tags].count("h1") == 1


def test_captions_take_the_direction_of_their_script_and_long_ones_are_cut(page: str) -> None:
    read = Page(page)
    assert SPECIAL[28] in read.text
    assert SPECIAL[57] in read.text
    assert SPECIAL[123][:500] not in read.text
    assert "cut, 8,800 characters in all" in read.text
    captions = [attrs for attrs in read.named("p") if attrs.get("class") == "words"]
    assert all(attrs["dir"] == "auto" for attrs in captions)


def test_the_plan_comes_first_with_its_chances_and_repeats(page: str) -> None:
    text = Page(page).text
    plan, _, rest = text.partition("Error against samples seen")
    assert "Budget: 8.192k samples seen" in plan
    assert "Chance of best" in plan
    assert "3.2 times" in plan
    assert "overtakes 0-10% at about" in plan
    assert "the order held" in plan
    assert "Budget:" not in rest


def test_the_commands_are_there_to_copy(page_path: Path) -> None:
    read = Page(page_path.read_text())
    assert "thresher subset plan.json --budget 131072 --pools pools --out subset --format npy" in read.text
    for line in json.loads((page_path.parent / "work" / "subset" / "meta.json").read_text())["how_to_train"]:
        assert line.lstrip("# ")[1:] in read.text
    blocks = {attrs["id"] for attrs in read.named("pre")}
    assert len(blocks) == 3
    assert {attrs.get("data-copies") for attrs in read.named("button")} == blocks


def test_title_and_size_of_the_gallery_are_settings(workdir: Path, tmp_path: Path) -> None:
    page = write_report(workdir, tmp_path / "report.html", title="Pool <7>", gallery=3).read_text()
    read = Page(page)
    assert "<title>Pool &lt;7&gt;</title>" in page
    assert len(_photographs(read)) == 3 * (len(NAMES) + GROUPS)


def test_runs_of_pools_without_a_law_are_shown_without_a_prediction(workdir: Path, tmp_path: Path) -> None:
    line = {"pool": "everything", "unique_samples": 100, "samples_seen": 4096, "error": 0.5, "run": "extra"}
    with (workdir / "runs.jsonl").open("a") as file:
        file.write(json.dumps(line | {"metric": "zeroshot_error"}) + "\n")
    text = Page(write_report(workdir, tmp_path / "report.html").read_text()).text
    assert "extra everything fit 100 4.096k 50.0% –" in text


def test_runs_of_another_metric_are_left_aside(workdir: Path, tmp_path: Path) -> None:
    before = Page(write_report(workdir, tmp_path / "before.html").read_text()).charts
    lines = (workdir / "runs.jsonl").read_text().replace("zeroshot_error", "retrieval_error")
    with (workdir / "runs.jsonl").open("a") as file:
        file.write(lines)
    assert Page(write_report(workdir, tmp_path / "after.html").read_text()).charts == before


def test_a_gallery_of_none_says_so(workdir: Path, tmp_path: Path) -> None:
    read = Page(write_report(workdir, tmp_path / "report.html", gallery=0).read_text())
    assert "No pairs were asked for." in read.text
    assert _photographs(read) == []


def test_a_quarantine_without_rows_is_no_gap(workdir: Path, tmp_path: Path) -> None:
    table = pq.read_table(workdir / "quarantine.parquet")
    pq.write_table(table.slice(0, 0), workdir / "quarantine.parquet")
    assert "No pair was set aside." in Page(write_report(workdir, tmp_path / "r.html").read_text()).text


def test_a_folder_that_is_absent_or_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no folder .*nowhere"):
        write_report(tmp_path / "nowhere", tmp_path / "report.html")
    with pytest.raises(InputError, match="holds nothing to report on"):
        write_report(tmp_path, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": "x"}', '{"schema": "thresher.KIND", "version": 1}'])
@pytest.mark.parametrize("name", ["pools/pools.json", "subset/meta.json", "plan.json", "laws.json"])
def test_a_file_that_cannot_be_used_is_named(workdir: Path, tmp_path: Path, name: str, text: str) -> None:
    kind = {"pools/pools.json": "pools", "subset/meta.json": "subset"}.get(name, name.removesuffix(".json"))
    (workdir / name).write_text(text.replace("KIND", kind))
    with pytest.raises(InputError, match=re.escape(name)):
        write_report(workdir, tmp_path / "report.html")


@pytest.mark.parametrize("text", ["{", "[]"])
def test_planted_labels_that_cannot_be_used_are_named(workdir: Path, tmp_path: Path, text: str) -> None:
    (workdir / "planted.json").write_text(text)
    with pytest.raises(InputError, match=r"planted\.json .*make it again or delete it"):
        write_report(workdir, tmp_path / "report.html")


def test_a_table_that_cannot_be_used_is_named(workdir: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"uid": ["a"]}), workdir / "pools" / "pools.parquet")
    with pytest.raises(InputError, match=r"pools\.parquet has no column 'caption'"):
        write_report(workdir, tmp_path / "report.html")
    (workdir / "pools" / "pools.parquet").write_bytes(b"no table")
    with pytest.raises(InputError, match=r"pools\.parquet is damaged .*make it again"):
        write_report(workdir, tmp_path / "report.html")


def test_lone_surrogates_do_not_stop_the_page(workdir: Path, tmp_path: Path) -> None:
    planted = json.loads((workdir / "planted.json").read_text())
    dump(workdir / "planted.json", dict.fromkeys(planted, "odd \ud800 label"))
    assert "odd ? label" in write_report(workdir, tmp_path / "report.html").read_text()


def test_the_laws_stand_side_by_side_the_best_first(page: str) -> None:
    laws = planted_laws()
    text = Page(page).text.partition("The laws")[2]
    places = [text.index(f"{score.law} {LAWS[score.law].about}") for score in laws.comparison if score.weight]
    assert len(places) == len(laws.fits)
    shares = [score.weight for score in laws.comparison if score.weight]
    assert sorted(range(len(places)), key=lambda i: places[i]) == sorted(
        range(len(shares)), key=lambda i: -shares[i]
    )
    for fit, weight in zip(laws.fits, laws.weights, strict=True):
        assert f"{fit.law} law, {100 * weight:.0f}% of the predictions" in text
        assert all(sentence in text for sentence in fit.status)
    assert all(sentence in text for sentence in laws.status)


def test_a_law_without_half_lives_leaves_that_section_empty(workdir: Path, tmp_path: Path) -> None:
    save_laws(workdir / "laws.json", planted_fit("power", 10))
    read = Page(write_report(workdir, tmp_path / "report.html").read_text())
    assert "chart-utility-data" not in read.charts
    assert "There are no half-lives here" in read.text
    assert "100% of the predictions" in read.text


def test_a_plan_of_an_older_release_is_shown_without_a_front(workdir: Path, tmp_path: Path) -> None:
    plan = json.loads((workdir / "plan.json").read_text())
    for name in ("frontier", "policies", "looked_at", "payback", "weights", "tolerance"):
        del plan[name]
    (workdir / "plan.json").write_text(json.dumps(plan))
    read = Page(write_report(workdir, tmp_path / "report.html").read_text())
    assert "chart-frontier-data" not in read.charts
    assert "chart-plan-data" in read.charts
    assert "One mix at every budget" not in read.text


def test_a_plan_of_free_weights_is_drawn(workdir: Path, tmp_path: Path) -> None:
    plan = planted_plan(weights="continuous")
    save_plan(workdir / "plan.json", plan)
    read = Page(write_report(workdir, tmp_path / "report.html").read_text())
    assert plan.budgets[-1].best in read.text
    assert FREE_WEIGHTS in read.text


def test_a_ledger_of_many_runs_is_shown_in_part(workdir: Path, tmp_path: Path) -> None:
    line = (workdir / "runs.jsonl").read_text().splitlines()[0]
    with (workdir / "runs.jsonl").open("a") as file:
        file.writelines(json.dumps(json.loads(line) | {"seed": seed}) + "\n" for seed in range(100, 600))
    page = write_report(workdir, tmp_path / "report.html").read_text()
    assert "The first 400 of 542 measured points" in Page(page).text
