"""The scores of the forecasts that need no LSTM, as `diagnose` shows them."""

from __future__ import annotations

from typing import Any

from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Split
from lstm_tune.data.windows import Windows
from lstm_tune.evaluation.score import Forecaster, TargetScale, per_target, score
from lstm_tune.models.baselines import TrainMean, fit_baselines
from lstm_tune.training.task import Task


def score_baselines(series: SeriesSet, parts: Split, task: Task) -> dict[str, dict[str, Any]]:
    """Return the validation and test MSE of each forecast that needs no LSTM, scored as `tune` does."""
    windows = Windows(series, task.shape.horizon, period=task.period)
    positions = windows.positions(parts.test, 0, reach_back=True)
    horizon, scale = task.shape.horizon, task.scale
    of_train = TargetScale.of(windows, parts.train)
    fitted: dict[str, Forecaster] = {
        **fit_baselines(
            windows,
            parts.final.fit,
            period=task.period,
            max_lookback=task.limits.max_lookback,
            scale=scale,
            combination=task.combination,
        ),
        "train_mean": TrainMean(horizon=horizon, mean=tuple(of_train.groups(series.n_series)[0].tolist())),
    }
    own = score(fitted["train_mean"], task.windows, task.folds[0].report_windows, scale, each=False)
    validation = {**task.baselines, "train_mean": (own.mse, own.mse_scaled)}
    result = {}
    for name, forecaster in fitted.items():
        tested = score(forecaster, windows, positions, scale, each=False)
        mse, scaled = validation[name]
        result[name] = {
            "val_mse": per_target(mse, series.targets),
            "val_mse_scaled": scaled,
            "test_mse": per_target(tested.mse, series.targets),
            "test_mse_scaled": tested.mse_scaled,
        }
    return result
