"""A zero that a logarithm has not seen costs neither the result nor the forecast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from series import TINY, daily
from studies import Watching

from lstm_tune import load, tune

pytestmark = pytest.mark.usefixtures("short_epochs")
LOG = TINY | {"transform": "log", "difference": "seasonal", "window_norm": "last", "skip": "linear"}
BOTH = LOG | {"transform": ["none", "log"]}


def sales(rows: int = 300) -> np.ndarray:
    """A positive week with growth and noise; validation rows are 210 to 239."""
    rng = np.random.default_rng(0)
    t = np.arange(rows)
    return np.exp(2 + 0.002 * t + np.sin(2 * np.pi * t / 7) + 0.1 * rng.normal(size=rows))


def with_zero(row: int) -> np.ndarray:
    y = sales()
    y[row] = 0.0
    return y


def test_trials_that_a_zero_in_the_validation_rows_bars_from_the_retrain_are_left_out_and_reported(
    tmp_path: Path,
) -> None:
    progress = Watching()
    result = tune(daily(with_zero(239)), space=BOTH, n_trials=4, progress=progress, out=tmp_path / "run")
    by_number = {t.number: t.params["transform"] for t in result.study.trials}
    assert set(by_number.values()) == {"none", "log"}
    assert {by_number[m["trial"]] for m in result.record["ensemble"]} == {"none"}
    (said,) = [text for text in progress.notes if "transform = log" in text]
    assert said.endswith("left out of the model, since a value of the validation rows is not above 0")
    assert result.record["retrain"]["rows"] == "train+val"


def test_study_of_logarithms_alone_is_retrained_on_the_train_rows() -> None:
    progress = Watching()
    result = tune(daily(with_zero(239)), space=LOG, n_trials=1, progress=progress)
    assert result.record["retrain"]["rows"] == "train"
    assert any("retrained on the train rows alone" in text for text in progress.notes)
    assert len(result.record["retrain"]["seeds"]) == 3


@pytest.mark.parametrize("value", [0.0, -5.0, 1e-9])
def test_forecasts_in_logarithms_after_a_zero_stay_near_the_naive_ones(value: float, tmp_path: Path) -> None:
    y = sales()
    y[260] = value
    result: Any = tune(daily(y), space=LOG, n_trials=1, retrain_seeds=1, out=tmp_path / "run")
    naive = min(b["test_mse"] for b in result.record["baselines"].values())
    assert result.test.mse < 3 * naive
    newer = daily(y[240:], start="2024-08-28")
    scores = load(tmp_path / "run").evaluate(newer)
    assert scores["model"].mse < 3 * min(s.mse for s in scores.values())
