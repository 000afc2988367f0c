"""`--metric`: what judges trials, weighs them and ranks the baselines; `utilsforecast` is the oracle."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
import torch
import utilsforecast.losses as losses
from series import TINY, objective_of, panel, run_study, series_of, wave

import lstm_tune
from lstm_tune.data.split import make_split
from lstm_tune.errors import StudyError, UsageError
from lstm_tune.evaluation.metrics import METRICS
from lstm_tune.evaluation.score import Forecaster
from lstm_tune.models.baselines import fit_baselines
from lstm_tune.pipeline.members import choose
from lstm_tune.search.task_objective import Trained
from lstm_tune.search.trials import read_trials
from lstm_tune.training.task import Task, build_task

pytestmark = pytest.mark.laws

HORIZON = 3
SPACE = TINY | {"skip": "linear", "window_norm": "last", "lookback": [8, 12]}


def shops(scale_of_b: float = 1.0, tail: float = 0.0) -> pd.DataFrame:
    """Three series of different size; `tail` is added to the last rows, which are test rows."""
    frame = panel(wave(150), scale_of_b * wave(130, seed=1, noise=0.6), 3e4 * wave(140, seed=2))
    frame.loc[frame.groupby("shop").cumcount(ascending=False) < 20, "y"] += tail
    return frame


def task_of(frame: pd.DataFrame, metric: str, folds: int = 2) -> Task:
    data = series_of(frame, id="shop", target="y")
    return build_task(data, make_split(data, "last:16,20", HORIZON), HORIZON, folds=folds, metric=metric)


def by_oracle(task: Task, fold: int, forecaster: Forecaster, which: torch.Tensor) -> float:
    """The mean over the series of the metric, errors in the unit of the target over the spread of the train rows."""
    windows = task.windows
    batch = windows.gather(which, forecaster.context)
    with torch.inference_mode():
        ahead = forecaster(batch)
    ids = batch.group.repeat_interleave(HORIZON).numpy()
    long = pd.DataFrame({"unique_id": ids, "y": batch.target.reshape(-1).double(), "m": ahead.reshape(-1).double()})
    train = task.folds[0].segment.fit
    values = windows.data.values[0].double().numpy()
    rows = [(s, r, values[r]) for s, (a, b) in enumerate(train) for r in range(a, b)]
    fit = pd.DataFrame(rows, columns=["unique_id", "ds", "y"])
    more = {"seasonality": task.period or 1, "train_df": fit} if task.metric in ("mase", "rmsse") else {}
    found = getattr(losses, task.metric)(long, models=["m"], **more).sort_values("unique_id")["m"].to_numpy()
    sd = np.array([values[a:b].std() for a, b in train])
    return float(np.mean(found / sd ** {"mse": 2, "rmse": 1, "mae": 1}.get(task.metric, 0)))


@pytest.mark.parametrize("metric", METRICS)
def test_a_trial_is_worth_its_metric_by_utilsforecast(metric: str) -> None:
    task = task_of(shops(), metric)
    kept: list[Trained] = []
    study, _ = run_study(task, SPACE, {"lookback": 12}, on_trained=kept.append)
    values = []
    for trained in kept:
        parts = []
        for i, (fold, model) in enumerate(zip(task.folds, trained.models, strict=True)):
            fitted = fit_baselines(
                task.windows,
                fold.segment.fit,
                period=task.period,
                max_lookback=task.limits.max_lookback,
                scale=task.scale,
            )
            best = min(by_oracle(task, i, f, fold.report_windows) for f in fitted.values())
            assert fold.reference == pytest.approx(best, rel=1e-4)
            parts.append(by_oracle(task, i, model, fold.epoch_windows) / best)
        values.append(np.mean(parts) * task.folds[0].reference)
        outcome = read_trials(study)[trained.number].completed()
        assert outcome.val_score == pytest.approx(
            by_oracle(task, 0, trained.models[0], task.folds[0].report_windows), rel=1e-4
        )
    assert [t.value for t in study.trials] == pytest.approx(values, rel=1e-4)


@pytest.mark.parametrize("metric", ["mae", "rmsse", "smape"])
def test_other_test_rows_and_another_size_of_a_series_change_no_trial(metric: str) -> None:
    values = []
    for frame in (shops(), shops(tail=50.0), shops(scale_of_b=2.0**-10)):
        study, _ = run_study(task_of(frame, metric, folds=1), SPACE, {"lookback": 8})
        values.append(study.trials[0].value)
    assert values[1] == values[0]
    assert values[2] == pytest.approx(values[0], rel=1e-5)


def test_the_metric_ranks_the_baselines_and_is_a_setting_of_the_study(tmp_path: Any) -> None:
    options: dict[str, Any] = {"id": "shop", "target": "y", "horizon": HORIZON, "split": "last:16,20", "folds": 1}
    options |= {"space": SPACE, "n_trials": 2, "retrain_seeds": 1, "try_advice": 0.0, "out": tmp_path / "run"}
    result = lstm_tune.tune(shops(), **options, metric="mase")
    record = result.to_dict()
    own, baselines = record["metric"], record["baselines"]
    assert own == {"name": "mase", "test_score": pytest.approx(record["test"]["metrics"]["mase"])}
    for entry in baselines.values():
        assert entry["test_score"] == pytest.approx(entry["test_metrics"]["mase"])
    best = min(baselines, key=lambda name: baselines[name]["test_metrics"]["mase"])
    assert f"({baselines[best]['test_score']:.4g})" in record["verdict"]
    assert record["verdict"].startswith("The test MASE of ")
    with pytest.raises(StudyError, match=r'another metric \("mase", now "mae"\)'):
        lstm_tune.tune(shops(), **options, metric="mae", resume=True)


def test_values_of_other_metrics_than_the_mse_choose_and_weigh_as_their_squares() -> None:
    task = task_of(shops(), "mse", folds=1)
    study, _ = run_study(task, SPACE, {"lookback": 8}, {"lookback": 12})
    of_mae, of_squares = [], []
    for trial, value in zip(read_trials(study), (0.9, 1.05), strict=True):
        outcome = dataclasses.replace(trial.completed(), value=value, start=1.1, best_epoch=1)
        of_mae.append(dataclasses.replace(trial, outcome=outcome))
        squared = dataclasses.replace(outcome, value=value**2, start=1.1**2)
        of_squares.append(dataclasses.replace(trial, outcome=squared))
    mae = dataclasses.replace(task, metric="mae")
    weights = [
        [(part.number, part.epochs, part.weight) for _, part in choose(trials, of, 2, known=2)]
        for trials, of in ((of_mae, mae), (of_squares, task), (of_mae, task))
    ]
    assert len(weights[0]) > 1
    assert weights[0] == weights[1] != weights[2]


def test_a_metric_without_a_value_is_refused_in_one_line() -> None:
    frame = panel(np.tile([0.0, 0.0, 0.0, 5.0], 40), np.tile([0.0, 3.0, 0.0, 0.0], 40))
    frame.loc[frame.groupby("shop").cumcount() > 100, "y"] = 0.0
    data = series_of(frame, id="shop", target="y")
    with pytest.raises(UsageError, match="metric 'wape' has no value on a validation block"):
        build_task(data, make_split(data, "last:16,20", HORIZON), HORIZON, metric="wape")
    with pytest.raises(UsageError, match=r"metric must be one of mse, rmse, .*, but is 'mape'"):
        lstm_tune.tune(frame, id="shop", target="y", metric="mape")


def test_studies_of_ones_own_take_a_metric() -> None:
    objective = lstm_tune.Objective(
        shops(), SPACE, id="shop", target="y", horizon=HORIZON, split="last:16,20", folds=1, metric="mae"
    )
    study = optuna.create_study()
    study.optimize(objective, n_trials=1)
    result = lstm_tune.finish(study, objective, retrain_seeds=1)
    assert result.to_dict()["metric"]["name"] == result.to_dict()["settings"]["metric"] == "mae"
    assert objective_of(objective.trials.task, SPACE).task.metric == "mae"
