"""`OPTUNA_STORAGE` names the storage for every command and function that takes one and is given none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from series import TINY, daily, wave

import lstm_tune
from lstm_tune.cli import tune_command
from lstm_tune.dashboard import server
from lstm_tune.errors import UsageError
from lstm_tune.sklearn import LSTMTuneRegressor
from lstm_tune.storage.open import open_storage

SPACE = TINY | {"epochs": 1, "lookback": 2}
SHORT: dict[str, Any] = {"space": SPACE, "n_trials": 1, "retrain_seeds": 1, "folds": 1}


@pytest.fixture(autouse=True)
def named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.chdir(tmp_path)
    named = str(tmp_path / "named.journal")
    monkeypatch.setenv("OPTUNA_STORAGE", named)
    return named


def test_tune_uses_it_unless_the_command_line_or_a_run_file_names_another(
    command_line: Any, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    seen = []
    monkeypatch.setattr(tune_command, "_run", lambda data, options, *rest, **more: seen.append(options.storage))
    Path("job.toml").write_text("storage = 'file.journal'\n")
    for words in ((), ("--config", "job.toml"), ("--storage", "own.journal"), ("--storage", "")):
        assert command_line("tune", "data.csv", *words)[0] == 0
    monkeypatch.setenv("OPTUNA_STORAGE", "")
    command_line("tune", "data.csv")
    assert seen == [named, "file.journal", "own.journal", "", None]


def test_a_study_in_python_is_kept_there_and_an_estimator_is_not(named: str) -> None:
    LSTMTuneRegressor(**SHORT).fit(np.empty((60, 0)), wave(60))
    assert not Path(named).exists()
    lstm_tune.tune(daily(wave(60)), target="y", study_name="there", **SHORT)
    assert optuna.get_all_study_names(open_storage(named)) == ["there"]


def test_worker_uses_it_and_says_if_there_is_none(command_line: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = daily(wave(60))
    frame.to_csv("data.csv", index=False)
    monkeypatch.setenv("OPTUNA_STORAGE", "sqlite:///s.db")
    with pytest.raises(UsageError, match="SQLite can hand one trial to two workers"):
        lstm_tune.worker("s", frame)
    assert "SQLite can hand" in command_line("worker", "s", "data.csv")[2]
    monkeypatch.delenv("OPTUNA_STORAGE")
    with pytest.raises(UsageError, match="storage is missing"):
        lstm_tune.worker("s", frame)
    status, _, err = command_line("worker", "s", "data.csv")
    assert (status, err.count("\n")) == (2, 1)
    assert "storage is missing" in err


def test_dashboard_opens_it_and_a_run_folder_whose_password_it_knows(
    command_line: Any, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(server, "serve", lambda source, **options: opened.append(source))
    assert command_line("dashboard")[0] == 0
    assert command_line("dashboard", "runs/x")[0] == 0
    assert opened == [named, "runs/x"]
    monkeypatch.delenv("OPTUNA_STORAGE")
    status, _, err = command_line("dashboard")
    assert status == 2
    assert "RUN|STORAGE" in err

    url = "postgresql://me:pass@host/db"
    Path("result.json").write_text('{"schema": 1, "study": {"storage": "postgresql://me:***@host/db"}}')
    monkeypatch.setenv("OPTUNA_STORAGE", url)
    assert server.find_study(".") == (url, None)
