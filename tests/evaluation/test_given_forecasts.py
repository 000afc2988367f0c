"""Forecasts of other models: read in the forms that people have, laid on the right windows, scored by the same code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from series import daily, panel, series_of, wave

import lstm_tune
from lstm_tune.data.windows import Windows
from lstm_tune.errors import DataError, UsageError
from lstm_tune.evaluation.given_forecasts import read_given
from lstm_tune.evaluation.score import TargetScale, forecast_all, score
from lstm_tune.models.baselines import Persistence
from lstm_tune.pipeline.options import TuneOptions

pytestmark = pytest.mark.usefixtures("short_epochs")
H = 3
SPACE: dict[str, Any] = {"lookback": [5, 9], "hidden_units": 4, "epochs": 1, "patience": 1}


def windows_of(data: Any, horizon: int = H, **options: Any) -> tuple[Windows, Any]:
    series = series_of(data, **options)
    windows = Windows(series, horizon)
    ranges = tuple((b - 20, b) for b in series.offsets[1:])
    return windows, windows.positions(ranges, 0, reach_back=True)


def persistence_of(frame: pd.DataFrame, horizon: int = H, *, every: int = 1, value: str = "y") -> pd.DataFrame:
    """The last value at each cutoff, in the long form of the Nixtla libraries."""
    rows = []
    for cut in range(0, len(frame) - horizon, every):
        for step in range(1, horizon + 1):
            row = {"ds": frame["date"].iloc[cut + step], "cutoff": frame["date"].iloc[cut], "step": step}
            rows.append(row | {"y": frame[value].iloc[cut + step], "naive": frame[value].iloc[cut]})
    return pd.DataFrame(rows)


FRAME = daily(wave(60))
FORECASTS = persistence_of(FRAME)
FORMS = {
    "cutoff": FORECASTS.drop(columns="step"),
    "step": FORECASTS.drop(columns="cutoff"),
    "another name of the time": FORECASTS.drop(columns="cutoff").rename(columns={"ds": "date"}),
    "out of order": FORECASTS.sample(frac=1, random_state=0),
    "with intervals": FORECASTS.assign(**{"naive-lo-80": 0.0, "naive-hi-80": 9.0}),
    "one id for the one series": FORECASTS.assign(unique_id="a"),
    "rows beyond the data": pd.concat([FORECASTS, FORECASTS.assign(ds=FORECASTS["ds"] + pd.Timedelta(days=900))]),
    "the index": FORECASTS.drop(columns="cutoff").set_index("ds"),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_are_scored_as_the_same_forecast_made_here(name: str) -> None:
    windows, positions = windows_of(FRAME)
    given = read_given(FORMS[name], windows, positions)
    assert given.complete
    assert list(given.values) == ["naive"]
    scale = TargetScale(mean=(5.0,), sd=(0.7,))
    own = score(Persistence(horizon=H), windows, positions, scale)
    theirs = score(given.forecasters()["naive"], windows, given.positions, scale)
    assert theirs.mse == pytest.approx(own.mse, rel=1e-6)
    np.testing.assert_allclose(theirs.window_error, own.window_error, rtol=1e-5)


def test_a_file_is_read_as_a_frame_is(tmp_path: Path) -> None:
    windows, positions = windows_of(FRAME)
    for name in ("f.csv", "f.parquet"):
        path = tmp_path / name
        FORECASTS.to_csv(path, index=False) if name == "f.csv" else FORECASTS.to_parquet(path)
        given = read_given(str(path), windows, positions)
        torch.testing.assert_close(given.values["naive"], read_given(FORECASTS, windows, positions).values["naive"])


def test_an_origin_is_taken_off() -> None:
    frame = daily(wave(60, level=1e7))
    windows, positions = windows_of(frame)
    assert windows.data.origin != (0.0,)
    given = read_given(persistence_of(frame), windows, positions)
    expected = forecast_all(Persistence(horizon=H), windows, positions)
    torch.testing.assert_close(given.values["naive"].float(), expected, atol=1e-3, rtol=0)


def test_windows_that_are_not_covered_whole_are_left_out() -> None:
    windows, positions = windows_of(FRAME)
    sparse = persistence_of(FRAME, every=H)
    given = read_given(sparse, windows, positions)
    assert not given.complete
    assert len(given.positions) == 6
    torn = sparse.assign(naive=sparse["naive"].where(sparse.index != sparse.index[-1]))
    assert len(read_given(torn, windows, positions).positions) == 5
    two = sparse.assign(other=sparse["naive"].where(sparse["step"] > 1))
    with pytest.raises(DataError, match="covers no window whole of the 18 windows that are scored"):
        read_given(two, windows, positions)


def test_steps_that_were_not_observed_need_no_forecast() -> None:
    frame = FRAME.assign(y=FRAME["y"].where(FRAME.index != 50))
    windows, positions = windows_of(frame)
    holes = FORECASTS[FORECASTS["ds"] != frame["date"].iloc[50]]
    assert read_given(holes, windows, positions).complete


def test_series_of_a_panel_and_targets_are_told_apart() -> None:
    frame = panel(wave(60), wave(60, seed=1) + 3)
    both = pd.concat(
        [persistence_of(part).assign(unique_id=name) for name, part in frame.groupby("shop")], ignore_index=True
    )
    windows, positions = windows_of(frame, id="shop")
    expected = forecast_all(Persistence(horizon=H), windows, positions)
    for form in (both, both.rename(columns={"unique_id": "shop"}), both.astype({"unique_id": "category"})):
        given = read_given(form.iloc[::-1], windows, positions)
        torch.testing.assert_close(given.values["naive"].float(), expected)
    with pytest.raises(DataError, match="does not say which series"):
        read_given(both.drop(columns="unique_id"), windows, positions)
    with pytest.raises(DataError, match="holds forecasts of 'x', but the data hold 'a', 'b'"):
        read_given(both.assign(unique_id="x"), windows, positions)
    two = FRAME.assign(z=9 * wave(60, seed=2))
    windows, positions = windows_of(two, target=["y", "z"])
    both = pd.concat([persistence_of(two, value=name).assign(series=name) for name in ("y", "z")])
    given = read_given(both, windows, positions)
    torch.testing.assert_close(given.values["naive"].float(), forecast_all(Persistence(horizon=H), windows, positions))


def test_rows_without_time_are_named_by_their_number() -> None:
    windows, positions = windows_of(wave(60))
    numbered = FORECASTS.drop(columns="cutoff").assign(ds=[i // H + i % H + 1 for i in range(len(FORECASTS))])
    given = read_given(numbered, windows, positions)
    torch.testing.assert_close(given.values["naive"].float(), forecast_all(Persistence(horizon=H), windows, positions))


def test_local_stamps_and_stamps_with_an_offset_mean_the_same() -> None:
    stamps = pd.date_range("2024-03-25", periods=200, freq="h", tz="Europe/Berlin")
    frame = pd.DataFrame({"date": stamps, "y": wave(200)})
    windows, positions = windows_of(frame)
    given = persistence_of(frame)
    assert read_given(given, windows, positions).complete
    local = given.assign(ds=given["ds"].dt.tz_localize(None), cutoff=given["cutoff"].dt.tz_localize(None))
    assert read_given(local, windows, positions).complete


BAD = {
    "no time": (FORECASTS.drop(columns="ds"), "has no column of times"),
    "no step": (FORECASTS.drop(columns=["step", "cutoff"]), "neither a column 'step' nor 'cutoff'"),
    "no forecasts": (FORECASTS.drop(columns=["naive", "y"]), "has no column of forecasts"),
    "a step of 0": (FORECASTS.assign(step=FORECASTS["step"] - 1), "'step' must hold whole numbers from 1 on"),
    "other times": (FORECASTS.assign(ds=FORECASTS["ds"] + pd.Timedelta(hours=1)), "covers none of the 18 windows"),
    "twice": (pd.concat([FORECASTS, FORECASTS]), "forecasts the same step of the same window in rows"),
    "several series": (FORECASTS.assign(unique_id=FORECASTS["step"]), "several series"),
    "no stamps": (FORECASTS.assign(ds="x"), "ds"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_is_refused_in_one_line(name: str) -> None:
    frame, says = BAD[name]
    windows, positions = windows_of(FRAME)
    with pytest.raises(DataError, match=re.escape(says)) as caught:
        read_given(frame, windows, positions)
    assert "\n" not in str(caught.value)


# ---- tune and evaluate


def test_tune_and_evaluate_show_other_models_in_their_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command_line: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    frame = daily(wave(160))
    frame.to_csv("data.csv", index=False)
    options: dict[str, Any] = {"target": "y", "horizon": H, "space": SPACE, "folds": 1, "n_trials": 1}
    persistence_of(frame).rename(columns={"naive": "ridge"}).to_csv("others.csv", index=False)
    persistence_of(frame, every=H).to_csv("sparse.csv", index=False)
    result = lstm_tune.tune("data.csv", against="others.csv", retrain_seeds=1, out="run", **options)
    given = result.summary.against["ridge (given)"]
    naive = result.summary.baselines["persistence"]
    assert given.complete
    assert given.test_mse == pytest.approx(naive.test_mse, rel=1e-6)
    assert given.per_step_mse == pytest.approx(naive.per_step_mse, rel=1e-6)
    assert given.skill == pytest.approx(result.summary.skill["persistence"], abs=1e-6)
    assert given.skill_ci95 == pytest.approx(result.summary.skill_ci95["persistence"], abs=1e-6)
    assert "ridge (given)" in Path("run/report.html").read_text()
    status, out, _ = command_line("evaluate", "run", "data.csv", "--against", "others.csv")
    assert status == 0
    lines = {name: numbers for name, *numbers in (re.split(r"\s{2,}", line.strip()) for line in out.splitlines())}
    assert lines["ridge (given)"] == lines["persistence (last value)"]
    assert len(lines["ridge (given)"]) >= 4
    status, out, err = command_line("evaluate", "run", "data.csv", "--against", "sparse.csv")
    assert status == 0
    assert "sparse.csv covers 50 of" in err
    assert "over 50 windows" in out
    repeated = TuneOptions(against="others.csv").command("data.csv", workers=1, precision="fp32")
    assert repeated is not None
    assert "--against others.csv" in repeated
    assert TuneOptions(against=frame).command("data.csv", workers=1, precision="fp32") is None
    part = lstm_tune.tune(frame, against=pd.read_csv("sparse.csv"), retrain_seeds=1, out="part", **options).summary
    assert not part.against["naive"].complete
    assert part.test.windows > part.against["naive"].windows
    csv = pd.read_csv("part/forecast.csv")  # the skill is over the windows that both have forecast: every H-th one
    squares = ((csv["actual"] - csv["forecast"]) ** 2).to_numpy().reshape(-1, H).mean(axis=1)
    skills = [1 - squares[first::H].mean() / part.against["naive"].test_mse for first in range(H)]
    assert min(abs(part.against["naive"].skill - skill) for skill in skills) < 1e-6


def test_unusable_forecasts_stop_a_study_before_it_begins(tmp_path: Path) -> None:
    options: dict[str, Any] = {"target": "y", "horizon": H, "space": SPACE, "n_trials": 1}
    with pytest.raises(DataError, match="does not exist"):
        lstm_tune.tune(FRAME, against=tmp_path / "none.csv", out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()
    with pytest.raises(UsageError, match="against must be a file or a DataFrame of forecasts"):
        lstm_tune.tune(FRAME, against=3, **options)
