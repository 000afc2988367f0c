"""The mean of the simple forecasts: its weights, and that it is scored as the others are."""

from __future__ import annotations

import numpy as np
import pytest
from series import task_of, wave

from lstm_tune.evaluation.score import forecast_all
from lstm_tune.models.baselines import combine, fit_baselines
from lstm_tune.training.combination import combination_weights


def test_weights_add_up_to_one_and_favour_the_better_forecast() -> None:
    rng = np.random.default_rng(0)
    errors = [{"good": rng.normal(size=300), "bad": 3 * rng.normal(size=300)} for _ in range(3)]
    found = combination_weights(errors, [1.0] * 3, 200)
    assert sum(found.values()) == pytest.approx(1)
    assert found["good"] > 0.85


def test_a_perfect_forecast_takes_all() -> None:
    errors = [{"perfect": np.zeros(50), "other": np.ones(50)}]
    assert combination_weights(errors, [1.0], 10)["perfect"] == pytest.approx(1, abs=1e-6)


def test_the_combination_is_the_weighted_mean_of_its_members() -> None:
    task = task_of(wave(300), horizon=3, folds=2)
    fold = task.folds[0]
    fitted = fit_baselines(
        task.windows, fold.segment.fit, period=task.period, max_lookback=task.limits.max_lookback, scale=task.scale
    )
    assert set(task.combination) == set(fitted)
    parts = [w * forecast_all(fitted[name], task.windows, fold.report_windows) for name, w in task.combination.items()]
    mean = forecast_all(combine(fitted, task.combination), task.windows, fold.report_windows)
    assert mean.numpy() == pytest.approx(sum(parts).numpy(), abs=1e-5)  # type: ignore[attr-defined]
    assert task.baselines["combination"][1] <= max(mse for _, mse in task.baselines.values())
