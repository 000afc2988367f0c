"""Backtests: each forecast is that of `predict` on the rows up to its cutoff, and no later row has a say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from law_studies import LEARNED, unequal
from series import daily, wave

import lstm_tune
from lstm_tune.cli.backtest_table import refit_sentence
from lstm_tune.errors import DataError, RunError, UsageError
from lstm_tune.training.saved_model import ForecastModel

pytestmark = pytest.mark.usefixtures("short_epochs")
H = 3
FRAME = daily(wave(160))


def model_of(frame: Any, **options: Any) -> ForecastModel:
    given: dict[str, Any] = {"target": "y", "horizon": H, "split": (90, 20, 30), "folds": 1, "n_trials": 2}
    given |= {"space": LEARNED, "retrain_seeds": 1, "sampler": "random", "pruner": "none"}
    model: ForecastModel = lstm_tune.tune(frame, **(given | options)).model
    return model


@pytest.fixture(scope="module")
def model() -> ForecastModel:
    return model_of(FRAME)


@pytest.fixture(scope="module")
def rich_model() -> ForecastModel:
    options = {"target": ["y", "z"], "id": "shop", "past": ["p"], "future": ["f"], "calendar": True}
    return model_of(unequal(160, 140), **options)


def test_without_refits_each_forecast_is_that_of_predict_to_the_bit(model: ForecastModel) -> None:
    found = model.cross_validation(FRAME, n_windows=4, step_size=2, refit=False)
    assert list(found.columns) == [
        "unique_id",
        "ds",
        "cutoff",
        "y",
        "LSTM",
        "Ridge",
        "SeasonalNaive",
        "Persistence",
        "ETS",
    ]
    assert len(found) == 4 * H
    assert set(found["unique_id"]) == {"y"}
    for k, (cutoff, rows) in enumerate(found.groupby("cutoff")):
        end = 160 - H - (3 - k) * 2
        assert cutoff == FRAME["date"].iloc[end - 1]
        expected = model.predict(FRAME[:end])
        assert rows["LSTM"].tolist() == expected["y"].tolist()
        assert rows["ds"].tolist() == expected["time"].tolist()
        assert rows["y"].tolist() == pytest.approx(FRAME["y"].iloc[end : end + H].tolist(), rel=1e-6)
        assert rows["Persistence"].tolist() == pytest.approx([FRAME["y"].iloc[end - 1]] * H, rel=1e-6)


def test_panels_with_covariates_forecast_as_predict_does(rich_model: ForecastModel) -> None:
    frame = unequal(160, 140)
    found = rich_model.cross_validation(frame, n_windows=2, refit=0)
    assert set(found["unique_id"]) == {"a y", "a z", "b y", "b z"}
    last = frame.groupby("shop", sort=False, group_keys=False).apply(
        lambda part: part.assign(cut=np.arange(len(part)) < len(part) - H, shop=part.name), include_groups=False
    )
    ahead = last.assign(y=last["y"].where(last["cut"]), z=last["z"].where(last["cut"])).drop(columns="cut")
    expected = rich_model.predict(ahead)
    for (series, target), rows in found.groupby([found["unique_id"].str[0], found["unique_id"].str[2:]]):
        newest = rows[rows["cutoff"] == rows["cutoff"].max()]
        assert newest["LSTM"].tolist() == expected[expected["series"] == series][target].tolist()


def test_a_refit_is_the_model_refitted_on_the_rows_up_to_the_cutoff(model: ForecastModel) -> None:
    found = model.cross_validation(FRAME, n_windows=3, refit=2)
    ends = [160 - H * (3 - k) for k in range(3)]
    cutoffs = sorted(found["cutoff"].unique())
    first, second = model.refit(FRAME[: ends[0]]), model.refit(FRAME[: ends[2]])
    for k, by in enumerate((first, first, second)):
        rows = found[found["cutoff"] == cutoffs[k]]
        assert rows["LSTM"].tolist() == by.predict(FRAME[: ends[k]])["y"].tolist()
        assert rows["LSTM-never"].tolist() == model.predict(FRAME[: ends[k]])["y"].tolist()


@pytest.mark.parametrize("refit", [0, 1])
def test_rows_after_a_cutoff_change_no_forecast_before_it(
    model: ForecastModel, rich_model: ForecastModel, refit: int
) -> None:
    for one, frame in ((model, FRAME), (rich_model, unequal(160, 140))):
        changed = frame.copy()
        newest = changed.groupby("shop").cumcount(ascending=False) < H if "shop" in frame else changed.index >= 160 - H
        targets = list(one.spec.targets)
        changed.loc[newest, targets] = 1e5 * np.random.default_rng(0).random((int(newest.sum()), len(targets)))
        before, after = (one.cross_validation(f, n_windows=2, refit=refit) for f in (frame, changed))
        assert not before["y"].equals(after["y"])
        pd.testing.assert_frame_equal(before.drop(columns="y"), after.drop(columns="y"), check_exact=True)


@pytest.mark.laws
@pytest.mark.parametrize("refit", [0, 1])
def test_what_is_filled_at_the_start_of_a_series_depends_on_no_row_after_the_cutoff(
    rich_model: ForecastModel, refit: int
) -> None:
    frame = unequal(160, 140)
    frame.loc[frame["shop"] == "a", ["y", "p"]] = np.nan  # until the rows that are changed
    newest = frame.groupby("shop").cumcount(ascending=False) < H
    rng = np.random.default_rng(0)

    def forecasts(late: float) -> pd.DataFrame:
        changed = frame.copy()
        changed.loc[newest, ["y", "p"]] = late * rng.random((int(newest.sum()), 2))
        return rich_model.cross_validation(changed, n_windows=2, refit=refit).drop(columns="y")

    pd.testing.assert_frame_equal(forecasts(1.0), forecasts(1e5), check_exact=True)


def test_holes_at_the_start_are_filled_as_predict_fills_them(rich_model: ForecastModel) -> None:
    frame = unequal(160, 140)
    early = frame.groupby("shop").cumcount() < 5
    frame.loc[early, ["y", "p"]] = np.nan
    found = rich_model.cross_validation(frame, n_windows=1, refit=False)
    newest = frame.groupby("shop").cumcount(ascending=False) < H
    ahead = frame.copy()
    ahead.loc[newest, ["y", "z", "p"]] = np.nan
    predicted = rich_model.predict(ahead)
    for target in ("y", "z"):
        mine = found[found["unique_id"].str.endswith(f" {target}")]
        np.testing.assert_array_equal(mine["LSTM"].to_numpy(), predicted[target].to_numpy())


def test_each_cutoff_is_forecast_as_if_it_were_the_only_one(model: ForecastModel) -> None:
    found = model.cross_validation(FRAME, n_windows=3, step_size=4, refit=1)
    for k, (_, rows) in enumerate(found.groupby("cutoff")):
        alone = model.cross_validation(FRAME[: 160 - 4 * (2 - k)], n_windows=1, refit=1)
        pd.testing.assert_frame_equal(rows.reset_index(drop=True), alone, check_exact=True)


def test_scores_are_those_of_the_frame(rich_model: ForecastModel) -> None:
    frame = unequal(160, 140)
    frame.loc[frame.index[-2], "y"] = np.nan
    found = rich_model.backtest(frame, n_windows=3, refit=3)
    assert found.refits == 1
    names = [f"{series} {target}" for target in rich_model.spec.targets for series in rich_model.spec.series]
    scale = dict(zip(names, rich_model.scale.own_sd, strict=True))
    target = found.frame["unique_id"].str[2:]
    for name, score in found.scores.items():
        errors = (found.frame[name] - found.frame["y"]) / found.frame["unique_id"].map(scale)
        by_target = (errors**2).groupby([found.frame["unique_id"], target]).mean()
        assert score.mse_scaled == pytest.approx(by_target.mean(), rel=1e-4)
        per_cutoff = (errors**2).groupby(found.frame.groupby("unique_id")["cutoff"].rank("dense")).mean()
        assert found.per_cutoff[name] == pytest.approx(per_cutoff.tolist(), rel=1e-4)
    pairs = zip(found.per_cutoff["LSTM"], found.per_cutoff["LSTM-never"], strict=True)
    assert found.better == sum(own < other for own, other in pairs)
    assert found.gain is not None
    assert found.gain.ratio == pytest.approx(found.scores["LSTM"].mse_scaled / found.scores["LSTM-never"].mse_scaled)


def test_series_too_short_for_the_first_cutoffs_are_reported_and_take_part_in_the_rest(
    rich_model: ForecastModel,
) -> None:
    frame = unequal(160, 140)
    short = frame[frame["shop"] == "a"].head(8).assign(shop="c")
    with pytest.warns(lstm_tune.errors.LstmTuneWarning, match="1 of 3 series are too short for the earliest cutoff"):
        found = rich_model.cross_validation(pd.concat([frame, short]), n_windows=3, refit=0)
    assert found[found["unique_id"] == "c y"]["cutoff"].nunique() == 2
    assert found[found["unique_id"] == "a y"]["cutoff"].nunique() == 3


def test_windows_in_trained_rows_are_reported(model: ForecastModel) -> None:
    with pytest.warns(lstm_tune.errors.LstmTuneWarning, match="windows lie in rows that the model was trained on"):
        model.cross_validation(FRAME[:110], n_windows=2, refit=0)


def test_what_cannot_be_asked_for_is_refused_in_one_line(model: ForecastModel) -> None:
    with pytest.raises(DataError, match="60 windows, 3 rows apart and 3 rows ahead: this needs more than 181 rows"):
        model.cross_validation(FRAME, n_windows=60, refit=0)
    with pytest.raises(UsageError, match="n_windows must be at least 1, but is 0"):
        model.cross_validation(FRAME, n_windows=0)
    with pytest.raises(UsageError, match="step_size must be at least 1"):
        model.cross_validation(FRAME, step_size=0)
    old = ForecastModel(model.network, model.shape, model.spec, model.scale)
    with pytest.raises(RunError, match="did not keep how it was trained"):
        old.cross_validation(FRAME)
    assert len(old.cross_validation(FRAME, n_windows=1, refit=False)) == H


def test_the_command_prints_scores_and_writes_the_forecasts(
    model: ForecastModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command_line: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    FRAME.to_csv("data.csv", index=False)
    model.save("run")
    status, out, _ = command_line("backtest", "run", "data.csv", "--windows", "4", "--refit", "2", "--out", "b.csv")
    assert status == 0
    assert "saved model, refitted 2 times" in out
    assert "exponential smoothing" in out
    assert "4 windows from 4 cutoffs" in out
    assert "Refitting" in out
    written = pd.read_csv("b.csv")
    expected = model.cross_validation(FRAME, n_windows=4, refit=2)
    assert list(written.columns) == list(expected.columns)
    assert written["LSTM"].tolist() == expected["LSTM"].tolist()
    status, out, _ = command_line("backtest", "run", "data.csv", "--windows", "2", "--refit", "never", "--json")
    record = json.loads(out)
    assert (status, record["refits"], record["refit_gain"]) == (0, 0, None)
    assert command_line("backtest", "run", "data.csv", "--refit", "often")[0] == 2
    for option, value in (("--windows", "0"), ("--step", "0")):
        status, _, err = command_line("backtest", "run", "data.csv", option, value)
        assert (status, err.rstrip().endswith(f"{option} must be at least 1, but is 0")) == (2, True)


def test_refitting_is_judged_from_five_cutoffs_on_and_only_if_the_interval_allows() -> None:
    def says(cutoffs: int, low: float | None, high: float | None) -> str:
        found = {"refit_gain": 0.2, "refit_gain_ci95": [low, high], "refit_better": 3, "cutoffs": cutoffs}
        return refit_sentence(found)

    assert "too few to judge" in says(3, 0.1, 0.3)
    assert "It pays" not in says(3, 0.1, 0.3)
    assert says(5, 0.1, 0.3).endswith("It pays.")
    assert says(5, -0.3, -0.1).endswith("It does harm.")
    assert says(5, -0.1, 0.3).endswith("That may be chance.")
    assert "too few for an interval" in says(5, None, None)
