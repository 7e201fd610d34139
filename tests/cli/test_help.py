import shlex
import subprocess
import sys
from typing import Any

import pytest
import typer

import thresher
from tests.cli.conftest import Call
from thresher.cli import COMMANDS, app, main
from thresher.cli.guard import manual
from thresher.curate.subset.write import FORMATS
from thresher.models.evaluation.settings import ERRORS, Evaluate
from thresher.planning.laws.registry import LAWS
from thresher.scores.registry import SCORERS
from thresher.selection.choices import CRITERIA, LOSSES, METHODS
from thresher.train.settings import Probe, Train

HEAVY = ("numpy", "pyarrow", "scipy", "plotly", "rich.progress", "torch", "open_clip")


def click_command(name: str) -> Any:
    return typer.main.get_command(app).commands[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_every_command_is_explained(call: Call, name: str) -> None:
    page = call(name, "--help")
    assert page.exit_code == 0
    assert page.stdout.startswith(f"Usage: thresher {name}")
    for option in click_command(name).params:
        assert option.help, option.name
        assert option.metavar or option.is_flag, f"{option.name} has no unit"
        shown = option.metavar if option.param_type_name == "argument" else option.opts[0]
        assert f" {shown}" in page.stdout
        assert " ".join(option.help.split())[:30] in " ".join(page.stdout.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_a_page_are_calls_that_parse(name: str) -> None:
    page = click_command(name).help
    examples = [line.strip() for line in page.partition("Examples:\n")[2].splitlines()]
    assert len(examples) >= 2
    for example in examples:
        words = shlex.split(example)
        words = words[words.index(name) + 1 :]
        click_command(name).make_context(name, words)


def test_the_overview_names_every_command_in_a_whole_sentence(call: Call) -> None:
    page = call("--help").stdout
    for name in COMMANDS:
        summary = click_command(name).help.partition("\n")[0]
        assert f"  {name} " in page
        assert summary in page, "the summary is cut off at 80 columns; shorten it"


def test_the_pages_name_what_there_is_to_choose_from(call: Call) -> None:
    page = " ".join(call("fit", "--help").stdout.split()).replace("- ", "-")
    assert all(law in page for law in ("auto", *LAWS))
    assert all(name in call("subset", "--help").stdout for name in FORMATS)
    assert all(name in call("score", "--help").stdout for name in SCORERS)
    assert all(name in call("probe", "--help").stdout for name in ERRORS)


def test_the_defaults_that_the_page_of_probe_states_are_those_of_a_config(call: Call) -> None:
    page = " ".join(call("probe", "--help").stdout.split())
    probe = Probe()
    assert f"[default: {probe.model}]" in page
    assert f"[default: {probe.scale:g}]" in page
    assert f"[default: {probe.seeds[0]}]" in page
    assert f"[default: {Evaluate.model_fields['label_key'].default}]" in page
    assert f"[default: {Evaluate.model_fields['templates'].default[0]}]" in page


def test_the_page_of_train_says_the_choices_and_defaults_of_a_config(call: Call) -> None:
    page = " ".join(call("train", "--help").stdout.partition("Options:")[2].split()).replace("- ", "-")
    assert all(name in page for name in (*METHODS, *CRITERIA, *LOSSES, "rho"))
    for key in ("select", "criterion", "filter_ratio", "chunks", "gain", "flexi", "low_share", "loss"):
        option = page.partition(f" --{key.replace('_', '-')} ")[2].partition(" --")[0]
        assert f"[default: {Train.model_fields[key].default}]" in option


def test_version(call: Call) -> None:
    assert call("--version").stdout == f"thresher {thresher.__version__}\n"


def test_without_a_command_the_overview_is_shown(call: Call) -> None:
    assert "Commands:" in call().output


def test_an_unknown_option_is_answered_by_the_usage(call: Call) -> None:
    done = call("cut", "scores", "--edge", "0.1")
    assert done.exit_code == 2
    assert "--edges" in done.stderr


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from thresher.cli import main\n"
        "try: main(['score', '--help'])\n"
        f"finally: sys.stderr.write(str([name for name in {HEAVY} if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "[]")


def test_no_command_is_loaded_before_it_is_called() -> None:
    code = (
        "import sys, thresher.cli\n"
        "print([name for name in ('pydantic', 'thresher.cli.train') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n")


def test_a_module_can_be_started_in_place_of_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "thresher.cli", "--version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"thresher {thresher.__version__}\n")


def test_main_leaves_with_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["plan", "absent.json", "--budget", "1", "--out", "plan.json"])
    assert left.value.code == 2
    assert capsys.readouterr().err.startswith("thresher: ")


def test_a_page_keeps_indented_lines_and_wraps_the_others() -> None:
    def walk() -> None:
        """Walk.

        Far and
        wide.

        Examples:
            walk away
        """

    assert manual(walk) == "Walk.\n\nFar and\nwide.\n\n\b\nExamples:\n    walk away"
