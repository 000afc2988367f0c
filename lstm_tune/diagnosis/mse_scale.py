"""What an MSE of a given size means for some data: beside the forecasts that need no LSTM, and the noise floor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lstm_tune.diagnosis.channel import Channel
from lstm_tune.evaluation.baseline_labels import label_of
from lstm_tune.evaluation.score import per_target
from lstm_tune.training.task import Task
from lstm_tune.utils.text import number


def mse_scale(
    channels: Sequence[Channel], task: Task, targets: Sequence[str], baselines: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what an MSE means here: what counts as 1, and the noise floor."""
    variance = {name: sd**2 for name, sd in zip(targets, task.scale.sd, strict=True)}
    many = bool(task.scale.own_sd)  # each series has a scale of its own
    own = [float(np.var(c.seen(c.values, "train"))) if many else variance[c.target] for c in channels]
    signals = [(c.signal, v) for c, v in zip(channels, own, strict=True) if c.signal is not None]
    floors = [s.floor / v for s, v in signals if v > 0]
    in_units = len(targets) == 1 and not many
    # A longer lookback may let ridge regression do better on the validation rows: then that can be reached, too.
    floor = min(float(np.mean(floors)), *(b["val_mse_scaled"] for b in baselines.values())) if floors else None
    return {
        "own_scales": many,
        "unit_mse": per_target(tuple(variance.values()), targets),
        "train_mean": per_target(task.scale.mean, targets),
        "train_sd": per_target(task.scale.sd, targets),
        "noise_floor_scaled": floor,
        "noise_floor_mse": floor * task.scale.sd[0] ** 2 if floor is not None and in_units else None,
        "noise_floor_method": next((s.method for s, _ in signals if s.neighbours), signals[0][0].method)
        if signals
        else None,
        "best_baseline": min(baselines, key=lambda name: float(baselines[name]["test_mse_scaled"])),
    }


def explain_scale(scale: Mapping[str, Any], baselines: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Return in sentences what an MSE of a given size means for these data.

    Args:
        scale: of `mse_scale`.
        baselines: of `score_baselines`.
    """
    unit, best, floor = scale["unit_mse"], scale["best_baseline"], scale["noise_floor_scaled"]
    many = scale["own_scales"]
    single = not isinstance(unit, Mapping) and not many
    rows = "the train rows, of each series its own" if many else "the train rows"
    in_units = f" (MSE {number(unit, 3)}, RMSE {number(math.sqrt(unit), 3)})" if single else ""
    value = baselines[best]["test_mse_scaled"]
    sentences = [
        f"A scaled MSE of 1.0{in_units} is the variance of {rows}: the error of always forecasting their mean. "
        f"On the test rows this forecast has a scaled MSE of {number(baselines['train_mean']['test_mse_scaled'], 3)}.",
        f"The best forecast without an LSTM is {label_of(best).sentence}: its scaled MSE on the test rows is "
        f"{number(value, 3)}. An LSTM with a higher MSE is not worth its training.",
    ]
    if floor is not None:
        quieter = " (the test rows have less noise)" if value < 0.9 * floor else ""
        sentences.append(
            f"The noise floor, an estimate from train and validation rows, is a scaled MSE of about {number(floor, 3)}"
            f"{quieter}. From the series' own past alone, little below it can be reached."
        )
    return tuple(sentences)
