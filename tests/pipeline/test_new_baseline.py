"""A baseline that was added a moment ago, without a label even, goes the whole way from `tune` to the report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from series import TINY, daily, wave
from torch import Tensor

from lstm_tune import load, tune
from lstm_tune.data.windows import Batch
from lstm_tune.diagnosis.data_findings import diagnose
from lstm_tune.models import baselines
from lstm_tune.training import model_scores

pytestmark = pytest.mark.usefixtures("short_epochs")


@dataclass(frozen=True)
class Oracle:
    """Forecasts what it is to be scored on, a little too high: better than any model."""

    context: int = 1

    def __call__(self, batch: Batch) -> Tensor:
        return batch.target + 0.01


@pytest.mark.parametrize("columns", [{}, {"z": wave(160, period=5, seed=1)}], ids=["one target", "two targets"])
def test_new_baseline_goes_from_tune_to_the_report(
    columns: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = baselines.naive_baselines

    def with_oracle(*args: Any) -> dict[str, Any]:
        return {**known(*args), "crystal_ball": Oracle()}

    monkeypatch.setattr(baselines, "naive_baselines", with_oracle)
    monkeypatch.setattr(model_scores, "naive_baselines", with_oracle)
    data, targets = daily(wave(), **columns), ["y", *columns]
    result = tune(data, target=targets, horizon=2, space=TINY, n_trials=1, retrain_seeds=1, out=tmp_path / "run")
    assert list(result.record["baselines"]) == [
        "persistence",
        "seasonal_naive",
        "crystal_ball",
        "ridge",
        "ets",
        "combination",
    ]
    worse = next(f for f in result.record["findings"] if f["code"] == "worse_than_baseline")
    assert worse["evidence"]["baseline"] == "crystal_ball"
    assert "Crystal ball" in worse["says"]
    assert "crystal ball" in result.record["verdict"]
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert page.count("crystal ball") >= 2 + bool(columns)  # scores, error per step, each column
    assert list(load(tmp_path / "run").evaluate(data)) == ["model", *result.record["baselines"]]
    assert "crystal_ball" in diagnose(data, target=targets, horizon=2).baselines
