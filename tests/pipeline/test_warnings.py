"""What was repaired or assumed is never silent: a warning in Python, a line on stderr from every command."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from series import TINY, daily, wave

import lstm_tune
from lstm_tune.errors import LstmTuneWarning
from lstm_tune.search.progress import Silent

pytestmark = pytest.mark.usefixtures("short_epochs")

TINIEST = TINY | {"epochs": 1}
OPTIONS: dict[str, Any] = {"target": "y", "space": TINIEST, "n_trials": 1, "retrain_seeds": 1, "folds": 1}


def shuffled() -> pd.DataFrame:
    """Rows that are out of order: they are sorted, and a warning says so."""
    return daily(wave()).sample(frac=1, random_state=0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, short_epochs: None) -> Path:
    folder = tmp_path_factory.mktemp("run")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lstm_tune.tune(shuffled(), **OPTIONS, out=folder / "run")
    shuffled().to_csv(folder / "data.csv", index=False)
    return folder / "run"


@pytest.mark.parametrize(
    "call",
    [
        lambda run: lstm_tune.tune(shuffled(), **OPTIONS),
        lambda run: lstm_tune.diagnose(shuffled(), target="y"),
        lambda run: lstm_tune.load(run).predict(shuffled()),
        lambda run: lstm_tune.load(run).evaluate(shuffled()),
        lambda run: lstm_tune.Objective(shuffled(), TINIEST, target="y", folds=1),
    ],
    ids=["tune", "diagnose", "predict", "evaluate", "Objective"],
)
def test_python_warns_once_of_what_was_repaired_at_the_callers_line(run: Path, call: Callable[[Path], Any]) -> None:
    with pytest.warns(LstmTuneWarning, match="sorted") as caught:
        call(run)
    of_repairs = [warning for warning in caught if "sorted" in str(warning.message)]
    assert len(of_repairs) == 1
    assert of_repairs[0].filename == __file__


def test_data_that_need_no_repair_warn_of_nothing(run: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lstm_tune.diagnose(daily(wave()), target="y")
        lstm_tune.load(run).predict(daily(wave()))


def test_progress_is_reported_instead_of_a_warning() -> None:
    class Told(Silent):
        def __init__(self) -> None:
            self.texts: list[str] = []

        def assumed(self, text: str) -> None:
            self.texts.append(text)

    told = Told()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lstm_tune.tune(shuffled(), **OPTIONS, progress=told)
    assert any("sorted" in text for text in told.texts)


@pytest.mark.parametrize(
    "words",
    [
        ("diagnose", "data.csv", "--target", "y"),
        ("diagnose", "data.csv", "--target", "y", "--json"),
        ("predict", "run", "data.csv"),
        ("evaluate", "run", "data.csv"),
        ("evaluate", "run", "data.csv", "--json"),
        ("tune", "data.csv", "--target", "y", "--trials", "1", "--folds", "1", "--retrain-seeds", "1", "--out", "a"),
        ("tune", "data.csv", "--target", "y", "--trials", "1", "--folds", "1", "--json", "--out", "b"),
    ],
    ids=" ".join,
)
def test_every_command_says_on_stderr_what_was_repaired(
    run: Path, words: tuple[str, ...], command_line: Callable[..., tuple[int, str, str]], monkeypatch: Any
) -> None:
    monkeypatch.chdir(run.parent)
    (run.parent / "s.toml").write_text("lookback = 4\nhidden_units = 4\nepochs = 1\n")
    status, out, err = command_line(*words, *(("--space", "s.toml") if words[0] == "tune" else ()))
    assert status == 0, err
    assert err.count("sorted") == 1
    assert "sorted" not in out or words[0] != "predict"
    assert "LstmTuneWarning" not in err


def test_quiet_tune_prints_no_note(
    run: Path, command_line: Callable[..., tuple[int, str, str]], monkeypatch: Any
) -> None:
    monkeypatch.chdir(run.parent)
    (run.parent / "s.toml").write_text("lookback = 4\nhidden_units = 4\nepochs = 1\n")
    options = ("--target", "y", "--space", "s.toml", "--trials", "1", "--folds", "1", "--retrain-seeds", "1", "--quiet")
    assert command_line("tune", "data.csv", *options, "--out", "c") == (0, "", "")
