"""`tune`, `predict` and `evaluate` say the same of the same windows, and order changes nothing but order."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from exported import check_exported
from law_studies import KINDS, Kind, run_kind
from oracle import Errors, Finished, numbers_of, per_target, same
from oracle_baselines import seasonal
from oracle_checks import compare_metrics
from oracle_data import history_of, windows_of
from series import daily, wave

import lstm_tune
from lstm_tune.data.load import load_series
from lstm_tune.errors import DataError, LstmTuneWarning

pytestmark = [pytest.mark.laws, pytest.mark.slow]

Studies = Callable[[str], Finished]
# Kinds that `evaluate` sees nothing new in.
SAME_AS_ANOTHER = ("all at once", "one series, split by shares, folds", "panel, dates", "panel, rows at the end")
SHARED = ("all at once", "covariates", "holes", "large numbers", "panel", "two targets", "logarithms and differences")


def names_of(kind: Kind) -> np.ndarray[Any, Any]:
    """Return the name of the series of each row of the frame."""
    id = kind.columns.get("id")
    return kind.frame[id].astype(str).to_numpy() if id else np.full(len(kind.frame), "")


def known_until(kind: Kind, run: Finished, step: int) -> pd.DataFrame:
    """Cut a frame `step` rows after the first test row of each series; known covariates go on over the horizon."""
    names, parts = names_of(kind), []
    ahead = run.horizon if kind.columns.get("future") else 0
    for series, (start, _) in zip(run.table.series, run.parts["test"], strict=True):
        rows = kind.frame[names == series.name]
        part = rows.iloc[: len(rows) - (len(series) - start - step) + ahead].copy()
        if ahead:
            plan = list(kind.columns["future"])
            part[plan] = part[plan].ffill()  # a plan with a hole is refused
            part.loc[part.index[-ahead:], [n for n in ("y", "z", "p") if n in part]] = np.nan
        parts.append(part)
    return pd.concat(parts)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_predict_forecasts_each_test_window_as_tune_did(study_of: Studies, name: str) -> None:
    kind, run = KINDS[name], study_of(name)
    csv = pd.read_csv(run.folder / "forecast.csv", dtype={"time": str, "series": str})
    written = csv["forecast"].to_numpy().reshape(-1, run.horizon)
    model = lstm_tune.load(run.folder)
    compared = 0
    for step in (1, 7):
        before = [s.seen[:, a + step - 1].any() for s, (a, _) in zip(run.table.series, run.parts["test"], strict=True)]
        if not all(before):
            continue  # a row without any target is one of known covariates alone
        ahead = model.predict(known_until(kind, run, step))
        for i, w in enumerate(run.test):
            if w.row != run.parts["test"][w.series][0] + step:
                continue
            of_series = ahead[ahead["series"].astype(str) == run.table.series[w.series].name]
            assert of_series["step"].tolist() == list(range(1, run.horizon + 1))
            found = of_series[run.table.targets[w.channel]].to_numpy()
            assert found == pytest.approx(written[i], rel=2e-6, abs=1e-6 * run.sd.min())
            times = csv["time"].to_numpy().reshape(-1, run.horizon)[i]
            assert [str(t)[:10] for t in of_series["time"]] == times.tolist()
            compared += 1
    assert compared >= 2


def test_rows_of_another_level_before_the_newest_ones_change_no_forecast() -> None:
    frame = daily(1e7 + np.arange(120) + wave(120))
    space = {"lookback": 5, "hidden_units": 2, "epochs": 1, "skip": "none", "window_norm": "none"}
    options: dict[str, Any] = {"folds": 1, "n_trials": 1, "retrain_seeds": 1, "try_advice": 0.0}
    model = lstm_tune.tune(frame, target="y", horizon=2, space=space, **options).model
    assert model.spec.origin != (0.0,)
    loaded = load_series(frame.tail(30), target="y")
    assert loaded.origin != model.spec.origin
    for newest in (frame.tail(30), loaded):
        assert model.predict(newest)["y"].tolist() == model.predict(frame)["y"].tolist()


def test_each_target_is_forecast_at_its_own_level() -> None:
    """Large values are kept as differences from an origin, of which each target has its own."""
    frame = daily(wave(120), z=1e7 + wave(120, seed=1))
    space = {"lookback": 5, "hidden_units": 2, "epochs": 1, "skip": "last", "window_norm": "last"}
    options: dict[str, Any] = {"folds": 1, "n_trials": 1, "retrain_seeds": 1, "try_advice": 0.0}
    model = lstm_tune.tune(frame, target=["y", "z"], horizon=2, space=space, **options).model
    assert model.spec.origin[1] > 1e6 > abs(model.spec.origin[0])
    ahead = model.predict(frame)
    for target in ("y", "z"):
        assert ahead[target].to_numpy() == pytest.approx(frame[target].iloc[-1], abs=10)


def test_the_calendar_ahead_is_that_of_each_series() -> None:
    """Series that end on different days have different weekdays ahead."""
    rows = {"a": 120, "b": 117}
    frame = pd.concat([daily(wave(n)).assign(id=name) for name, n in rows.items()], ignore_index=True)
    space = {"lookback": 5, "hidden_units": 4, "epochs": 4, "skip": "none", "window_norm": "none"}
    options: dict[str, Any] = {"folds": 1, "n_trials": 1, "retrain_seeds": 1, "try_advice": 0.0, "calendar": True}
    model = lstm_tune.tune(frame, target="y", id="id", horizon=2, space=space, **options).model
    together = model.predict(frame)
    for name in rows:
        alone = model.predict(frame[frame["id"] == name])["y"].to_numpy()
        found = together.loc[together["id" if "id" in together else "series"] == name, "y"].to_numpy()
        assert found == pytest.approx(alone, rel=1e-6)


def test_evaluate_scores_all_where_the_season_before_fits_if_the_lookback_is_shorter() -> None:
    frame, space = daily(wave(120)), {"lookback": 3, "hidden_units": 2, "epochs": 1}
    options: dict[str, Any] = {"folds": 1, "n_trials": 1, "retrain_seeds": 1, "season": [7], "try_advice": 0.0}
    model = lstm_tune.tune(frame, target="y", horizon=2, space=space, **options).model
    with pytest.warns(LstmTuneWarning, match="was trained on"):
        scores = model.evaluate(frame)
    names = ("model", "persistence", "seasonal_naive", "ridge", "ets", "combination")
    assert {name: found.windows for name, found in scores.items()} == dict.fromkeys(names, 120 - 7 - 2 + 1)


@pytest.mark.parametrize("name", [name for name in sorted(KINDS) if name not in SAME_AS_ANOTHER])
def test_evaluate_scores_every_window_that_the_data_hold(
    study_of: Studies, name: str, command_line: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    kind, run = KINDS[name], study_of(name)
    kind.frame.to_csv(tmp_path / "data.csv", index=False)
    status, out, _ = command_line("evaluate", str(run.folder), str(tmp_path / "data.csv"), "--json")
    assert status == 0
    scores = json.loads(out)
    rows = [(0, len(series)) for series in run.table.series]
    windows = list(windows_of(run.table, rows, run.horizon, run.context, reach_back=True))
    histories = [history_of(run.table, w, run.context) for w in windows]
    forecasts = {
        "model": run.forecast_of(run.model, windows),
        "persistence": np.array([np.repeat(h[-1], run.horizon) for h in histories]),
        "seasonal_naive": seasonal(np.array(histories), min(run.model.period, run.context), run.horizon),
    }
    assert list(scores) == [*forecasts, "ridge", "ets", "combination"]
    for forecaster, ahead in forecasts.items():
        found, expected = scores[forecaster], Errors.of(run, windows, ahead)
        assert found["windows"] == len(windows)
        same(found["mse"], per_target(run, expected.mse), f"{forecaster}.mse")
        same(found["rmse"], per_target(run, np.sqrt(expected.mse)), f"{forecaster}.rmse")
        same(found["mae"], per_target(run, expected.each(lambda e, y: np.mean(np.abs(e)))), f"{forecaster}.mae")
        r2 = expected.each(lambda e, y: 1 - np.mean(e**2) / y.var())
        same(found["r2"], per_target(run, r2), f"{forecaster}.r2", floor=1e-3)
        same(found["mse_scaled"], expected.mse_scaled, f"{forecaster}.mse_scaled")
        compare_metrics(run, windows, ahead, found["metrics"], f"{forecaster}.metrics")
        if forecaster != "model":
            same(found["skill"], 1 - scores["model"]["mse_scaled"] / found["mse_scaled"], f"{forecaster}.skill", 1e-6)


@pytest.mark.study("covariates")
def test_a_plan_with_a_hole_at_any_step_is_refused(study_of: Studies) -> None:
    kind, run = KINDS["covariates"], study_of("covariates")
    model, frame = lstm_tune.load(run.folder), known_until(KINDS["covariates"], run, 7)
    assert len(model.predict(frame)) == kind.horizon
    for step in range(kind.horizon):
        holed = frame.copy()
        holed.iloc[len(frame) - kind.horizon + step, frame.columns.get_loc("f")] = np.nan
        with pytest.raises(DataError, match=f"f is missing at {holed['date'].iloc[step - kind.horizon]:%Y-%m-%d}"):
            model.predict(holed)


@pytest.mark.parametrize("name", ["all at once", "covariates", "large numbers", "panel", "panel, words", "two targets"])
def test_the_module_that_is_exported_forecasts_each_test_window_as_tune_did(study_of: Studies, name: str) -> None:
    check_exported(KINDS[name], study_of(name))


@pytest.mark.parametrize("name", ["one series, split by rows", "two targets", "rows without time"])
def test_evaluate_of_the_test_rows_is_the_test_score(study_of: Studies, name: str) -> None:
    kind, run = KINDS[name], study_of(name)
    start, end = run.parts["test"][0]
    model = lstm_tune.load(run.folder)
    found = model.evaluate(kind.frame.iloc[start - model.lookback : end])["model"]
    assert found.windows == run.record["test"]["windows"]
    same(found.mse, run.record["test"]["mse"], "evaluate", 1e-5)
    same(found.mse_scaled, run.record["test"]["mse_scaled"], "evaluate", 1e-5)


@pytest.mark.parametrize("name", ["one series, split by rows", "two targets", "rows without time", "panel"])
def test_evaluate_scores_the_simple_forecasts_as_tune_did(study_of: Studies, name: str) -> None:
    """Laws 2 and 9: they are fitted on the rows of the training alone, and scored on the windows of the model."""
    kind, run = KINDS[name], study_of(name)
    found = lstm_tune.load(run.folder).evaluate(kind.frame, against=run.folder / "forecast.csv")  # test windows alone
    assert list(run.record["baselines"]) == list(found)[1:6]
    for baseline, kept in run.record["baselines"].items():
        assert found[baseline].windows == run.record["test"]["windows"]
        same(found[baseline].mse, kept["test_mse"], f"evaluate, {baseline}", 1e-5)
        same(found[baseline].mse_scaled, kept["test_mse_scaled"], f"evaluate, {baseline}", 1e-5)
        same(found[baseline].skill, run.record["skill"][baseline], f"skill over {baseline}", 1e-4, floor=1e-4)


# ---- order


@pytest.mark.parametrize("name", ["panel", "panel, words"])
def test_order_of_the_rows_changes_nothing(study_of: Studies, name: str, tmp_path: Path) -> None:
    kind, before = KINDS[name], study_of(name)
    after = run_kind(kind, tmp_path, frame=kind.frame.sample(frac=1, random_state=3))
    for file in ("model/weights.safetensors", "model/config.json", "forecast.csv"):
        assert (before.folder / file).read_bytes() == (after.folder / file).read_bytes(), file
    for key in ("best", "test", "baselines", "skill", "skill_ci95", "ensemble", "retrain"):
        assert before.record[key] == after.record[key], key


@pytest.mark.parametrize("name", SHARED)
def test_order_of_columns_and_series_changes_no_forecast_of_a_saved_model(study_of: Studies, name: str) -> None:
    kind, run = KINDS[name], study_of(name)
    model = lstm_tune.load(run.folder)
    frame = known_until(kind, run, 7)
    turned = frame[frame.columns[::-1]].iloc[::-1]
    one, other = (model.predict(data).assign(series=lambda f: f["series"].astype(str)) for data in (frame, turned))
    pd.testing.assert_frame_equal(one, other)
    scores = [model.evaluate(data)["model"] for data in (frame, turned)]
    assert scores[0] == scores[1]
    if id := kind.columns.get("id"):
        for series in sorted(frame[id].unique()):
            alone = model.predict(frame[frame[id] == series]).drop(columns="series")
            beside = one[one["series"] == series].drop(columns="series").reset_index(drop=True)
            pd.testing.assert_frame_equal(alone, beside, check_exact=False, rtol=1e-6)
        each = [model.evaluate(frame[frame[id] == name])["model"] for name in sorted(frame[id].unique())]
        assert scores[0].mse_scaled == pytest.approx(np.mean([one.mse_scaled for one in each]), rel=1e-6)


@pytest.mark.study("two targets")
def test_order_of_the_targets_changes_no_simple_forecast(study_of: Studies, tmp_path: Path) -> None:
    kind, before = KINDS["two targets"], study_of("two targets")
    swapped = Kind(frame=kind.frame, columns={"target": ["z", "y"]}, split=kind.split, trials=1)
    after = run_kind(swapped, tmp_path).record
    assert after["data"]["period"] == before.record["data"]["period"]
    for name, entry in before.record["baselines"].items():
        found = numbers_of(after["baselines"][name])
        for path, value in numbers_of(entry).items():
            same(found[path], value, f"{name}.{'.'.join(path)}", 1e-4)


@pytest.mark.study("panel, rows at the end")
def test_names_of_the_series_change_nothing_but_their_order(study_of: Studies, tmp_path: Path) -> None:
    """Other names are another order, in which training draws other batches; what needs no training stays the same."""
    name = "panel, rows at the end"
    kind, before = KINDS[name], study_of(name)
    names = sorted(kind.frame["shop"].unique())
    other = dict(zip(names, names[::-1], strict=True))
    space = dict(kind.space) | {"epochs": 1}
    after = run_kind(kind, tmp_path, frame=kind.frame.assign(shop=kind.frame["shop"].map(other)), space=space)
    assert after.record["data"]["period"] == before.record["data"]["period"]
    for simple, entry in before.record["baselines"].items():
        found = after.record["baselines"][simple]
        for key in ("val_mse_scaled", "test_mse_scaled", "per_step_mse"):
            same(found[key], entry[key], f"{simple}.{key}", 1e-3)
        for metric, value in entry["test_metrics"].items():
            same(found["test_metrics"][metric], value, f"{simple}.{metric}", 1e-3)
    one, two = (pd.read_csv(run.folder / "series.csv").set_index("series") for run in (before, after))
    two.index = two.index.map(other)
    assert two["rows"].to_dict() == one["rows"].to_dict()
    width = [run.record["test"]["intervals"]["ridge"]["80"]["width"] for run in (before, after)]
    same(width[1], width[0], "width", 1e-3)


@pytest.mark.study("other networks")
def test_order_of_the_members_changes_no_forecast(study_of: Studies) -> None:
    run = study_of("other networks")
    members = run.model.members
    assert len(members) > 3
    model = lstm_tune.load(run.folder)
    network = type(model.network)(list(model.network.members)[::-1], list(model.network.weights)[::-1]).eval()
    turned = lstm_tune.training.saved_model.ForecastModel(network, model.shape, model.spec, model.scale)
    frame = KINDS["other networks"].frame
    assert turned.predict(frame)["y"].to_numpy() == pytest.approx(model.predict(frame)["y"].to_numpy(), rel=1e-6)


@pytest.mark.parametrize("name", ["one series, split by shares, folds", "holes"])
def test_threads_change_nothing(study_of: Studies, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, before = KINDS[name], study_of(name)
    from lstm_tune.utils import process

    cores = 1 if process.available_cores() > 1 else 3
    for module in (process, lstm_tune.pipeline.resources):
        monkeypatch.setattr(module, "available_cores", lambda: cores)
    after = run_kind(kind, tmp_path)
    assert after.record["env"]["threads"] != before.record["env"]["threads"]
    for file in ("model/weights.safetensors", "model/config.json", "forecast.csv"):
        assert (before.folder / file).read_bytes() == (after.folder / file).read_bytes(), file
    assert [t.value for t in before.study.trials] == [t.value for t in after.study.trials]
