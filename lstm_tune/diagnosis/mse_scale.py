"""What an MSE of a given size means for some data: beside the forecasts that need no LSTM, and the noise floor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Split
from lstm_tune.data.windows import Windows
from lstm_tune.diagnosis.channel import Track
from lstm_tune.evaluation.baseline_labels import label_of
from lstm_tune.evaluation.score import Forecaster, TargetScale, per_target, score
from lstm_tune.models.baselines import TrainMean, fit_baselines
from lstm_tune.training.task import Task
from lstm_tune.utils.text import number


def baseline_scores(series: SeriesSet, parts: Split, task: Task) -> dict[str, dict[str, Any]]:
    """Return the validation and test MSE of what needs no LSTM, scored as `tune` does."""
    windows = Windows(series, task.shape.horizon)
    positions = windows.positions(parts.test, 0, reach_back=True)
    horizon, scale = task.shape.horizon, task.scale
    fitted: dict[str, Forecaster] = {
        **fit_baselines(
            windows, parts.final.fit, period=task.period, max_lookback=task.limits.max_lookback, sd=scale.sd
        ),
        "train_mean": TrainMean(horizon=horizon, mean=TargetScale.of(windows, parts.train).mean),
    }
    own = score(fitted["train_mean"], task.windows, task.folds[0].scored, scale, each=False)
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


def scale_of(
    tracks: Sequence[Track], task: Task, targets: Sequence[str], baselines: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what an MSE means here: what counts as 1, and the noise floor."""
    variance = {name: sd**2 for name, sd in zip(targets, task.scale.sd, strict=True)}
    signals = [(t.signal, variance[t.target]) for t in tracks if t.signal is not None]
    floors = [s.floor / v for s, v in signals if v > 0]
    # What ridge regression reached by its longer lookback on the validation rows can be reached.
    floor = min(float(np.mean(floors)), *(b["val_mse_scaled"] for b in baselines.values())) if floors else None
    return {
        "unit_mse": per_target(tuple(variance.values()), targets),
        "train_mean": per_target(task.scale.mean, targets),
        "train_sd": per_target(task.scale.sd, targets),
        "noise_floor_scaled": floor,
        "noise_floor_mse": floor * task.scale.sd[0] ** 2 if floor is not None and len(targets) == 1 else None,
        "noise_floor_method": next((s.method for s, _ in signals if s.neighbours), signals[0][0].method)
        if signals
        else None,
        "best_baseline": min(baselines, key=lambda name: float(baselines[name]["test_mse_scaled"])),
    }


def meaning(scale: Mapping[str, Any], baselines: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Return in sentences what an MSE of a given size means for these data."""
    mean = baselines["train_mean"]
    single = not isinstance(scale["unit_mse"], Mapping)
    unit = f" (MSE {number(scale['unit_mse'], 3)}, RMSE {number(math.sqrt(scale['unit_mse']), 3)})" if single else ""
    sentences = [
        f"Scaled MSE 1.0{unit} is the variance of the train rows: what forecasting their mean costs there. On the test "
        f"rows that forecast costs {number(mean['test_mse_scaled'], 3)}."
    ]
    best = scale["best_baseline"]
    value = baselines[best]["test_mse_scaled"]
    sentences.append(
        f"The best forecast without an LSTM is {label_of(best).sentence}: {number(value, 3)} scaled on the test rows. "
        f"An LSTM above that is not worth its training."
    )
    floor = scale["noise_floor_scaled"]
    if floor is not None:
        quieter = " (the test rows are quieter)" if value < 0.9 * floor else ""
        sentences.append(
            f"Noise floor, an estimate from train and validation rows: about {number(floor, 3)} scaled{quieter}. "
            f"Little below it can be had from the series' own past."
        )
    return tuple(sentences)
