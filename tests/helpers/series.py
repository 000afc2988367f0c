"""Small series, small networks, and slow but obvious reference implementations."""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
import pandas as pd
import torch

from lstm_tune.config import Config
from lstm_tune.data.load import load_series
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Ranges, make_split
from lstm_tune.data.windows import Batch, Windows
from lstm_tune.evaluation.score import Forecaster
from lstm_tune.models.forecaster import LSTMForecaster
from lstm_tune.models.preprocessing import Shape
from lstm_tune.search.space import space_from_mapping
from lstm_tune.search.task_objective import TaskObjective
from lstm_tune.training.task import Task, build_task

TINY: dict[str, Any] = {
    "lookback": 8,
    "hidden_units": 4,
    "dropout": 0.0,
    "batch_size": 64,
    "learning_rate": 0.01,
    "epochs": 2,
    "patience": 2,
}


def wave(rows: int = 160, *, period: int = 7, noise: float = 0.1, level: float = 5.0, seed: int = 0) -> np.ndarray:
    """A positive seasonal series with noise, (rows,)."""
    rng = np.random.default_rng(seed)
    return level + np.sin(2 * np.pi * np.arange(rows) / period) + noise * rng.normal(size=rows)


def daily(y: Any, start: str = "2024-01-01", **columns: Any) -> pd.DataFrame:
    """A frame with one row a day."""
    return pd.DataFrame({"date": pd.date_range(start, periods=len(y), freq="D"), "y": y} | columns)


def panel(*series: np.ndarray) -> pd.DataFrame:
    """Series a, b, c, … in long format."""
    return pd.concat([daily(y).assign(shop=name) for name, y in zip("abcdefgh", series, strict=False)])


def series_of(y: Any, **options: Any) -> SeriesSet:
    """A `SeriesSet` from values or a frame, without calendar features."""
    return load_series(y, **({"calendar": False} | options))


def task_of(y: Any, horizon: int = 2, folds: int = 1, split: Any = (0.7, 0.1, 0.2), **options: Any) -> Task:
    """The task of a study of these values."""
    data = y if isinstance(y, SeriesSet) else series_of(y, **options)
    return build_task(data, make_split(data, split, horizon), horizon, folds=folds)


def objective_of(task: Task, space: Mapping[str, Any], **options: Any) -> TaskObjective:
    """The objective of a task, of a space as a file would hold it."""
    return TaskObjective(task, space_from_mapping(space), **options)


def run_study(task: Task, space: Mapping[str, Any], *configs: Mapping[str, Any], **options: Any) -> Any:
    """Run one trial for each of `configs` (values of searched parameters); return the study and the objective."""
    objective = objective_of(task, space, **options)
    study = optuna.create_study(pruner=optuna.pruners.NopPruner())
    for params in configs or ({},):
        study.enqueue_trial(dict(params))
    study.optimize(objective, n_trials=max(1, len(configs)))
    return study, objective


def net(config: Config, shape: Shape, seed: int = 0, *, zero: bool = False) -> LSTMForecaster:
    """An untrained model in evaluation mode; with `zero` its head forecasts 0."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LSTMForecaster(config, shape)
        if not zero:
            torch.nn.init.normal_(model.output.weight, std=0.3)
    return model.eval()


def batch_at(data: SeriesSet, row: int, context: int, horizon: int, channel: int = 0, period: int = 1) -> Batch:
    """One window, row by row; its first target is in the absolute row `row`.

    Before its series it is continued by the oldest season, or by the oldest row if there is no whole season.
    """
    series = bisect.bisect(data.offsets, row) - 1
    begin = data.offsets[series]
    season = period if row - begin >= period else 1
    rows = list(range(begin, row))
    while len(rows) < context:
        rows.insert(0, rows[season - 1])
    rows = rows[len(rows) - context :]
    ahead = list(range(row, row + horizon))
    return Batch(
        history=data.values[channel, rows][None].clone(),
        target=data.values[channel, ahead][None].clone(),
        observed=data.observed[channel, ahead][None].clone(),
        past=data.past[rows][None].clone(),
        future=data.future[rows + ahead][None].clone(),
        channel=torch.tensor([channel]),
        group=torch.tensor([channel * data.n_series + series]),
    )


def naive_mse_scaled(
    forecaster: Forecaster, data: SeriesSet, rows: Ranges, train: Ranges, horizon: int, period: int = 1
) -> float:
    """The score by its definition: one window and one step at a time, in float64; each series counts alike."""
    columns = []
    for c in range(data.n_channels):
        values, observed = data.values[c].double(), data.observed[c]
        ratios = []
        for (a, b), (start, end) in zip(rows, train, strict=True):
            fitted = [float(values[r]) for r in range(start, end) if observed[r]]
            mean = math.fsum(fitted) / len(fitted)
            variance = math.fsum((v - mean) ** 2 for v in fitted) / len(fitted)
            squares = []
            for row in range(a, b - horizon + 1):
                with torch.inference_mode():
                    forecast = forecaster(batch_at(data, row, forecaster.context, horizon, c, period))[0]
                squares += [
                    (float(forecast[h]) - float(values[row + h])) ** 2 for h in range(horizon) if observed[row + h]
                ]
            ratios.append(math.fsum(squares) / len(squares) / variance)
        columns.append(math.fsum(ratios) / len(ratios))
    return math.fsum(columns) / len(columns)


def with_holes(y: np.ndarray, every: int = 6) -> np.ndarray:
    """The values with every `every`-th one missing."""
    return np.where(np.arange(len(y)) % every == every - 1, np.nan, y)


class GarbledWindows(Windows):
    """Windows whose filled-in targets are nonsense, with an unchanged history."""

    def gather(self, positions: torch.Tensor, context: int) -> Batch:
        batch = super().gather(positions, context)
        if batch.observed is None:
            return batch
        return dataclasses.replace(batch, target=torch.where(batch.observed, batch.target, 1e6))
