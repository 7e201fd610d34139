import numpy as np
import pytest

from tests.planning.runs.importers.made import table
from thresher.errors import InputError
from thresher.planning.runs.importers.mixture_logs import read_mixture_log
from thresher.planning.runs.importers.mixtures import read_mixtures, shares_in_name
from thresher.planning.runs.mixture_table import stacked

ONE_FILE = (
    "group,proportion_domain_1,proportion_domain_2,loss_domain_1,loss_domain_2",
    "70M,0.5,0.5,2.5,3.5",
    "1.5B,0.25,0.75,2.6,3.1",
)
SHARES = ("index,train_wiki,train_books", "1,0.5,0.5", "2,0.25,0.75", "3,1,")
LOSSES = (
    "index,metric/wiki_val_loss,metric/books_val_loss,metric/code_val_loss",
    "2,3.0,2.9,4.1",
    "1,2.8,3.2,4.0",
    "3,2.7,3.9,4.4",
)


def pair(folder, shares=SHARES, losses=LOSSES):
    return [table(folder / "shares.csv", *shares), table(folder / "losses.csv", *losses)]


def test_one_file_with_sizes(tmp_path):
    found = read_mixtures([table(tmp_path / "t.csv", *ONE_FILE)])
    assert found.domains == found.metrics == ("domain_1", "domain_2")
    assert found.sizes.tolist() == [70e6, 1.5e9]
    assert found.covariates == pytest.approx(np.log([[70e6], [1.5e9]]))
    assert found.shares.tolist() == [[0.5, 0.5], [0.25, 0.75]]
    assert found.losses.tolist() == [[2.5, 3.5], [2.6, 3.1]]
    assert found.runs == ("row 2", "row 3")


def test_two_files_are_joined_by_their_index_in_the_order_of_the_shares(tmp_path):
    found = read_mixtures(pair(tmp_path), size="1M")
    assert (found.domains, found.metrics) == (("wiki", "books"), ("wiki", "books", "code"))
    assert found.runs == ("1", "2", "3")
    assert found.losses[:, 2].tolist() == [4.0, 4.1, 4.4]
    assert found.shares[2].tolist() == [1, 0]
    assert found.sizes.tolist() == [1e6] * 3
    assert found.covariates is None
    assert not found.notes


def test_columns_without_prefixes_are_shares_in_the_first_file_and_losses_in_the_second(tmp_path):
    files = pair(
        tmp_path,
        ("run,name,index,web,code:python", "a,x,0,0.75,0.25", "b,y,1,0.5,0.5"),
        ("run,name,index,arc_easy,gsm", "b,y,0,1.2,0.8", "a,x,1,1.1,0.9"),
    )
    found = read_mixtures(files, key="run")
    assert (found.domains, found.metrics) == (("web", "code:python"), ("arc_easy", "gsm"))
    assert found.runs == ("a", "b")
    assert found.losses.tolist() == [[1.1, 0.9], [1.2, 0.8]]


def test_runs_of_one_file_alone_are_left_out_and_named(tmp_path):
    found = read_mixtures(pair(tmp_path, losses=LOSSES[:-1]))
    assert found.runs == ("1", "2")
    assert found.notes == ("shares.csv: 1 runs stand in this file alone and were left out, such as '3'",)


def test_shares_are_read_from_names_where_no_column_holds_them(tmp_path):
    found = read_mixtures(
        [table(tmp_path / "t.csv", "run,loss_a", "mix_1-0.5-0.25-0.25,2.0", "mix_12-0-1-0,3.0")]
    )
    assert found.domains == ("domain 1", "domain 2", "domain 3")
    assert found.shares.tolist() == [[0.5, 0.25, 0.25], [0, 1, 0]]


@pytest.mark.parametrize(
    ("name", "shares"),
    [
        ("pythia_7-0.125-0.875", (0.125, 0.875)),
        ("1-0.5-0.5", (0.5, 0.5)),
        ("lr0.1_0.5_0.5", (0.5, 0.5)),
        ("web:0.9,code:0.1", (0.9, 0.1)),
        ("mix-.5-.5", (0.5, 0.5)),
        ("mix-0.5-0.4", None),
        ("70M-run-3", None),
        ("", None),
    ],
)
def test_a_name_holds_shares_only_where_they_sum_to_one(name, shares):
    found = shares_in_name(name)
    assert (None if found is None else found[1]) == shares


def test_tables_of_several_sizes_are_stacked_by_name(tmp_path):
    small = read_mixtures(pair(tmp_path), size="1M")
    other = ("index,train_books,train_wiki", "1,0.25,0.75")
    large = read_mixtures(pair(tmp_path, other), size="60M")
    both = stacked([small, large])
    assert both.sizes.tolist() == [1e6, 1e6, 1e6, 60e6]
    assert both.shares[3].tolist() == [0.75, 0.25]
    with pytest.raises(InputError, match="only some of the tables tell the size"):
        stacked([small, read_mixtures(pair(tmp_path))])
    third = read_mixtures(pair(tmp_path, ("index,train_wiki,train_law", "1,0.25,0.75")), size="1B")
    with pytest.raises(InputError, match="the domain 'books'"):
        stacked([small, third])


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("run,loss", "a,2"), "row 2: no columns of shares, and run 'a' has none in its name"),
        (("train_a,train_b", "0.5,0.5"), "row 1: no column of losses"),
        (("train_a,train_b,loss_a", "0.5,0.4,2"), "row 2: shares sum to 0.9, not 1"),
        (("train_a,train_b,loss_a", "50,50,2"), "write fractions, not per cent"),
        (("train_a,train_b,loss_a", "1.5,-0.5,2"), "row 2: 'train_b' is below 0"),
        (("train_a,train_b,loss_a", "0.5,half,2"), "row 2: 'train_b' is 'half'"),
        (("train_a,train_b,loss_a", "0.5,0.5,"), "row 2: 'loss_a' is empty"),
        (("train_a,train_b,loss_a", "0.5,0.5,nan"), "row 2: 'loss_a' is 'nan'"),
        (("train_a,train_b,loss_a", "0.5,0.5,0"), "row 2: 'loss_a' is 0"),
        (("train_a,train_b,loss_a",), "holds no rows"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_by_file_and_row(tmp_path, lines, said):
    with pytest.raises(InputError, match=said):
        read_mixtures([table(tmp_path / "t.csv", *lines)])


@pytest.mark.parametrize(
    ("shares", "losses", "key", "said"),
    [
        (SHARES, ("id,loss", "1,2"), None, "share no column among"),
        (SHARES, LOSSES, "run", "shares.csv, row 1: no column 'run'"),
        (SHARES, ("index,loss", "9,2"), None, "have no 'index' in common"),
        ((*SHARES, "1,0.5,0.5"), LOSSES, None, "row 5: index '1' stands already in row 2"),
        ((*SHARES, " ,0.5,0.5"), LOSSES, None, "row 5: 'index' is empty"),
    ],
)
def test_files_that_cannot_be_joined_are_refused(tmp_path, shares, losses, key, said):
    with pytest.raises(InputError, match=said):
        read_mixtures(pair(tmp_path, shares, losses), key=key)


def test_a_missing_file_and_a_third_one_are_refused(tmp_path):
    with pytest.raises(InputError, match="there is no table at"):
        read_mixtures([tmp_path / "none.csv"])
    with pytest.raises(InputError, match="3 files were named"):
        read_mixtures([tmp_path] * 3)


LOG = (
    "runs/mix_1-0.5-0.5/100/ valid/web.jsonl 3.5",
    "runs/mix_1-0.5-0.5/200 valid/web.jsonl 3.0",
    "runs/mix_1-0.5-0.5/200 valid/code.jsonl 2.0",
    "runs/mix_2-0.25-0.75/200 valid/code.jsonl 1.8",
    "runs/mix_2-0.25-0.75/200 valid/web.jsonl 3.2",
    "runs/mix_2-0.25-0.75/300 valid/web.jsonl 3.1",
)


def test_a_log_gives_the_last_step_that_all_runs_have(tmp_path):
    found = read_mixture_log(table(tmp_path / "70M.txt", *LOG), size="70M")
    assert found.runs == ("mix_1-0.5-0.5", "mix_2-0.25-0.75")
    assert found.metrics == ("code", "web")
    assert found.losses.tolist() == [[2.0, 3.0], [1.8, 3.2]]
    assert found.shares.tolist() == [[0.5, 0.5], [0.25, 0.75]]


@pytest.mark.parametrize(
    ("lines", "step", "said"),
    [
        (LOG, 100, "run 'mix_1-0.5-0.5' has no loss of 'code' at step 100"),
        ((*LOG, "runs/mix/200 a.b 1"), None, "name of run 'mix' holds no shares"),
        ((*LOG, "a line of another kind"), None, "row 7: 'a line of another kind' is not of the form"),
        ((*LOG, f"runs/mix-0.5-0.5/{'9' * 5000} web 1"), None, "row 7: .* is not of the form"),
        ((*LOG, "runs/mix_1-0.5-0.5/200 web.jsonl 9"), None, "row 7: run 'mix_1-0.5-0.5' has two losses"),
        ((LOG[0], LOG[4]), None, "no step is common to all runs"),
        ((), None, "is empty"),
    ],
)
def test_a_log_that_cannot_be_read_is_refused(tmp_path, lines, step, said):
    with pytest.raises(InputError, match=said):
        read_mixture_log(table(tmp_path / "log.txt", *lines), step=step)
