"""From a study of one's own to a model: `lstm_tune.finish`."""

from __future__ import annotations

import inspect
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from series import TINY, daily, wave

import lstm_tune
from lstm_tune.data.load import load_series
from lstm_tune.diagnosis.action import each
from lstm_tune.diagnosis.finding import Finding
from lstm_tune.errors import StudyError, UsageError
from lstm_tune.pipeline.findings import changes_to_try, try_advice
from lstm_tune.search.budget import Clock
from lstm_tune.search.coordinator import coordinate
from lstm_tune.utils.signals import Stopped

SPACE: dict[str, Any] = TINY | {"epochs": 1, "learning_rate": [1e-3, 1e-2]}


def frame_of(n: int = 160) -> pd.DataFrame:
    """A daily wave with a covariate that is known up to now and one that is known ahead."""
    frame = daily(wave(n))
    return frame.assign(x=np.arange(n) % 5, plan=np.arange(n) % 3)


def optimized(n_trials: int = 2, storage: Any = None, **options: Any) -> tuple[optuna.Study, lstm_tune.Objective]:
    given = {"target": "y", "folds": 1, "horizon": 2} | options
    objective = lstm_tune.Objective(frame_of(), SPACE, **given)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), storage=storage)
    study.optimize(objective, n_trials=n_trials)
    return study, objective


def test_study_of_ones_own_becomes_a_model_with_a_test_score_and_a_run_folder(tmp_path: Path) -> None:
    study, objective = optimized(past="x", future="plan")
    result = lstm_tune.finish(study, objective, retrain_seeds=1, out=tmp_path / "run")
    assert result.study is study
    assert result.test.windows > 0
    assert {"persistence", "ridge"} <= set(result.record["baselines"])
    assert result.record["data"]["past"] == ["x"]
    assert result.record["data"]["future"] == ["plan"]
    assert result.record["best"]["value"] == study.best_value
    written = json.loads((tmp_path / "run" / "result.json").read_text())
    assert written["test"]["mse"] == result.test.mse
    assert {"report.html", "trials.csv", "forecast.csv", "model"} <= set(os.listdir(tmp_path / "run"))
    model = lstm_tune.load(tmp_path / "run")
    plans = pd.DataFrame({"date": pd.date_range("2024-01-01", periods=162), "plan": np.arange(162) % 3})
    assert (
        len(model.predict(frame_of().merge(plans.drop(columns="plan"), on="date", how="right").assign(plan=plans.plan)))
        == 2
    )


def test_it_finds_the_model_that_tune_finds(tmp_path: Path) -> None:
    given: dict[str, Any] = {"target": "y", "folds": 1, "horizon": 2}
    tuned = lstm_tune.tune(
        frame_of(), space=SPACE, n_trials=2, sampler="random", pruner="none", retrain_seeds=1, precision="fp32", **given
    )
    objective = lstm_tune.Objective(frame_of(), SPACE, **given)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for trial in tuned.study.trials:
        study.enqueue_trial(trial.params)
    study.optimize(objective, n_trials=2)
    own = lstm_tune.finish(study, objective, retrain_seeds=1)
    assert own.test == tuned.test
    assert own.best_params == tuned.best_params


def test_objective_takes_every_argument_on_data_that_tune_takes() -> None:
    of_data = set(inspect.signature(load_series).parameters) & set(inspect.signature(lstm_tune.tune).parameters)
    assert of_data >= {"target", "time", "id", "past", "future", "calendar", "split"}
    assert of_data <= set(inspect.signature(lstm_tune.Objective).parameters)


def test_objective_reads_panels_and_calendars() -> None:
    frame = pd.concat([frame_of().assign(shop=shop) for shop in ("a", "b")]).rename(columns={"date": "when"})
    objective = lstm_tune.Objective(frame, SPACE, target="y", id="shop", time="when", calendar=True, folds=1)
    assert objective.series.n_series == 2
    assert objective.series.future_names


def test_study_without_a_completed_trial_is_refused() -> None:
    _, objective = optimized()
    with pytest.raises(StudyError, match=r"no trial was completed: call study.optimize\(objective"):
        lstm_tune.finish(optuna.create_study(), objective)


def test_study_of_another_objective_is_refused() -> None:
    _, objective = optimized()
    study = optuna.create_study()
    study.optimize(lambda trial: 1.0, n_trials=1)
    with pytest.raises(StudyError, match="trial 0 was not completed by lstm_tune"):
        lstm_tune.finish(study, objective)
    with pytest.raises(UsageError, match="direction='minimize'"):
        lstm_tune.finish(optuna.create_study(direction="maximize"), objective)
    with pytest.raises(UsageError, match="retrain_seeds must be"):
        lstm_tune.finish(study, objective, retrain_seeds=0)


def test_study_that_another_process_finishes_is_refused_and_released_afterwards(tmp_path: Path) -> None:
    study, objective = optimized(storage=f"sqlite:///{tmp_path / 'study.db'}")
    with coordinate(study, None), pytest.raises(StudyError, match="is at work in process"):
        lstm_tune.finish(study, objective, retrain_seeds=1)
    result = lstm_tune.finish(study, objective, retrain_seeds=1)
    assert result.record["study"]["storage"] == f"sqlite:///{tmp_path / 'study.db'}"
    coordinate(study, None).release()


def test_ctrl_c_while_it_retrains_keeps_the_best_trials_own_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    study, objective = optimized()

    def interrupted(*args: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("lstm_tune.training.retrain.Trainer", interrupted)
    with pytest.raises(Stopped) as stopped:
        lstm_tune.finish(study, objective, retrain_seeds=1)
    assert stopped.value.result.record["retrain"]["rows"] == "train"


def test_nothing_is_said_of_advice_that_there_is_no_time_to_try() -> None:
    told: list[str] = []
    context: Any = SimpleNamespace(
        clock=Clock(5, began=time.monotonic() - 10, advice=0.1),
        stop=SimpleNamespace(requested=False),
        options=SimpleNamespace(try_advice=0.1, seed=0),
        progress=SimpleNamespace(info=told.append),
    )
    finding = Finding(code="underfit", severity="high", evidence={}, says="x", actions=each(skip="linear", gain=0.05))
    given: Any = SimpleNamespace(best=object(), trials=(), precision="fp32", resources=SimpleNamespace(threads=1))
    assert try_advice((finding,), given, given, given, context) == (finding,)
    assert told == []


@pytest.mark.parametrize(("trials", "expected"), [(1, 1), (7, 1), (8, 2), (11, 2), (12, 3), (500, 3)])
def test_the_changes_that_a_study_tries_are_in_proportion_to_its_trials(trials: int, expected: int) -> None:
    assert changes_to_try(trials) == expected
