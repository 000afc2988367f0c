"""What each input of a run is worth: a covariate that makes the target, and one that says nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from series import daily

import lstm_tune
from lstm_tune.errors import DataError, LstmTuneWarning, RunError, UsageError
from lstm_tune.pipeline import saved_run

pytestmark = pytest.mark.usefixtures("short_epochs")

SPACE: dict[str, Any] = {
    "hidden_units": 4,
    "dropout": 0.0,
    "batch_size": 32,
    "learning_rate": 0.03,
    "epochs": 8,
    "lookback": 4,
    "weight_decay": 0.01,
}
FIELDS = ("importance", "stdev", "p_value", "n", "p99_low", "p99_high")
TEST_FROM = 300


def table(test_seed: int = 0) -> pd.DataFrame:
    """A target that is made of `useful` of the same row; `useless` hardly varies before its last rows."""
    rng = np.random.default_rng(7)
    useful, noise = rng.normal(size=360), 0.2 * rng.normal(size=360)
    frame = daily(5 + useful + noise, useful=useful, useless=np.full(360, 3.0))
    frame.loc[TEST_FROM:, ["y", "useful", "useless"]] += np.random.default_rng(test_seed).normal(size=(60, 3))
    return frame


def tuned(folder: Path, frame: pd.DataFrame) -> Path:
    path = folder / "data.csv"
    frame.to_csv(path, index=False)
    options = {"future": ["useful"], "past": ["useless"], "split": (240, 60, 60), "folds": 2, "n_trials": 1}
    lstm_tune.tune(path, target="y", space=SPACE, retrain_seeds=1, sampler="random", out=folder / "run", **options)
    return folder / "run"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tuned(tmp_path_factory.mktemp("inputs"), table())


def by_name(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["input"]: row for row in record["inputs"]}


def test_command_shows_which_covariate_makes_the_target_and_which_says_nothing(
    run: Path, command_line: Callable[..., tuple[int, str, str]]
) -> None:
    status, out, _ = command_line("explain", str(run), "--inputs")
    assert status == 0
    assert "Measured on 2 validation blocks" in out
    record = json.loads((run / "inputs.json").read_text())
    found = by_name(record)
    assert list(found)[:2] == ["useful", "useless"]
    assert found["useful"]["importance"] > 1
    assert found["useful"]["p99_low"] > 0
    assert abs(found["useless"]["importance"]) < 0.01
    (finding,) = record["findings"]
    assert finding["code"] == "useless_covariates"
    assert list(finding["evidence"]["covariates"]) == ["useless"]
    assert "USELESS_COVARIATES" in out.upper()
    page = (run / "report.html").read_text()
    assert 'data-figure="inputs"' in page
    assert "forecasts as well without useless" in page
    status, out, _ = command_line("explain", str(run), "--inputs", "--json")
    again = json.loads(out)
    assert again | {"seconds": 0} == record | {"seconds": 0}


@pytest.mark.laws
def test_other_test_rows_change_no_importance(run: Path, tmp_path: Path) -> None:
    first, other = (saved_run.inputs(r) for r in (run, tuned(tmp_path, table(test_seed=5))))
    assert first["inputs"] == other["inputs"]


def test_a_model_is_measured_on_rows_that_it_is_given(run: Path) -> None:
    model, frame = lstm_tune.load(run), table()
    with pytest.warns(LstmTuneWarning, match="lie in rows that the model was trained on"):
        model.feature_importance(frame)
    found = model.feature_importance(frame.iloc[TEST_FROM - 4 :])
    assert tuple(found.columns) == FIELDS
    assert found.loc["useful", "importance"] > 0.2
    assert found.index.name == "input"


def test_what_cannot_be_measured_is_refused_in_one_line(run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="give it more rows"):
        lstm_tune.load(run).feature_importance(table().iloc[:4])
    with pytest.raises(UsageError, match="timeout must be above 0"):
        saved_run.inputs(run, timeout=-1.0)
    with pytest.raises(RunError):
        saved_run.inputs(tmp_path)
    other = tmp_path / "other.csv"
    table(3).to_csv(other, index=False)
    with pytest.raises(UsageError, match="does not hold the data"):
        saved_run.inputs(run, data=other)
