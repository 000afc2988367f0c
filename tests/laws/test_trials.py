"""Trials and retrain: the same targets for all, the score of the weights that are kept, no row too many."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from law_studies import KINDS, SKIPS, Kind, run_kind
from oracle import Errors, Finished, same
from oracle_data import Array, Window, own_values, windows_of
from oracle_model import Member, read_tensors

import lstm_tune
from lstm_tune.config import Config
from lstm_tune.data.load import load_series
from lstm_tune.data.windows import Windows
from lstm_tune.models.forecaster import LSTMForecaster
from lstm_tune.training.trainer import Trainer, seeded

pytestmark = [pytest.mark.laws, pytest.mark.slow]

Studies = Callable[[str], Finished]
TRAINED = sorted(KINDS.keys() - {"one seed", "rows without time", "large numbers"})


def objective_of(kind: Kind, **options: Any) -> lstm_tune.Objective:
    """Return the objective that the study of a kind of data has."""
    columns = {"target": "y", "calendar": False} | dict(kind.columns)
    series = load_series(kind.frame, **columns)
    given = {"horizon": kind.horizon, "split": kind.split, "folds": kind.folds, "seed": kind.options.get("seed", 0)}
    return lstm_tune.Objective(series, kind.options.get("space", dict(kind.space)), **(given | options))


def forecast_by_hand(run: Finished, model: LSTMForecaster, windows: list[Window]) -> Array:
    """Return the forecasts (n, H) of one network for some windows, in NumPy."""
    params = model.config.params()
    state = {name: t.detach().numpy().astype(np.float64) for name, t in model.state_dict().items()}
    return run.forecast_of(run.model.of(Member(params=params, state=state, weight=1.0)), windows)


@pytest.mark.parametrize("name", TRAINED)
def test_every_trial_is_worth_what_its_kept_weights_score_on_the_same_targets(study_of: Studies, name: str) -> None:
    kind, run = KINDS[name], study_of(name)
    trained: list[Any] = []
    objective = objective_of(kind, on_trained=trained.append)
    units, windows = run.fold_units, [run.fold_windows(fold) for fold in range(run.folds)]
    for trial in run.study.trials:
        if "same_as_trial" in trial.user_attrs:
            continue
        study = optuna.create_study(pruner=optuna.pruners.NopPruner())
        study.enqueue_trial(trial.params)
        study.optimize(objective, n_trials=1)
        (again,) = study.trials
        assert (again.value, again.intermediate_values) == (trial.value, trial.intermediate_values)
        scores = []
        for fold, model in enumerate(trained[-1].models):
            ahead = forecast_by_hand(run, model, windows[fold])
            scores.append(Errors.of(run, windows[fold], ahead).mse_scaled)
            errors = run.sampled_errors(fold, forecast_by_hand(run, model, run.sampled(fold)))
            kept = np.frombuffer(base64.b64decode(trial.user_attrs["fold_errors"][fold]), dtype="<f2")
            assert kept == pytest.approx(errors, rel=1e-3, abs=1e-4), f"trial {trial.number}, fold {fold}: fold_errors"
            same(trial.user_attrs["fold_mse_scaled"][fold], scores[-1], f"trial {trial.number}, fold {fold}")
            for g in range(run.channels * len(run.table.series)):
                fit = own_values(run.table, run.fold_rows(fold)[0], g)
                if model.config.transform == "none" and len(fit):
                    same(float(model.center[g]), fit.mean(), f"trial {trial.number}, fold {fold}: center", 1e-5, 1e-5)
        same(trial.user_attrs["val_mse_scaled"], scores[0], f"trial {trial.number}: val_mse_scaled")
        value = np.mean([score / unit for score, unit in zip(scores, units, strict=True)]) * units[0]
        same(trial.value, value, f"trial {trial.number}: value", 5e-3 if run.folds > 1 else 3e-4)
        assert trial.value == min(trial.intermediate_values.values())
        assert trial.intermediate_values[trial.user_attrs["best_epoch"]] == trial.value


@pytest.mark.study("one series, split by shares, folds")
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_pruner_for_folds_is_asked_about_each_fold_that_has_ended(study_of: Studies) -> None:
    kind, run = KINDS["one series, split by shares, folds"], study_of("one series, split by shares, folds")
    windows, kept = [run.fold_windows(fold) for fold in range(3)], []
    objective = objective_of(kind, on_trained=kept.append)
    units = run.fold_units
    asked: list[dict[int, float]] = []

    class Asked(optuna.pruners.WilcoxonPruner):
        def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
            asked.append(dict(trial.intermediate_values))
            return False

    study = optuna.create_study(pruner=Asked())
    study.enqueue_trial({"lookback": 9, "skip": "none"})
    study.optimize(objective, n_trials=1)
    (trial,), (trained,) = study.trials, kept
    values = [
        Errors.of(run, windows[fold], forecast_by_hand(run, model, windows[fold])).mse_scaled / units[fold] * units[0]
        for fold, model in enumerate(trained.models)
    ]
    same([trial.intermediate_values[fold] for fold in range(3)], values, "reports of the folds", 5e-3)
    same(trial.value, np.mean(values), "value", 5e-3)
    assert [sorted(reports) for reports in asked] == [[0], [0, 1]]


@pytest.mark.study("one series, split by shares, folds")
def test_a_pruned_trial_ends_after_the_epoch_or_fold_that_was_judged(study_of: Studies) -> None:
    kind = KINDS["one series, split by shares, folds"]

    class Late(optuna.pruners.BasePruner):
        def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
            return len(trial.intermediate_values) > 2

    study = optuna.create_study(pruner=Late())
    study.enqueue_trial({"lookback": 9, "skip": "none"})
    study.optimize(objective_of(kind), n_trials=1)
    whole = study_of("one series, split by shares, folds").study.trials
    (trial,) = study.trials
    assert trial.state is optuna.trial.TrialState.PRUNED
    assert trial.user_attrs["pruned_because"] == "the pruner stopped it after epoch 2"
    twins = [t for t in whole if t.params == trial.params]
    assert sorted(trial.intermediate_values) == [0, 1, 2]
    assert all(trial.intermediate_values == t.intermediate_values for t in twins)


# ---- the retrain


def rows_before_test(kind: Kind, run: Finished) -> pd.DataFrame:
    """Return the frame without test rows, and without any row after them."""
    id = kind.columns.get("id")
    names = kind.frame[id].astype(str).to_numpy() if id else np.full(len(kind.frame), "")
    parts = []
    for series, (start, _) in zip(run.table.series, run.parts["test"], strict=True):
        rows = kind.frame[names == series.name]
        parts.append(rows.iloc[: len(rows) - (len(series) - start)])
    return pd.concat(parts)


@pytest.mark.parametrize("name", ["all at once", "logarithms and differences", "other networks", "panel"])
def test_saved_networks_are_those_that_train_on_train_and_validation_rows_for_the_best_epochs(
    study_of: Studies, name: str
) -> None:
    kind, run = KINDS[name], study_of(name)
    saved = read_tensors(run.folder / "model" / "weights.safetensors")
    data = load_series(rows_before_test(kind, run), **({"target": "y", "calendar": False} | dict(kind.columns)))
    windows = Windows(data, kind.horizon)
    rows = tuple(zip(data.offsets[:-1], data.offsets[1:], strict=True))
    assert [b - a for a, b in rows] == [b - a for a, b in run.parts["fit"]]
    before, after = (
        len(list(windows_of(run.table, run.parts[part], kind.horizon, 0, reach_back=False)))
        for part in ("train", "fit")
    )
    shape = lstm_tune.load(run.folder).shape
    listed, seeds = run.record["ensemble"], [entry["seed"] for entry in run.record["retrain"]["seeds"]]
    factors = {t.number: t.user_attrs["factors"] for t in run.study.trials}
    for i, (seed, entry) in enumerate((seed, entry) for seed in seeds for entry in listed):
        config = Config.from_params(entry["params"])
        with seeded(seed, windows.device):
            model = LSTMForecaster(config, shape)
        model.fit_statistics(windows, rows)
        positions = windows.positions(rows, model.context, reach_back=False)
        trainer = Trainer(model, windows, positions, config, round(96 * after / before), seed)
        for epoch in range(entry["epochs"]):
            trainer.run_epoch(factors[entry["trial"]][epoch])
        for key, tensor in trainer.result.state_dict().items():
            found = torch.from_numpy(saved[f"members.{i}.{key}"]).float()
            assert torch.equal(found, tensor), f"member {i}, {key}"


@pytest.mark.parametrize("rate", [0.3, 3.0])
def test_the_plateau_schedule_of_the_retrain_repeats_that_of_the_trial(rate: float, tmp_path: Path) -> None:
    steep = {"schedule": "plateau", "learning_rate": rate, "epochs": 12, "patience": 12, "lookback": 9, "skip": "none"}
    kind = Kind(frame=KINDS["holes"].frame, space=SKIPS | steep, trials=1, seeds=1, split=KINDS["holes"].split)
    seen: list[float] = []
    original = Trainer.run_epoch

    def spy(self: Trainer, factor: float = 1.0, *rest: Any, **more: Any) -> float | None:
        seen.append(factor)
        return original(self, factor, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "run_epoch", spy)
        run = run_kind(kind, tmp_path)
    (trial,) = run.study.trials
    values, expected, waited, least, factor = trial.intermediate_values, [], 0, np.inf, 1.0
    for epoch in range(trial.user_attrs["epochs"]):
        waited = 0 if values[epoch] < least else waited + 1
        least = min(least, values[epoch])
        if waited >= 2:
            factor, waited = factor / 2, 0
        expected.append(factor)
    assert seen == [*expected, *expected[: trial.user_attrs["best_epoch"]]]
    assert factor < 1 or rate < 1
