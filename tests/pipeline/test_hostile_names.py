"""Names that hold anything: on the terminal, in spreadsheets, in Markdown, in folders; alone and in a real study."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from series import daily, wave

from lstm_tune.cli.progress import LiveProgress, PlainProgress
from lstm_tune.report.run_folder import clean_name, run_name
from lstm_tune.utils.escaping import cell, markdown, printable, shell

pytestmark = pytest.mark.usefixtures("short_epochs")

FORMULAS = (
    "=cmd()|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1+1",
    "\r=1+1",
    "  =1+1",
    "＝1+1",
    "a;=cmd()",
    "a\n=cmd()",
)
NASTY = (
    *FORMULAS,
    "two words",
    'it\'s "quoted"',
    "../../../etc/passwd",
    "..",
    "/",
    "C:\\x",
    "a\nb",
    "\x1b[2J\x1b[31mred",
    "\x9b31m",
    "\u202egnp.exe",
    "[red]markup[/red]",
    "[/]",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "$(touch pwned)",
    "{{7*7}}",
    "日本 🦀",
    "x" * 10_000,
)


# ---- one name


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_terminal_gets_visible_characters_on_one_line(text: str) -> None:
    assert printable(text).isprintable()
    assert len(printable(text, 60)) <= 60
    assert printable("plain, with é and 日本") == "plain, with é and 日本"


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_begins_a_formula(text: str) -> None:
    for separator in "\n;|":
        for part in cell(text).split(separator):
            assert not part.lstrip(" \t\r").startswith(("=", "+", "-", "@", "＝")), part


@pytest.mark.parametrize(
    "text", ["-5", "+5", "-1.5e-3", "-inf", "nan", "7", "shop 1", "a - b", "a=b", "", "x@y", "5-3"]
)
def test_numbers_and_harmless_text_stay_as_they_are_in_cells(text: str) -> None:
    assert cell(text) == text


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_shell_reads_back_what_was_printed(text: str) -> None:
    word = shell(text)
    assert word.isprintable()
    done = subprocess.run(
        ["bash", "-c", f"printf %s {word}"], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8", "PATH": "/bin"}
    )
    if "\x9b" not in text:  # bash reads it as a byte
        assert done.stdout.decode() == text


@given(st.text())
@settings(max_examples=200, derandomize=True, deadline=None)
def test_any_text_is_taken_everywhere(text: str) -> None:
    printable(text).encode()
    cell(text).encode()
    assert "\n" not in markdown(text)
    assert not {"<", ">"} & set(markdown(text))
    assert clean_name(text)
    assert Path("runs", clean_name(text)).parent == Path("runs")
    assert Path("runs", clean_name(text)).name not in ("", ".", "..")


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_folder_of_a_run_stays_in_runs(text: str) -> None:
    for name in (clean_name(text), run_name(text, [text], 3), run_name(f"example:{text}", [text], 3)):
        assert 0 < len(name) <= 80
        assert name.strip("._") == name
        assert not set(name) & set("/\\ \n$'\"<>")


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_displays_print_notes_without_acting_on_them(text: str) -> None:
    out = io.StringIO()
    PlainProgress(out).info(f"column {text}")
    LiveProgress(Console(file=out, force_terminal=False, width=20_000)).info(f"column {text}")
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
    assert lines[1] == f"· {lines[0]}"


# ---- a study of such names

SPACE = "lookback = 8\nhidden_units = 4\ndropout = 0.0\nepochs = 1\npatience = 1\n"
SERIES = tuple(name for name in NASTY if len(name) < 100)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command_line: Any) -> Any:
    """Run the command line in this process, two folders deep; return (status, stdout, stderr)."""
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    Path("space.toml").write_text(SPACE)

    return command_line


TUNE = ("--space", "space.toml", "--trials", "1", "--retrain-seeds", "1", "--folds", "1")


def made(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_study_of_many_series_with_such_names(run: Any, tmp_path: Path) -> None:
    long = pd.concat([daily(wave(60, seed=i)).assign(shop=name) for i, name in enumerate(SERIES)])
    long.to_csv("data.csv", index=False, quoting=csv.QUOTE_ALL)
    status, out, err = run("tune", "data.csv", "--target", "y", "--id", "shop", "--out", "run", *TUNE)
    assert status == 0, err
    assert "\x1b" not in out + err
    with open("run/forecast.csv", encoding="utf-8", newline="") as file:
        series = {row["series"] for row in csv.DictReader(file)}
    assert series == {cell(name.strip()) if name.strip() in SERIES else cell(name) for name in SERIES}
    status, out, err = run("predict", "run", "data.csv")
    assert status == 0, err
    assert {row["series"] for row in csv.DictReader(io.StringIO(out, newline=""))} == series
    assert made(tmp_path / "a") - {"b/run/advice.toml"} == {  # which is there if a finding advises a space
        *("b/data.csv", "b/space.toml"),
        *(f"b/run/{n}" for n in ("result.json", "report.json", "report.html", "run.toml", "series.csv")),
        *(f"b/run/{n}" for n in ("trials.csv", "forecast.csv", "study.journal")),
        *(f"b/run/model/{n}" for n in ("config.json", "weights.safetensors", "manifest.json")),
    }


def test_study_of_columns_with_such_names(run: Any, tmp_path: Path) -> None:
    names = sorted({name.strip() for name in (*FORMULAS[:4], *NASTY[-9:])})
    frame = pd.DataFrame({name: wave(60, seed=i) for i, name in enumerate(names)})
    frame.to_csv("data.csv", index=False, quoting=csv.QUOTE_ALL)
    status, out, err = run("tune", "data.csv", *(f"--target={name}" for name in names), *TUNE, "--out", "run")
    assert status == 0, err
    assert "\x1b" not in out + err
    record = json.loads(Path("run/result.json").read_text(encoding="utf-8"))
    assert record["data"]["target"] == names
    assert run("predict", "run", "data.csv", "--out", "ahead.csv")[0] == 0
    with open("ahead.csv", encoding="utf-8", newline="") as file:
        header = next(csv.reader(file))
    assert header == ["time", "step", *(cell(name) for name in names)]


@pytest.mark.parametrize(
    "name",
    [
        FORMULAS[0],
        "..",
        "../../../etc/passwd",
        "a\nb",
        "\x1b[2J\x1b[31mred",
        "[/red]<script>alert(1)</script>",
        "x" * 10_000,
    ],
    ids=range(7),
)
def test_study_target_and_file_of_such_a_name(run: Any, name: str, tmp_path: Path) -> None:
    file = f"{name[:100].replace('/', '_')}.csv"
    pd.DataFrame({name: np.round(wave(60), 3)}).to_csv(file, index=False, quoting=csv.QUOTE_ALL)
    status, out, err = run("tune", f"./{file}", "--study", name, "--target", name, *TUNE)
    assert status == 0, err
    assert all(line.isprintable() for line in (out + err).splitlines())
    assert "Traceback" not in err
    assert [f.name for f in Path("runs").iterdir()] == [clean_name(name)]
    assert {path.split("/")[1] for path in made(tmp_path / "a")} == {file, "space.toml", "runs"}
    status, out, err = run("tune", f"./{file}", "--target", f"no {name}")
    assert status == 2
    assert len(err.splitlines()) == 1
    assert err.strip().isprintable()
