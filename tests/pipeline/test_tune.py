"""`tune` from end to end: the result, the run folder, resuming, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from optuna.trial import TrialState
from series import TINY, daily, panel, wave, with_holes
from studies import Watching

import lstm_tune
from lstm_tune.errors import DataError, LstmTuneError, RunError, SpaceError, StudyError, UsageError
from lstm_tune.pipeline import options as pipeline_options
from lstm_tune.pipeline import prepare
from lstm_tune.pipeline.saved_run import load
from lstm_tune.report.run_folder import run_name
from lstm_tune.search.progress import Silent
from lstm_tune.training import precision
from lstm_tune.training import trainer as train

pytestmark = pytest.mark.usefixtures("short_epochs")

SPACE: dict[str, Any] = TINY | {"epochs": 1, "lookback": [4, 8, 12], "skip": ["none", "last"]}


def tune(data: Any, **options: Any) -> Any:
    given = {
        "target": "y",
        "space": SPACE,
        "n_trials": 2,
        "retrain_seeds": 1,
        "horizon": 2,
        "folds": 1,
        "calendar": False,
    }
    return lstm_tune.tune(data, **(given | options))


def keys_of(record: Any) -> set[str]:
    return set(record)


def assert_contract(record: dict[str, Any]) -> None:
    """All that the design promises of result.json is there, and of the right kind."""
    assert record["schema"] == 1
    data = {"path", "rows", "freq", "target", "series", "channels", "horizon", "split", "missing", "repaired"}
    assert keys_of(record["data"]) >= data
    for part in ("train", "val", "test"):
        assert keys_of(record["data"]["split"][part]) >= {"rows", "start", "end"}
    assert keys_of(record["study"]) >= {"name", "storage", "direction", "n_trials", "states"}
    assert keys_of(record["study"]["states"]) >= {"COMPLETE", "PRUNED", "FAIL", "RUNNING"}
    assert keys_of(record["best"]) >= {"trial", "params", "val_mse", "val_mse_scaled", "epochs"}
    assert keys_of(record["best"]["params"]) == set(lstm_tune.Config().params())
    test = {"mse", "rmse", "mae", "r2", "mse_scaled", "per_step_mse", "ci95", "windows"}
    assert keys_of(record["test"]) >= test
    assert len(record["test"]["per_step_mse"]) == record["data"]["horizon"]
    low, high = record["test"]["ci95"]
    assert low <= high
    assert keys_of(record["retrain"]) >= {"rows", "epochs", "seeds", "mean", "sd"}
    for seed in record["retrain"]["seeds"]:
        assert keys_of(seed) >= {"seed", "mse", "mse_scaled"}
    names = {"persistence", "seasonal_naive", "ridge", "ets", "combination"}
    assert keys_of(record["baselines"]) == keys_of(record["skill"]) == names
    for name, baseline in record["baselines"].items():
        assert keys_of(baseline) >= {"val_mse", "test_mse", "test_mse_scaled"}
        skill = 1 - record["test"]["mse_scaled"] / baseline["test_mse_scaled"]
        assert record["skill"][name] == pytest.approx(skill)
    for finding in record["findings"]:
        assert keys_of(finding) >= {"code", "severity", "evidence", "says", "advice"}
        assert finding["severity"] in ("info", "warn", "high")
    assert keys_of(record["timing"]) >= {"seconds", "trials_per_hour", "samples_per_second"}
    assert keys_of(record["timing"]["seconds"]) >= {"data", "study", "retrain", "test", "total"}
    assert keys_of(record["env"]) >= {"versions", "device", "threads", "workers", "precision", "seed"}
    json.dumps(record, allow_nan=False)


def test_result_holds_what_the_contract_names(tmp_path: Path) -> None:
    result = tune(daily(wave()), out=tmp_path / "run", retrain_seeds=2)
    record = json.loads((tmp_path / "run" / "result.json").read_text())
    assert_contract(record)
    assert record == json.loads(json.dumps(result.to_dict()))
    assert record["data"]["split"] == {
        "train": {"rows": 112, "start": "2024-01-01", "end": "2024-04-21"},
        "val": {"rows": 16, "start": "2024-04-22", "end": "2024-05-07"},
        "test": {"rows": 32, "start": "2024-05-08", "end": "2024-06-08"},
    }
    assert (record["retrain"]["rows"], len(record["retrain"]["seeds"])) == ("train+val", 2)
    assert result.test.rmse == pytest.approx(math.sqrt(result.test.mse))
    assert result.best_params == record["best"]["params"]
    assert isinstance(result.study, optuna.Study)


def test_run_folder_holds_every_file_and_no_leftover(tmp_path: Path) -> None:
    tune(daily(wave()), out=tmp_path)
    files = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    wanted = {"result.json", "trials.csv", "forecast.csv", "model/weights.safetensors", "model/config.json"}
    assert files >= wanted | {"study.journal"}
    assert not [name for name in files if name.endswith((".part", ".lock"))]
    trials = pd.read_csv(tmp_path / "trials.csv")
    assert trials["number"].tolist() == [0, 1]
    assert set(trials["state"]) == {"COMPLETE"}
    assert "params_lookback" in trials


def test_forecast_file_says_what_the_loaded_model_forecasts(tmp_path: Path) -> None:
    y = wave(160)
    y[[140, 150]] = np.nan
    result = tune(daily(y), out=tmp_path)
    table = pd.read_csv(tmp_path / "forecast.csv")
    assert list(table.columns) == ["time", "series", "step", "actual", "forecast"]
    assert len(table) == 2 * result.test.windows == 2 * 31
    known = table.dropna()
    assert len(table) - len(known) == 4
    mse = ((known["actual"] - known["forecast"]) ** 2).mean()
    assert mse == pytest.approx(result.test.mse, rel=1e-4)
    model = load(tmp_path)
    first = model.predict(daily(y).head(128))
    np.testing.assert_allclose(first["y"], table["forecast"].head(2), rtol=1e-5)
    assert table["time"].head(2).tolist() == [str(t.date()) for t in first["time"]]


def test_several_targets_are_scored_each_in_its_own_units(tmp_path: Path) -> None:
    result = tune(daily(wave(), z=100 * wave(seed=1)), target=["y", "z"], out=tmp_path)
    record = result.to_dict()
    assert_contract(record)
    assert keys_of(record["test"]["mse"]) == keys_of(record["best"]["val_mse"]) == {"y", "z"}
    assert record["test"]["mse"]["z"] > 100 * record["test"]["mse"]["y"]
    assert set(pd.read_csv(tmp_path / "forecast.csv")["series"]) == {"y", "z"}
    scaled = [record["test"]["mse"][c] / sd**2 for c, sd in zip("yz", result.model.scale.sd, strict=True)]
    assert record["test"]["mse_scaled"] == pytest.approx(np.mean(scaled))
    assert list(load(tmp_path).predict(daily(wave(), z=wave()))) == ["time", "series", "step", "y", "z"]


def test_several_series_are_tuned_together(tmp_path: Path) -> None:
    frame = panel(wave(135), with_holes(wave(140, seed=1)))
    result = tune(frame, id="shop", out=tmp_path)
    assert_contract(result.to_dict())
    assert result.record["data"]["series"] == 2
    table = pd.read_csv(tmp_path / "forecast.csv")
    assert set(table["series"]) == {"a", "b"}
    ahead = load(tmp_path).predict(frame)
    assert ahead["series"].tolist() == ["a", "a", "b", "b"]


def test_series_that_is_too_short_beside_the_others_is_left_out() -> None:
    result = tune(panel(wave(150), wave(9), wave(150, seed=2)), id="shop")
    assert result.record["data"]["split"]["train"]["rows"] == 2 * 105
    assert "too short: 'b'" in " ".join(result.record["data"]["notes"])
    assert math.isfinite(result.test.mse)


def test_covariates_and_calendar_go_in() -> None:
    frame = daily(wave(), p=wave(seed=1), f=wave(seed=2))
    result = tune(frame, past=["p"], future=["f"], calendar=True)
    assert result.record["data"]["past"] == ["p"]
    assert result.record["data"]["future"][0] == "f"
    assert len(result.record["data"]["future"]) > 1
    ahead = pd.concat([frame, daily([np.nan] * 2, start="2024-06-09", p=np.nan, f=[0.0, 1.0])])
    assert np.isfinite(result.model.predict(ahead)["y"]).all()


def test_folds_are_scored_each() -> None:
    result = tune(daily(wave(200)), folds=3)
    assert_contract(result.to_dict())
    assert len(result.record["best"]["fold_mse_scaled"]) == 3
    assert result.record["best"]["fold_mse_scaled"][0] == result.record["best"]["val_mse_scaled"]


@pytest.mark.slow
def test_on_a_random_walk_the_model_stays_near_the_forecast_that_cannot_be_beaten(tmp_path: Path) -> None:
    walk = daily(np.cumsum(np.random.default_rng(0).normal(size=1500)))
    space = {"lookback": 8, "hidden_units": [4, 8], "skip": "last", "learning_rate": 0.01, "epochs": 3}
    result = tune(walk, horizon=1, space=space, folds=3, retrain_seeds=2, n_trials=4, out=tmp_path / "run")
    untrained = [member for member in result.record["ensemble"] if member["epochs"] == 0]
    assert sum(member["weight"] for member in untrained) > 0.5
    assert result.record["skill"]["persistence"] > -0.02
    saved = [member.is_untrained for member in load(tmp_path / "run").network.members]
    assert sum(saved) == 2 * len(untrained)  # once for each seed
    alone = tune(walk, horizon=1, space=space, folds=3, retrain_seeds=1, n_trials=4)
    assert len(alone.record["ensemble"]) == 1


@pytest.mark.laws
def test_start_of_a_trial_is_recorded_whatever_the_pruner_reports() -> None:
    starts = [
        {
            t.number: t.user_attrs["start"]
            for t in tune(daily(wave(200)), folds=3, pruner=pruner, n_trials=3).study.trials
        }
        for pruner in ("none", "wilcoxon")
    ]
    assert starts[0] == pytest.approx(starts[1])


@pytest.mark.laws
def test_pruner_for_folds_reports_fold_by_fold() -> None:
    result = tune(daily(wave(200)), folds=3, pruner="wilcoxon", n_trials=3)
    complete = [t for t in result.study.trials if t.state is TrialState.COMPLETE]
    assert complete
    assert all(set(t.intermediate_values) == {0, 1, 2} for t in complete)


@pytest.mark.parametrize("horizon", [1, 7])
def test_values_missing_from_every_window_do_not_end_the_job(horizon: int) -> None:
    result = tune(daily(with_holes(wave(200), every=4)), horizon=horizon, space=SPACE | {"skip": ["linear", "last"]})
    assert math.isfinite(result.test.mse)


@pytest.mark.parametrize("data", [wave(), pd.Series(wave(), name="y"), daily(wave())[["y"]]], ids=["array", "s", "f"])
def test_arrays_and_series_need_no_target(data: Any) -> None:
    assert tune(data, target=None).record["data"]["target"] == ["y"]


def test_file_and_frame_give_the_same_result(tmp_path: Path) -> None:
    daily(wave()).to_csv(tmp_path / "d.csv", index=False)
    assert tune(str(tmp_path / "d.csv")).test == tune(pd.read_csv(tmp_path / "d.csv")).test


def test_timeout_leaves_a_result_even_when_no_retrain_fits_in() -> None:
    result = tune(daily(wave()), space=TINY | {"skip": "last"}, n_trials=None, timeout=0.01)
    assert_contract(result.to_dict())
    assert result.record["retrain"]["rows"] == "train"
    assert result.record["study"]["n_trials"] >= 1


def test_timeout_ends_a_study_without_a_number_of_trials() -> None:
    untrained = TINY | {"skip": "last"}  # completes even if a busy machine leaves no time for an epoch
    result = tune(daily(wave()), space=untrained, n_trials=None, timeout=2.0)
    assert result.record["study"]["states"]["COMPLETE"] >= 1
    assert result.record["timing"]["seconds"]["total"] < 60


def test_study_without_limits_stops_when_trials_no_longer_help_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_options, "DEFAULT_PATIENCE", 3)
    progress = Watching()
    one_config = TINY | {"epochs": 1}
    result = tune(daily(wave()), n_trials=None, space=one_config, progress=progress)
    assert result.record["study"]["n_trials"] == 4
    assert any("stopped after 4 trials" in text and "n_trials= or timeout=" in text for text in progress.notes)
    assert tune(daily(wave()), n_trials=6, space=one_config).record["study"]["n_trials"] == 6


@pytest.mark.laws
def test_trials_that_end_while_others_are_read_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process completes a trial after every reading, better than all before it."""
    original = optuna.Study.get_trials
    added: list[float] = []

    def get_trials(self: optuna.Study, *args: Any, **options: Any) -> Any:
        found = original(self, *args, **options)
        done = [t for t in original(self, deepcopy=False) if t.state is TrialState.COMPLETE]
        if done and len(added) < 40:
            added.append(0.9 * min(t.value for t in done))
            one = optuna.trial.create_trial(
                params=done[0].params,
                distributions=done[0].distributions,
                user_attrs=done[0].user_attrs,
                value=added[-1],
            )
            original_add(self, one)
        return found

    original_add = optuna.Study.add_trial
    monkeypatch.setattr(optuna.Study, "get_trials", get_trials)
    result = tune(daily(wave()), n_trials=3, retrain_seeds=2)
    assert len(added) > 3
    numbers = {member["trial"] for member in result.record["ensemble"]}
    assert numbers <= {trial.number for trial in result.trials}
    assert result.record["best"]["value"] == min(t.value for t in result.trials if t.value is not None)


def test_no_known_configuration_waits_at_the_end() -> None:
    result = tune(daily(wave()), n_trials=1)
    assert [t.state for t in result.study.trials] == [TrialState.COMPLETE]


def test_known_configurations_are_tried_first_when_a_study_is_resumed_for_more(tmp_path: Path) -> None:
    for trials in (1, 3):
        options = {"out": tmp_path, "space": "quick", "resume": trials > 1, "n_trials": trials, "timeout": 600}
        result = tune(daily(wave(), z=wave()), **options)
    known = result.study.trials
    whole = tune(daily(wave(), z=wave()), **(options | {"out": None, "resume": False})).study.trials
    assert [t.params for t in known] == [t.params for t in whole]


def test_one_callback_needs_no_list() -> None:
    numbers: list[int] = []
    tune(daily(wave()), callbacks=lambda study, trial: numbers.append(trial.number))
    assert numbers == [0, 1]


# ---- resuming


def test_resuming_a_study_that_no_longer_gained_repeats_its_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_options, "DEFAULT_PATIENCE", 3)
    options = {"n_trials": None, "space": TINY | {"epochs": 1}, "out": tmp_path / "run"}
    first = tune(daily(wave()), **options)
    again = tune(daily(wave()), resume=True, **options)
    assert again.record["study"]["n_trials"] == first.record["study"]["n_trials"] == 4
    assert again.test == first.test


def test_resumed_study_without_time_still_retrains_one_model(tmp_path: Path) -> None:
    tune(daily(wave()), n_trials=3, out=tmp_path / "run", retrain_seeds=3)
    late = tune(daily(wave()), n_trials=3, out=tmp_path / "run", retrain_seeds=3, resume=True, timeout=0.01)
    assert late.record["retrain"]["rows"] == "train+val"
    assert len(late.record["retrain"]["seeds"]) == 1


def interrupt_after(number: int) -> Any:
    def callback(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        if trial.number == number:
            raise KeyboardInterrupt

    return callback


@pytest.mark.laws
def test_resumed_study_ends_as_the_uninterrupted_one(tmp_path: Path) -> None:
    whole = tune(daily(wave()), n_trials=5, out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        tune(daily(wave()), n_trials=5, out=tmp_path / "part", callbacks=[interrupt_after(2)])
    part = json.loads((tmp_path / "part" / "result.json").read_text())
    assert (part["study"]["interrupted"], part["study"]["n_trials"]) == (True, 3)
    resumed = tune(daily(wave()), n_trials=5, out=tmp_path / "part", resume=True)
    assert [(t.params, t.value) for t in resumed.study.trials] == [(t.params, t.value) for t in whole.study.trials]
    assert resumed.test == whole.test
    assert resumed.record["best"] == whole.record["best"]


@pytest.mark.laws
def test_configurations_that_time_did_not_reach_are_tried_first_when_the_study_is_resumed(tmp_path: Path) -> None:
    def stop(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        study.stop()

    known = [{"lookback": 12, "skip": "last"}, {"lookback": 8}]
    options = {"space": SPACE | {"first": known}, "n_trials": 5}
    whole = tune(daily(wave()), **options)
    part = tune(daily(wave()), **options, out=tmp_path, callbacks=[stop])
    assert [t.state for t in part.study.trials] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.FAIL]
    assert part.record["study"]["not_counted"] == 2
    resumed = tune(daily(wave()), **options, out=tmp_path, resume=True)
    assert [(t.params, t.value) for t in resumed.study.trials if t.state is TrialState.COMPLETE] == [
        (t.params, t.value) for t in whole.study.trials
    ]
    assert resumed.test == whole.test


class InterruptedEpoch(Silent):
    """A person who presses Ctrl-C in the middle of trial 1."""

    def epoch(self, trial: int, stats: Any) -> None:
        if trial == 1 and stats.epoch == 1:
            raise KeyboardInterrupt


@pytest.mark.laws
def test_trial_that_an_interruption_ended_is_tried_again(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        tune(daily(wave()), n_trials=3, out=tmp_path, progress=InterruptedEpoch())
    resumed = tune(daily(wave()), n_trials=3, out=tmp_path, resume=True)
    states = [t.state for t in resumed.study.trials]
    assert states == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]
    assert resumed.study.trials[2].params == resumed.study.trials[1].params
    assert (resumed.record["study"]["states"]["FAIL"], resumed.record["study"]["not_counted"]) == (1, 1)


@pytest.mark.laws
def test_resumed_study_keeps_the_precision_that_it_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bf16", lambda device: True)
    monkeypatch.setattr(prepare, "pick_precision", lambda *asked: "bf16")
    first = tune(daily(wave()), n_trials=1, out=tmp_path)
    assert first.record["env"]["precision"] == "bf16"
    monkeypatch.setattr(prepare, "pick_precision", lambda *asked: pytest.fail("measured again"))
    again = tune(daily(wave()), n_trials=2, out=tmp_path, resume=True)
    assert again.record["env"]["precision"] == "bf16"
    with pytest.raises(StudyError, match=r'another precision \("bf16", now "fp32"\)'):
        tune(daily(wave()), n_trials=2, out=tmp_path, resume=True, precision="fp32")
    monkeypatch.setattr(prepare, "has_bf16", lambda device: False)
    with pytest.raises(StudyError, match="trains in bf16, which this machine lacks"):
        tune(daily(wave()), n_trials=2, out=tmp_path, resume=True)


@pytest.mark.laws
def test_trials_and_retrain_train_in_the_precision_of_the_study(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bf16", lambda device: True)
    monkeypatch.setattr(train, "_LEAST_WORK", 0)
    asked = []
    inner = train.set_training_precision
    monkeypatch.setattr(train, "set_training_precision", lambda model, p: asked.append(p) or inner(model, p))
    for name in ("bf16", "fp32"):
        asked.clear()
        result = tune(daily(wave()), n_trials=1, precision=name)
        assert len(asked) > 1
        assert set(asked) == {name}
        assert result.study.trials[0].user_attrs["precision"] == name
        assert result.record["env"]["precision"] == name


@pytest.mark.laws
def test_finished_study_can_be_resumed_for_more_trials_or_none(tmp_path: Path) -> None:
    first = tune(daily(wave()), n_trials=2, out=tmp_path)
    again = tune(daily(wave()), n_trials=2, out=tmp_path, resume=True)
    assert again.test == first.test
    assert not again.record["timing"]["trials_per_hour"]  # of this run alone
    more = tune(daily(wave()), n_trials=4, out=tmp_path, resume=True)
    assert more.record["study"]["n_trials"] == 4


def test_folder_that_holds_a_study_is_refused_without_resume(tmp_path: Path) -> None:
    tune(daily(wave()), n_trials=1, out=tmp_path)
    before = (tmp_path / "result.json").read_bytes()
    with pytest.raises(StudyError, match="holds a study already"):
        tune(daily(wave()), n_trials=1, out=tmp_path)
    with pytest.raises(StudyError, match=r"other data \(the same rows with other values\)"):
        tune(daily(wave(seed=3)), n_trials=1, out=tmp_path, resume=True)
    with pytest.raises(StudyError, match="another seed"):
        tune(daily(wave()), n_trials=1, out=tmp_path, resume=True, seed=1)
    assert (tmp_path / "result.json").read_bytes() == before


def test_refused_resume_says_what_differs_and_names_the_first_command(tmp_path: Path) -> None:
    def begin(rows: int, **options: Any) -> Any:
        daily(wave(rows)).to_csv(tmp_path / "d.csv", index=False)
        return tune(tmp_path / "d.csv", space="quick", n_trials=1, out=tmp_path / "run", **options)

    begin(160)
    first = f"lstm-tune tune {tmp_path}/d.csv --target y --horizon 2 .* --out {tmp_path}/run --resume"
    data = r"other data \(160 rows, 2024-01-01 to 2024-06-08, now 161 rows, 2024-01-01 to 2024-06-09\)"
    with pytest.raises(StudyError, match=f"{data}; repeat the first command with resume=True: {first}; or use another"):
        begin(161, resume=True)
    with pytest.raises(StudyError, match=f"other settings than 'd-y-h3'; repeat the first .* {first}; or use another"):
        begin(160, resume=True, horizon=3)


def test_ten_failures_in_a_row_end_the_study() -> None:
    class Broken(Silent):
        def epoch(self, trial: int, stats: Any) -> None:
            raise ZeroDivisionError("broken on purpose")

    with pytest.raises(StudyError, match=r"10 trials in a row failed.*broken on purpose"):
        tune(daily(wave()), n_trials=30, progress=Broken())


def test_study_without_a_completed_trial_is_an_error_with_the_reason() -> None:
    wild = {"learning_rate": 10.0, "optimizer": "sgd", "gradient_clip": 0.0, "activation": "relu", "epochs": 8}
    with pytest.raises(StudyError, match=r"no trial was completed.*diverged"):
        tune(daily(1e3 * wave()), space=TINY | wild, n_trials=1)


def test_study_without_one_epoch_and_without_a_simple_forecast_saves_no_random_weights(tmp_path: Path) -> None:
    told = r"^no epoch fitted into the time limit of 0\.01 s; pass a longer timeout=$"
    with pytest.raises(StudyError, match=told):
        tune(daily(wave()), space=TINY, n_trials=None, timeout=0.01, out=tmp_path / "run")
    assert not (tmp_path / "run" / "result.json").exists()


def test_time_limit_that_is_over_before_the_first_trial_is_reported() -> None:
    progress = Watching()
    tune(daily(wave()), space=TINY | {"skip": "last"}, n_trials=1, timeout=0.01, progress=progress)
    told = [note for note in progress.notes if note.startswith("the time limit left nothing for trials, which began")]
    assert [note.rpartition("; ")[2] for note in told] == ["pass a longer timeout="]


# ---- what happens after the search loses nothing


@pytest.mark.parametrize("value", [1e20, -9.96921e36, 1e30])
def test_wild_test_value_leaves_a_result_that_names_its_row(tmp_path: Path, value: float) -> None:
    y = wave(160)
    y[150] = value
    space = SPACE | {"window_norm": ["standard", "last"]}
    result = tune(daily(y), out=tmp_path, space=space, n_trials=4, retrain_seeds=2)
    record = json.loads((tmp_path / "result.json").read_text())
    assert record == result.to_dict()
    assert any("2024-05-30" in note and f"{value:.6g}" in note for note in record["data"]["notes"])
    assert (tmp_path / "report.html").exists()
    assert pd.read_csv(tmp_path / "forecast.csv")["actual"].abs().max() == pytest.approx(abs(value), rel=1e-6)


def test_values_within_a_million_deviations_are_no_wild_ones() -> None:
    y = wave(160)
    y[150] = 1e4
    assert not any("decide the test" in note for note in tune(daily(y)).record["data"]["notes"])


@pytest.mark.parametrize("step", ["retrain_best", "score_test_rows", "build_result"])
def test_error_that_nobody_foresaw_keeps_the_trials_and_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*args: Any, **options: Any) -> Any:
        raise ZeroDivisionError("of a library")

    monkeypatch.setattr(f"lstm_tune.pipeline.conclusion.{step}", fail)
    with pytest.raises(StudyError, match=r"the trials are kept.*ZeroDivisionError: of a lib.*resume=True") as caught:
        tune(daily(wave()), out=tmp_path)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert len(pd.read_csv(tmp_path / "trials.csv")) == 2
    monkeypatch.undo()
    assert tune(daily(wave()), out=tmp_path, resume=True).record["study"]["n_trials"] == 2


def test_result_is_kept_if_its_findings_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> Any:
        raise ZeroDivisionError("of a rule")

    progress = Watching()
    monkeypatch.setattr("lstm_tune.pipeline.conclusion.diagnose_study", fail)
    result = tune(daily(wave()), out=tmp_path, progress=progress)
    assert result.record["findings"] == []
    assert result.test.mse > 0
    assert any("no findings could be worked out (ZeroDivisionError: of a rule)" in text for text in progress.notes)


# ---- refusals


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"n_trials": 0}, UsageError, "n_trials must be at least 1, but is 0"),
        ({"timeout": 0.0}, UsageError, "timeout must be above 0"),
        ({"timeout": math.nan}, UsageError, "timeout must be above 0"),
        ({"retrain_seeds": 0}, UsageError, "retrain_seeds must be at least 1"),
        ({"seed": -1}, UsageError, "seed must be from 0"),
        ({"horizon": 0}, UsageError, "horizon must be at least 1"),
        ({"folds": 0}, UsageError, "folds must be at least 1"),
        ({"split": (0.5, 0.5, 0.5)}, UsageError, "add up to 1"),
        ({"split": (100, 50, 50)}, DataError, "needs 200 rows"),
        ({"horizon": 40, "split": (0.7, 0.1, 0.2)}, DataError, "shorter horizon"),
        ({"device": "tpu"}, UsageError, "device must be auto, cpu or cuda"),
        ({"precision": "fp8"}, UsageError, "precision must be"),
        ({"sampler": "magic"}, UsageError, "sampler must be one of"),
        ({"pruner": "magic"}, UsageError, "pruner must be one of"),
        ({"space": "magic"}, SpaceError, "no such preset"),
        ({"space": {"lookback": 0}}, SpaceError, "lookback"),
        ({"target": "nothing"}, UsageError, "nothing"),
        ({"storage": "nosuch://x"}, UsageError, "cannot open the storage"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused_in_one_line(
    options: dict[str, Any], error: type[LstmTuneError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        tune(daily(wave()), **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [lambda p: p / "nothing", lambda p: p], ids=["missing", "empty"])
def test_loading_what_is_no_run_is_refused(tmp_path: Path, make: Any) -> None:
    with pytest.raises(RunError) as caught:
        load(make(tmp_path))
    assert "\n" not in str(caught.value)


def test_folder_of_a_study_that_was_stopped_without_a_model_tells_to_resume(tmp_path: Path) -> None:
    (tmp_path / "trials.csv").write_text("number,state,value\n")
    with pytest.raises(RunError, match="resume=True"):
        load(tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_is_refused_where_there_is_none() -> None:
    with pytest.raises(UsageError, match="no CUDA device"):
        tune(daily(wave()), device="cuda")


@pytest.mark.parametrize(
    ("path", "target", "horizon", "name"),
    [
        ("data/ETTh1.csv", "OT", 96, "ETTh1-OT-h96"),
        ("example:sunspots", "SUNACTIVITY", 1, "sunspots"),
        ("a b/c?d.csv", "y", 1, "c_d-y"),
        ("...", "y", 1, "series-y"),
    ],
)
def test_study_is_named_after_its_data(path: str, target: str, horizon: int, name: str) -> None:
    assert run_name(path, (target,), horizon) == name
