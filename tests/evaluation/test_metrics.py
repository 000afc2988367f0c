"""Metrics of each series: those of `utilsforecast.losses`, over windows, holes and series of all kinds."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import utilsforecast.losses as losses
from series import TINY, panel, series_of, wave

import lstm_tune
import lstm_tune.errors
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import make_split
from lstm_tune.data.windows import Windows
from lstm_tune.evaluation.metrics import METRICS, NaiveErrors, over_series
from lstm_tune.evaluation.score import TargetScale, score
from lstm_tune.models.baselines import naive_baselines

HORIZON, LAG = 3, 7


def scored(data: SeriesSet) -> tuple[dict[str, np.ndarray], pd.DataFrame, pd.DataFrame]:
    """Return the metrics of the seasonal naive forecast (C, S), its forecasts in long form, and the train rows."""
    split = make_split(data, (0.6, 0.2, 0.2), HORIZON)
    windows = Windows(data, HORIZON)
    positions = windows.positions(split.test, 0, reach_back=True)
    naive = NaiveErrors.of(data, split.train, LAG)
    forecaster = naive_baselines(HORIZON, LAG)["seasonal_naive"]
    found = score(forecaster, windows, positions, TargetScale.of(windows, split.train), naive=naive).metrics
    rows, trained = [], []
    for s, (a, b) in enumerate(split.train):
        y = data.values[0].double().numpy() + data.origin[0]
        seen = data.observed[0].numpy()
        trained += [(s, r, y[r] if seen[r] else np.nan) for r in range(a, b)]
        for first, h in itertools.product(range(split.test[s][0], split.test[s][1] - HORIZON + 1), range(HORIZON)):
            if seen[first + h]:
                rows.append((s, first, h, y[first + h], y[first + h - LAG]))
    long = pd.DataFrame(rows, columns=["unique_id", "first", "step", "y", "naive"])
    return found, long, pd.DataFrame(trained, columns=["unique_id", "ds", "y"])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["plain", "holes", "high level"])
def test_a_metric_is_that_of_utilsforecast(metric: str, kind: str) -> None:
    sizes = [(100, 5.0), (80, 0.5), (60, 40.0)]
    frame = panel(*(size * wave(n, seed=i) for i, (n, size) in enumerate(sizes))).drop(columns="date")
    if kind == "holes":
        frame.loc[frame.index % 11 == 4, "y"] = np.nan
    if kind == "high level":
        frame["y"] += 1e7
    found, long, train = scored(series_of(frame, target="y", id="shop"))
    more = {"seasonality": LAG, "train_df": train} if metric in ("mase", "rmsse") else {}
    oracle = getattr(losses, metric)(long.drop(columns=["first", "step"]), models=["naive"], **more)
    np.testing.assert_allclose(found[metric][0], oracle["naive"], rtol=1e-5)
    assert over_series(found)[metric] == (pytest.approx(oracle["naive"].mean(), rel=1e-5),)


def test_a_constant_series_has_no_mase_and_does_not_count_in_it() -> None:
    frame = panel(wave(100), np.full(100, 4.0), np.zeros(100)).drop(columns="date")
    found, *_ = scored(series_of(frame, target="y", id="shop"))
    assert np.isnan(found["mase"][0]).tolist() == np.isnan(found["rmsse"][0]).tolist() == [False, True, True]
    assert np.isnan(found["wape"][0]).tolist() == [False, False, True]
    assert found["smape"][0].tolist()[1:] == [0.0, 0.0]
    assert over_series(found)["mase"] == (found["mase"][0, 0],)


def test_a_series_shorter_than_a_season_has_no_mase() -> None:
    data = series_of(panel(wave(100), wave(40)).drop(columns="date"), target="y", id="shop")
    naive = NaiveErrors.of(data, ((0, 60), (100, 124)), 24)
    assert np.isnan(naive.absolute).tolist() == [[False, True]]


def test_a_saved_model_keeps_what_mase_is_divided_by(tmp_path: Path) -> None:
    frame = panel(wave(120), 9 * wave(100, seed=1))
    options: dict[str, Any] = {"space": TINY | {"epochs": 1}, "n_trials": 1, "retrain_seeds": 1, "folds": 1}
    result = lstm_tune.tune(frame, target="y", id="shop", out=tmp_path / "run", **options)
    with pytest.warns(lstm_tune.errors.LstmTuneWarning, match="trained on"):
        kept, loaded = (m.evaluate(frame)["model"].metrics for m in (result.model, lstm_tune.load(tmp_path / "run")))
    assert kept == loaded
    assert kept["mase"] > 0
    renamed = frame.assign(shop=frame["shop"].map({"a": "a", "b": "new"}))
    with pytest.warns(lstm_tune.errors.LstmTuneWarning):
        alone, part = (result.model.evaluate(f)["model"].metrics for f in (frame[frame["shop"] == "a"], renamed))
    assert part["mase"] == pytest.approx(alone["mase"])  # the new one has none
