"""The nine laws of honest scores, as `lstm_tune/README.md` states them."""

from __future__ import annotations

import dataclasses
import json
import random
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState
from series import (
    TINY,
    GarbledWindows,
    daily,
    naive_mse_scaled,
    net,
    objective_of,
    panel,
    run_study,
    series_of,
    task_of,
    wave,
    with_holes,
)

import lstm_tune
from lstm_tune.config import PLAIN, Config
from lstm_tune.data.seasonality import best_season, find_seasons
from lstm_tune.data.split import make_split
from lstm_tune.data.windows import Windows
from lstm_tune.evaluation import score as evaluate
from lstm_tune.evaluation.score import TargetScale, quick_mse_scaled, quick_value, score
from lstm_tune.models.baselines import fit_baselines
from lstm_tune.models.preprocessing import Shape
from lstm_tune.pipeline import conclusion, holdout
from lstm_tune.search.space import load_space, presets
from lstm_tune.search.trial_queue import enqueue_known
from lstm_tune.training import task
from lstm_tune.training.limits import Limits
from lstm_tune.training.task import make_trainer

pytestmark = [pytest.mark.laws, pytest.mark.usefixtures("short_epochs")]

VARIED = [
    {},
    {"lookback": 1},
    {"lookback": 40, "patch": 8},
    {"lookback": 5, "patch": 2, "batch_size": 7},
    {"transform": "log"},
    {"difference": "first", "window_norm": "standard"},
    {"difference": "seasonal", "skip": "seasonal"},
    {"window_norm": "last", "skip": "linear", "outlier_clip": 3.0},
    {"transform": "log", "difference": "seasonal", "window_norm": "last", "skip": "linear"},
]
SPACE: dict[str, Any] = TINY | {"epochs": 1, "lookback": [4, 8, 12], "skip": ["none", "last"]}
configs = st.builds(
    lambda **params: Config.from_params(TINY | params),
    lookback=st.integers(1, 20),
    patch=st.integers(1, 6),
    transform=st.sampled_from(["none", "log"]),
    difference=st.sampled_from(["none", "first", "seasonal"]),
    window_norm=st.sampled_from(["none", "last", "standard"]),
    skip=st.sampled_from(["none", "last", "linear", "seasonal"]),
    outlier_clip=st.sampled_from([0.0, 2.0]),
)


def tune(data: Any, **options: Any) -> Any:
    given = {
        "target": "y",
        "space": SPACE,
        "n_trials": 3,
        "retrain_seeds": 1,
        "horizon": 2,
        "folds": 1,
        "calendar": False,
        "try_advice": 0.0,
    }
    return lstm_tune.tune(data, **(given | options))


# ---- 1. the same validation targets


@pytest.mark.parametrize("folds", [1, 2])
def test_law_1_every_configuration_is_scored_on_the_same_targets(monkeypatch: pytest.MonkeyPatch, folds: int) -> None:
    problem = task_of(panel(wave(150), with_holes(wave(170, seed=1))), target="y", id="shop", folds=folds)
    seen: list[list[int]] = []

    def spy(forecaster: Any, windows: Windows, positions: torch.Tensor, *rest: Any) -> float:
        rows = [b.target for b in windows.batches(positions, forecaster.context, 64)]
        seen.append([*positions.tolist(), *torch.cat(rows).flatten().tolist()])
        return quick_value(forecaster, windows, positions, *rest)

    monkeypatch.setattr(task, "quick_value", spy)
    one = {"epochs": 1, "patience": 1}
    for number, config in enumerate(VARIED):
        study, _ = run_study(problem, TINY | one | config)
        assert study.trials[0].state is TrialState.COMPLETE
        assert seen[: 2 * folds] == seen[2 * folds * number :]
    data = problem.windows.data
    for fold, positions in zip(problem.folds, seen[:folds], strict=True):
        expected = [
            row for a, b in fold.segment.score for row in range(a, b - 1) if bool(data.observed[0, row : row + 2].any())
        ]
        assert positions[: len(expected)] == fold.report_windows.tolist() == expected


@pytest.mark.parametrize("horizon", [1, 24])
def test_law_1_evaluation_is_bounded_by_the_work_of_an_epoch_and_spread_over_the_rows(horizon: int) -> None:
    fold = task_of(wave(60_000), horizon, split=(0.4, 0.4, 0.2)).folds[0]
    ((start, end),) = fold.segment.score
    assert fold.samples == 4096
    for positions, most in ((fold.epoch_windows, 682), (fold.report_windows, 4096)):
        assert len(positions) == most
        assert (int(positions[0]), int(positions[-1])) == (start, end - horizon)
        assert int(positions.diff().max()) - int(positions.diff().min()) <= 1


def test_law_1_scored_lookbacks_reach_over_the_border_and_trained_targets_do_not() -> None:
    problem = task_of(wave())
    trainer = make_trainer(problem, 0, Config.from_params(TINY | {"lookback": 20}), 0)
    ((start, end),), ((val_start, val_end),) = problem.folds[0].segment.fit, problem.folds[0].segment.score
    assert trainer.positions.tolist() == list(range(start + 20, end - 1))
    assert problem.folds[0].report_windows.tolist() == list(range(val_start, val_end - 1))


# ---- 2. fitted on train rows alone


def fitted(y: np.ndarray, config: Config, rows: tuple[tuple[int, int], ...], at: int) -> list[Any]:
    """Everything that is fitted on the rows of a series whose covariates are its own values."""
    data = series_of(daily(y, p=y, f=y), target="y", past="p", future="f")
    windows = Windows(data, 2)
    model = net(config, Shape(horizon=2, past=1, future=1, period=7))
    model.fit_statistics(windows, rows)
    scale = TargetScale.of(windows, rows)
    baselines = fit_baselines(windows, rows, period=7, max_lookback=12, scale=scale)
    ridge: Any = baselines["ridge"]
    ahead = [b(next(windows.batches(torch.tensor([at]), b.context, 1))) for b in baselines.values()]
    return [*model.buffers(), torch.tensor(scale.mean + scale.sd), ridge.weight, ridge.bias, *ahead]


@settings(max_examples=12, deadline=None)
@given(config=configs, seed=st.integers(0, 99))
def test_law_2_what_is_fitted_does_not_see_later_rows(config: Config, seed: int) -> None:
    y = wave(120, seed=seed)
    changed = y.copy()
    changed[90:] = 1 + np.random.default_rng(seed).exponential(30, size=30)
    one, other = (fitted(values, config, ((0, 90),), at=90) for values in (y, changed))
    for before, after in zip(one, other, strict=True):
        assert torch.equal(before, after)
    assert not torch.equal(fitted(changed, config, ((0, 120),), at=90)[0], one[0])


def test_law_2_period_is_found_in_train_rows_alone() -> None:
    y = np.concatenate([wave(200, period=7), wave(400, period=12)])
    data = series_of(y)
    for rows, period in (((0, 200), 7), ((200, 600), 12)):
        assert best_season(data, (rows,), find_seasons(data, (rows,))) == period
    assert task_of(data, split=(200, 350, 50)).period == 7


def test_law_2_trials_are_fitted_on_train_rows_and_the_retrain_on_train_and_validation_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[int, Any]] = []
    original = lstm_tune.models.forecaster.LSTMForecaster.fit_statistics

    def spy(self: Any, windows: Windows, rows: Any) -> None:
        seen.append((windows.rows, rows))
        original(self, windows, rows)

    monkeypatch.setattr(lstm_tune.models.forecaster.LSTMForecaster, "fit_statistics", spy)
    y = wave(160)
    result = tune(daily(y), n_trials=2)
    trial, retrain = (128, ((0, 112),)), (128, ((0, 128),))
    assert seen == [trial, trial, retrain, *[trial] * (len(seen) - 3)]  # the last ones try what the findings advise
    assert len(seen) <= 6
    assert float(result.model.network.members[0].center[0]) == pytest.approx(y[:128].mean(), rel=1e-5)
    assert result.model.scale.mean[0] == pytest.approx(y[:112].mean(), rel=1e-5)


# ---- 3. every number is the MSE in original units over a constant


@pytest.mark.parametrize("config", VARIED, ids=str)
def test_law_3_value_of_a_trial_is_the_naive_mse_over_the_train_variance(config: dict[str, Any]) -> None:
    problem = task_of(with_holes(40 * wave()))
    study, tuned = run_study(problem, TINY | config)
    segment = problem.folds[0].segment
    naive = naive_mse_scaled(tuned.best.models[0], problem.windows.data, segment.score, segment.fit, 2)
    assert study.best_value == pytest.approx(naive, rel=1e-4)
    assert study.best_trial.user_attrs["val_mse_scaled"] == pytest.approx(naive, rel=1e-4)


def test_law_3_several_targets_count_alike_whatever_their_units() -> None:
    frame = daily(wave(), z=1000 * wave(seed=1, period=5))
    problem = task_of(frame, target=["y", "z"])
    study, tuned = run_study(problem, TINY)
    segment = problem.folds[0].segment
    naive = naive_mse_scaled(tuned.best.models[0], problem.windows.data, segment.score, segment.fit, 2)
    assert study.best_value == pytest.approx(naive, rel=1e-4)


def test_law_3_value_of_several_folds_is_the_mean_in_units_of_the_best_baseline() -> None:
    problem = task_of(wave(200), folds=3)
    study, tuned = run_study(problem, TINY)
    data, train = problem.windows.data, problem.folds[0].segment.fit
    ratios, units = [], []
    for fold, model in zip(problem.folds, tuned.best.models, strict=True):
        baselines = fit_baselines(
            problem.windows,
            fold.segment.fit,
            period=problem.period,
            max_lookback=problem.limits.max_lookback,
            scale=problem.scale,
        )
        units.append(min(naive_mse_scaled(b, data, fold.segment.score, train, 2) for b in baselines.values()))
        ratios.append(naive_mse_scaled(model, data, fold.segment.score, train, 2) / units[-1])
    assert study.best_value == pytest.approx(np.mean(ratios) * units[0], rel=1e-4)


def test_law_3_test_mse_is_the_naive_one_in_original_units() -> None:
    y = 1e7 + 300 * wave(160)
    result = tune(daily(y))
    lookback = result.model.lookback
    squares = []
    for row in range(128, 159):
        ahead = result.model.predict(daily(y[row - lookback : row]))["y"].to_numpy()
        squares.append((ahead - y[row : row + 2]) ** 2)
    assert result.test.mse == pytest.approx(np.mean(squares), rel=1e-3)
    assert result.test.mse_scaled == pytest.approx(np.mean(squares) / y[:112].var(), rel=1e-3)
    assert result.test.windows == len(squares)


# ---- 4. test rows are read once, after the study


def noise_like(y: np.ndarray, start: int) -> np.ndarray:
    changed = y.copy()
    changed[start:] = np.random.default_rng(1).normal(-50, 400, size=len(y) - start)
    return changed


def trials_of(result: Any) -> list[Any]:
    return [(t.state, t.params, t.value, t.intermediate_values) for t in result.study.trials]


@pytest.mark.parametrize("folds", [1, 2])
def test_law_4_noise_in_the_test_rows_changes_no_trial(folds: int) -> None:
    y = wave(160)
    wide = SPACE | {"transform": ["none", "log"], "difference": ["none", "first", "seasonal"], "dropout": 0.2}
    one = tune(daily(y), n_trials=4, space=wide, folds=folds)
    other = tune(daily(noise_like(y, 128)), n_trials=4, space=wide, folds=folds)
    assert trials_of(one) == trials_of(other)
    assert one.best_params == other.best_params
    assert one.test.mse != other.test.mse


@pytest.mark.parametrize("level", [5.0, 1e8])
def test_law_4_holds_for_several_series_and_large_numbers(level: float) -> None:
    a, b = wave(120, level=level), wave(120, level=level, seed=1)
    one = tune(panel(a, b), id="shop", n_trials=2)
    other = tune(panel(noise_like(a, 96), noise_like(b, 96)), id="shop", n_trials=2)
    assert trials_of(one) == trials_of(other)


def test_law_4_no_trial_can_reach_a_test_row() -> None:
    problem = task_of(panel(wave(100), wave(150)), split="last:10,20", target="y", id="shop")
    assert problem.windows.data.offsets == (0, 80, 210)
    assert problem.windows.data.values.untyped_storage().nbytes() == 210 * 4
    assert len(problem.windows.data.times) == 210


def test_law_4_test_rows_are_scored_after_the_last_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    original = holdout.score_test_rows
    monkeypatch.setattr(
        conclusion, "score_test_rows", lambda *args, **how: order.append("test") or original(*args, **how)
    )
    tune(daily(wave()), callbacks=[lambda study, trial: order.append("trial")])
    assert order == ["trial"] * 3 + ["test"]


# ---- 5. a value that was filled in is never a target


def test_law_5_scores_and_training_do_not_depend_on_filled_targets() -> None:
    data = series_of(with_holes(wave()))
    rows, scale = ((0, 112),), TargetScale(mean=(5.0,), sd=(0.7,))
    seen: list[list[Any]] = []
    for windows in (Windows(data, 3), GarbledWindows(data, 3)):
        positions = windows.positions(((112, 160),), 0, reach_back=True)
        found: list[Any] = []
        for config in VARIED:
            config = Config.from_params(TINY | config)
            model = net(config, Shape(horizon=3, period=7))
            model.fit_statistics(windows, rows)
            trainer = lstm_tune.training.trainer.Trainer(
                model, windows, windows.positions(rows, model.context, reach_back=False), config, 64, 0
            )
            total = score(model, windows, positions, scale)
            found += [total.mse, total.mae, total.r2, total.mse_scaled, total.per_step_mse]
            found += [quick_mse_scaled(model, windows, positions, scale), trainer.run_epoch()]
            found += [p.flatten().tolist() for p in (*model.parameters(), *model.buffers())]
        for baseline in fit_baselines(
            windows, rows, period=7, max_lookback=8, scale=TargetScale(mean=(0.0,), sd=(0.7,))
        ).values():
            found.append(score(baseline, windows, positions, scale).mse)
        seen.append(found)
    assert len(seen[0]) == len(seen[1])
    assert all(one == other for one, other in zip(*seen, strict=True))


def test_law_5_windows_without_an_observed_target_are_left_out() -> None:
    y = wave(60)
    y[20:30] = np.nan
    windows = Windows(series_of(y), 3)
    rows = windows.positions(((0, 60),), 4, reach_back=False).tolist()
    assert rows == [r for r in range(4, 58) if not 20 <= r <= 27]


# ---- 6. a trial returns its best value, and keeps those weights


def test_law_6_trial_returns_its_least_report_and_keeps_the_weights_of_that_epoch() -> None:
    problem = task_of(wave())
    for rate in (0.5, 1.0, 2.0, 4.0):  # so rough that the last epoch is not the best
        rough = TINY | {"learning_rate": rate, "gradient_clip": 0.0, "epochs": 8, "patience": 8}
        study, tuned = run_study(problem, rough)
        (trial,) = study.trials
        assert trial.state is TrialState.COMPLETE
        assert trial.value == min(trial.intermediate_values.values())
        best = trial.user_attrs["best_epoch"]
        assert trial.intermediate_values[best] == trial.value
        if best < 8:
            break
    assert best < trial.user_attrs["epochs"] == 8
    again = quick_mse_scaled(tuned.best.models[0], problem.windows, problem.folds[0].report_windows, problem.scale)
    assert again == trial.value


def test_law_6_trial_that_stops_early_is_complete() -> None:
    study, _ = run_study(task_of(wave()), TINY | {"learning_rate": 1.0, "epochs": 20, "patience": 1})
    (trial,) = study.trials
    assert trial.state is TrialState.COMPLETE
    assert trial.user_attrs["stopped"] == "patience"
    assert trial.user_attrs["epochs"] < 20
    assert trial.value == min(trial.intermediate_values.values())


def test_law_6_divergence_is_pruned_with_the_reason() -> None:
    wild = {"learning_rate": 10.0, "optimizer": "sgd", "gradient_clip": 0.0, "activation": "relu", "epochs": 8}
    study, _ = run_study(task_of(1e3 * wave()), TINY | wild)
    (trial,) = study.trials
    assert trial.state is TrialState.PRUNED
    assert trial.user_attrs["pruned_because"].startswith("diverged: ")


def test_law_6_pruned_trial_names_the_pruner() -> None:
    class Always(optuna.pruners.BasePruner):
        def prune(self, study: Any, trial: Any) -> bool:
            return True

    study = optuna.create_study(pruner=Always())
    study.optimize(objective_of(task_of(wave()), TINY), n_trials=1)
    assert study.trials[0].state is TrialState.PRUNED
    assert study.trials[0].user_attrs["pruned_because"] == "the pruner stopped it after epoch 1"
    assert list(study.trials[0].intermediate_values) == [0, 1]


# ---- 7. the same seed, the same result


def stripped(folder: Path) -> dict[str, Any]:
    record = json.loads((folder / "result.json").read_text())
    del record["timing"], record["study"]["storage"]
    return record


def test_law_7_same_seed_gives_the_same_result_to_the_bit(tmp_path: Path) -> None:
    wide = SPACE | {"dropout": 0.3, "layers": 2, "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}}
    for run in "ab":
        torch.manual_seed(ord(run))
        np.random.seed(ord(run))
        tune(daily(wave()), space=wide, n_trials=4, retrain_seeds=2, out=tmp_path / run)
    assert stripped(tmp_path / "a") == stripped(tmp_path / "b")
    for name in ("model/weights.safetensors", "model/config.json", "forecast.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    tune(daily(wave()), space=wide, n_trials=4, retrain_seeds=2, out=tmp_path / "c", seed=1)
    weights = [(tmp_path / run / "model/weights.safetensors").read_bytes() for run in "ac"]
    assert weights[0] != weights[1]


def test_law_7_tune_leaves_the_global_random_numbers_alone() -> None:
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    tune(daily(wave()), space=SPACE | {"dropout": 0.2, "layers": 2})
    after = torch.get_rng_state(), np.random.get_state(), random.getstate()
    assert torch.equal(before[0], after[0])
    assert all(np.array_equal(a, b) for a, b in zip(before[1], after[1], strict=True))
    assert before[2] == after[2]


# ---- 8. the plain LSTM and the best-known configurations first


@pytest.mark.parametrize("preset", sorted(presets()))
def test_law_8_every_preset_begins_with_the_plain_lstm_and_its_best_known(preset: str) -> None:
    any_data = Limits(max_lookback=9999, positive=True, period=24, max_batch_size=9999, several_series=True)
    space, _ = load_space(preset).cut(any_data)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    enqueue_known(study, space)
    tables = tomllib.loads(presets()[preset].read_text()).get("first", [])
    plain = space.suggest(study.ask())
    assert (plain.optimizer, plain.dropout, plain.batch_size) == ("adam", 0.2, 32)
    if preset != "quick":  # its space starts above 20 rows and has other choices
        assert (plain.lookback, plain.hidden_units, plain.activation) == (20, 50, "tanh")
    if preset == "default":
        assert plain == dataclasses.replace(PLAIN, epochs=plain.epochs, patience=plain.patience)
    for table in tables:
        config = space.suggest(study.ask())
        assert {name: getattr(config, name) for name in table} == table


def test_law_8_tune_tries_the_known_configurations_in_this_order() -> None:
    wide = SPACE | {"lookback": [6, 20], "first": [{"lookback": 6, "skip": "last"}, {"lookback": 20, "skip": "last"}]}
    result = tune(daily(wave(200)), space=wide, n_trials=3)
    assert [t.params for t in result.study.trials] == [
        {"lookback": 20, "skip": "none"},
        {"lookback": 6, "skip": "last"},
        {"lookback": 20, "skip": "last"},
    ]
    assert result.record["best"]["val_mse_scaled"] <= result.study.trials[0].value + 1e-6


# ---- 9. the baselines go through the same scoring code


def test_law_9_model_and_baselines_are_scored_by_the_same_code_on_the_same_windows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: dict[str, list[Any]] = {"validation": [], "test": []}

    def spy(part: str) -> Any:
        def scored(forecaster: Any, windows: Windows, positions: Any, scale: TargetScale, **options: Any) -> Any:
            inner = getattr(forecaster, "_inner", forecaster)  # a `Recorder` only listens
            calls[part].append((type(inner).__name__, positions.tolist(), scale))
            return evaluate.score(forecaster, windows, positions, scale, **options)

        return scored

    for module, part in ((task, "validation"), (holdout, "test")):
        monkeypatch.setattr(module, "score", spy(part))
    y = wave(160)
    result = tune(daily(y))
    names = {"Persistence", "SeasonalNaive", "Ridge", "ExponentialSmoothing", "Combination"}
    assert {name for name, *_ in calls["validation"]} == names | {"LSTMForecaster"}
    assert {name for name, *_ in calls["test"]} == names | {"MeanForecaster", "TrainMean"}
    for part, rows in (("validation", range(112, 127)), ("test", range(128, 159))):
        for _, positions, scale in calls[part]:
            assert positions == list(rows)
            assert scale == calls["validation"][0][2]
    persistence = np.mean([(y[r : r + 2] - y[r - 1]) ** 2 for r in range(128, 159)])
    seasonal = np.mean([(y[r : r + 2] - y[r - 7 : r - 5]) ** 2 for r in range(128, 159)])
    assert result.record["baselines"]["persistence"]["test_mse"] == pytest.approx(persistence, rel=1e-4)
    assert result.record["baselines"]["seasonal_naive"]["test_mse"] == pytest.approx(seasonal, rel=1e-4)
    assert result.record["skill"]["persistence"] == pytest.approx(1 - result.test.mse / persistence, rel=1e-4)


def test_default_split_is_the_one_that_these_tests_assume() -> None:
    split = make_split(series_of(pd.Series(wave(160))), (0.7, 0.1, 0.2), 2)
    assert (split.train, split.val, split.test) == (((0, 112),), ((112, 128),), ((128, 160),))
