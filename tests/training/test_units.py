"""The result does not depend on the unit of the data: grams or tonnes, wei or ether."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from series import TINY, daily, series_of, task_of, wave

from lstm_tune import tune
from lstm_tune.config import Config
from lstm_tune.data.series import SeriesSet
from lstm_tune.evaluation.score import quick_mse_scaled, score
from lstm_tune.training.task import Task, make_trainer

CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "corrects the ridge": {"skip": "linear", "window_norm": "last", "outlier_clip": 3.0},
    "seasonal differences": {"difference": "seasonal", "window_norm": "standard"},
    "log": {"transform": "log", "skip": "linear"},
}


def scaled_by(unit: float, covariate_unit: float = 1.0) -> SeriesSet:
    """Two targets and a past covariate; targets in one unit, the covariate in another."""
    y, z, p = wave(), wave(period=5, seed=1), wave(seed=2)
    return series_of(daily(unit * y, z=unit * z, p=covariate_unit * p), target=["y", "z"], past="p")


def trained(task: Task, params: dict[str, Any]) -> tuple[float, torch.Tensor]:
    """The validation value after two epochs, and the weights."""
    trainer = make_trainer(task, 0, Config.from_params(TINY | params), seed=0)
    trainer.samples = 128
    for _ in range(2):
        trainer.run_epoch()
    value = quick_mse_scaled(trainer.result, task.windows, task.folds[0].epoch_windows, task.scale)
    return value, torch.cat([p.detach().flatten() for p in trainer.result.parameters()])


@cache
def task_in_unit_1() -> Task:
    return task_of(scaled_by(1.0))


@cache
def in_unit_1(name: str) -> tuple[float, torch.Tensor]:
    return trained(task_in_unit_1(), CONFIGS[name])


@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=4, deadline=None)
@given(decade=st.floats(-30, 30))
def test_validation_value_is_the_same_over_60_decades(name: str, decade: float) -> None:
    task = task_of(scaled_by(10**decade, 10**-decade))
    value, weights = trained(task, CONFIGS[name])
    assert value == pytest.approx(in_unit_1(name)[0], rel=1e-3)
    torch.testing.assert_close(weights, in_unit_1(name)[1], rtol=0, atol=1e-3)
    assert {n: b[1] for n, b in task.baselines.items()} == pytest.approx(
        {n: b[1] for n, b in task_in_unit_1().baselines.items()}, rel=1e-4
    )
    assert task.limits == task_in_unit_1().limits


@pytest.mark.parametrize("power", [-96, 3])
@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "log"])
def test_a_power_of_two_changes_no_bit(name: str, power: int) -> None:
    value, weights = trained(task_of(scaled_by(2.0**power, 2.0**-power)), CONFIGS[name])
    assert value == in_unit_1(name)[0]
    assert torch.equal(weights, in_unit_1(name)[1])


@pytest.mark.parametrize("unit", [1e-30, 3e20, 1e30])
def test_the_whole_job_gives_the_same_scores_in_any_unit(unit: float) -> None:
    space = TINY | {"skip": "linear"}
    one, other = (tune(daily(u * wave()), space=space, n_trials=1, retrain_seeds=1) for u in (1.0, unit))
    assert other.test.mse_scaled == pytest.approx(one.test.mse_scaled, rel=1e-3)
    assert other.test.mse == pytest.approx(one.test.mse * unit**2, rel=1e-3)
    assert other.test.r2 == pytest.approx(one.test.r2, rel=1e-3)
    found = [{f["code"] for f in result.record["findings"]} - {"scale_unfit"} for result in (one, other)]
    assert found[0] == found[1]


@pytest.mark.parametrize("unit", [1e-35, 1e-3, 1.0, 1e3, 1e35])
def test_quick_value_equals_the_full_score_in_any_unit(unit: float) -> None:
    task = task_of(unit * np.where(np.arange(160) % 9 == 8, np.nan, wave()), horizon=3)
    model = make_trainer(task, 0, Config.from_params(TINY), seed=0).result
    positions = task.folds[0].report_windows
    full = score(model, task.windows, positions, task.scale).mse_scaled
    assert quick_mse_scaled(model, task.windows, positions, task.scale) == pytest.approx(full, rel=1e-5)


def test_a_covariate_that_is_constant_in_the_train_rows_is_never_seen() -> None:
    late = np.zeros(160)
    late[115:] = 1e12
    task = task_of(daily(wave(), p=late), target="y", past="p")
    without = task_of(daily(wave(), p=np.zeros(160)), target="y", past="p")
    assert trained(task, {})[0] == trained(without, {})[0]
