"""Help, hints for typing errors, completion and colours."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer.main

from lstm_tune.cli.app import app
from lstm_tune.cli.console import make_console
from lstm_tune.cli.help import EXAMPLES, PANEL_OF
from lstm_tune.data.examples import examples
from lstm_tune.data.load import load_series
from lstm_tune.data.windows import Windows
from lstm_tune.evaluation.given_forecasts import read_given

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "spaces"])
def test_help_fits_80_columns_and_ends_with_examples(
    name: str, command_line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    status, out, err = command_line(name, "--help")
    assert (status, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    if name != "examples":
        assert f"Examples:\n  lstm-tune {name} " in out


def test_options_of_tune_stand_in_panels(command_line: Any) -> None:
    _, out, _ = command_line("tune", "--help")
    headings = [line for line in out.splitlines() if line.endswith(":") and not line.startswith(" ")]
    panels = ["Data:", "Split:", "Search:", "Time and machines:", "Output:"]
    assert headings == ["Arguments:", *panels, "Options:", "FILE of --against:", "Examples:"]
    names = {p.name for p in COMMANDS["tune"].params} - {"data"}
    assert names - set(PANEL_OF) == {"config", "calendar"} - set(PANEL_OF)
    every = {p.name for command in COMMANDS.values() for p in command.params}
    assert set(PANEL_OF) <= every
    assert out.index("Data:") < out.index("--horizon") < out.index("Split:") < out.index("--folds")


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_examples_use_options_that_exist(line: str) -> None:
    _, name, *words = shlex.split(line)
    known = {word for p in COMMANDS[name].params for word in (*p.opts, *p.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= known
    assert set(EXAMPLES) == set(COMMANDS) - {"spaces", "examples"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("tune", "x", "--horizn", "3"),
            "there is no option --horizn; did you mean --horizon? See lstm-tune tune --help",
        ),
        (("tune", "x", "--horizn=3"), "there is no option --horizn; did you mean --horizon? See lstm-tune tune --help"),
        (("predict", "x", "--qqq"), "there is no option --qqq; see lstm-tune predict --help"),
        (("tun",), "no such command 'tun'. Did you mean 'tune'? See lstm-tune --help"),
        (("tune",), "missing argument 'DATA'; see lstm-tune tune --help"),
        (("tune", "example:sunspot"), "unknown example 'sunspot'; did you mean sunspots?; known: "),
    ],
)
def test_typing_errors_are_one_line_with_a_hint(words: tuple[str, ...], said: str, command_line: Any) -> None:
    status, out, err = command_line(*words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"lstm-tune: {said}")


def test_examples_are_listed(command_line: Any) -> None:
    status, out, _ = command_line("examples")
    assert status == 0
    first = [line.split()[0] for line in out.splitlines() if line[0] != " "]  # a description may take two lines
    assert first == [f"example:{name}" for name in examples()]


@pytest.mark.parametrize(
    ("words", "index", "completed"),
    [
        ("lstm-tune tu", 1, {"tune"}),
        ("lstm-tune tune x --hor", 3, {"--horizon"}),
        ("lstm-tune tune x --space de", 4, {"default"}),
        ("lstm-tune tune x --sampler ", 4, {"tpe", "random", "gp", "cmaes", "grid"}),
        ("lstm-tune spaces show q", 3, {"quick"}),
    ],
)
def test_shell_completes_commands_options_and_words(
    words: str, index: int, completed: set[str], command_line: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_LSTM_TUNE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(index))
    status, out, _ = command_line()
    assert (status, set(out.split())) == (0, completed)


def test_no_color_leaves_a_terminal_without_colours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a terminal
    monkeypatch.setenv("TERM", "xterm")
    green = "\x1b[32m"
    for colours in (True, False):
        make_console().print("text", style="green")
        assert (green in capsys.readouterr().out) is colours
        monkeypatch.setenv("NO_COLOR", "1")


@pytest.mark.parametrize("name", ["tune", "evaluate"])
def test_help_shows_a_file_of_forecasts_that_can_be_read(name: str, command_line: Any, tmp_path: Path) -> None:
    _, out, _ = command_line(name, "--help")
    lines = out.split("FILE of --against:\n")[1].splitlines()[:3]
    (tmp_path / "given.csv").write_text("\n".join(line.strip() for line in lines))
    data = load_series(
        pd.DataFrame({"time": pd.date_range("2023-12-01", periods=40), "series": "shop1", "y": range(40)}),
        target="y",
        id="series",
    )
    windows = Windows(data, 2)
    given = read_given(tmp_path / "given.csv", windows, windows.positions(((31, 33),), 0, reach_back=True))
    assert given.complete
    assert given.values["nhits"].flatten().tolist() == pytest.approx([19.7 - data.origin[0], 20.9 - data.origin[0]])


@pytest.mark.parametrize(("columns", "width"), [("70", 70), ("", 120), ("0", 120), ("wide", 120)])
def test_tables_in_a_pipe_follow_columns(columns: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert make_console().width == width
