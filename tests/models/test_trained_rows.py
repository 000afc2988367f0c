"""A score on rows that the model was trained on says so."""

from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from series import TINY, daily, panel, wave

import lstm_tune
from lstm_tune.data.windows import Windows
from lstm_tune.errors import LstmTuneWarning
from lstm_tune.evaluation.test_score import TestScore
from lstm_tune.training.model_scores import ScoredWindows, rows_to_fit
from lstm_tune.training.saved_model import ForecastModel

pytestmark = pytest.mark.usefixtures("short_epochs")

CHANGED = "the data do not hold all rows that the model was trained on, unchanged; give it these rows, too"
OPTIONS: dict[str, Any] = {"space": TINY | {"epochs": 1, "lookback": 4}, "n_trials": 1, "retrain_seeds": 1, "folds": 1}


def tuned(data: Any, **options: Any) -> ForecastModel:
    return lstm_tune.tune(data, **(OPTIONS | options)).model


def notes_of(model: ForecastModel, data: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.evaluate(data)
    return [str(w.message) for w in caught if issubclass(w.category, LstmTuneWarning)]


@pytest.fixture(scope="module")
def model(short_epochs: None) -> ForecastModel:
    return tuned(daily(wave(160)), target="y")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (slice(0, 160), "121 of 153 windows lie in rows that the model was trained on (until 2024-05-07)"),
        (slice(0, 120), "all 113 windows lie in rows that the model was trained on (until 2024-05-07)"),
        (slice(60, 140), "61 of 73 windows lie in rows that the model was trained on (until 2024-05-07)"),
    ],
)
def test_windows_in_trained_rows_are_counted(model: ForecastModel, rows: slice, words: str) -> None:
    assert [note.partition(":")[0] for note in notes_of(model, daily(wave(160)).iloc[rows])] == [words]


@pytest.mark.parametrize(
    "data",
    [
        daily(wave(300)).iloc[124:],  # rows before the test rows serve as history alone
        daily(wave(160, seed=9) * 2),  # another series of the same days
        daily(wave(160), start="2030-01-01"),
    ],
    ids=["newer", "other series", "other days"],
)
def test_new_rows_are_scored_without_a_note(model: ForecastModel, data: pd.DataFrame) -> None:
    assert notes_of(model, data) == []


def test_trained_rows_are_known_after_saving(model: ForecastModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    loaded = ForecastModel.load(tmp_path)
    assert loaded.trained == model.trained
    assert len(notes_of(loaded, daily(wave(160)))) == 1


def test_model_of_an_earlier_version_is_loaded_without_them(model: ForecastModel, tmp_path: Path) -> None:
    old = ForecastModel(model.network, model.shape, model.spec, model.scale)
    old.save(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["trained"] is None
    assert notes_of(ForecastModel.load(tmp_path), daily(wave(160))) == []


def test_several_series_and_numbered_rows_are_recognised() -> None:
    frame = panel(wave(100), wave(140, seed=1))
    assert "lie in rows that the model was trained on" in notes_of(tuned(frame, target="y", id="shop"), frame)[0]
    assert any("(until 127)" in note for note in notes_of(tuned(wave(160)), wave(160)))


def test_score_of_evaluate_is_of_the_type_of_the_test_score(model: ForecastModel) -> None:
    found = model.evaluate(daily(wave(160)))
    assert all(isinstance(score, TestScore) for score in found.values())
    one = found["model"]
    assert one.rmse == pytest.approx(np.sqrt(one.mse))
    assert one.ci95[0] <= one.mse <= one.ci95[1]
    assert len(dataclasses.asdict(one)["per_step_mse"]) == model.horizon


def test_series_that_end_at_different_times_keep_their_ends(tmp_path: Path) -> None:
    frame = panel(wave(100), wave(140, seed=1))
    model = tuned(frame, target="y", id="shop", split="last:15,15")
    model.save(tmp_path)
    loaded = ForecastModel.load(tmp_path)
    assert loaded.trained == model.trained
    series = loaded.read(frame)
    assert loaded.trained is not None
    assert loaded.trained.ranges(series, loaded.spec.series) == ((0, 85), (100, 225))
    (note,) = notes_of(loaded, frame)
    assert note.startswith("196 of 226 windows")  # of one row behind 7 rows: 78 of one series, 118 of the other


def test_the_simple_forecasts_are_fitted_on_the_trained_rows_alone(model: ForecastModel) -> None:
    frame = daily(wave(160))
    later = frame.assign(y=np.where(np.arange(160) >= 128, 9.0, frame["y"]))
    fitted = []
    for data in (frame, later):
        series = model.read(data)
        rows = rows_to_fit(model.trained, model.recipe, series, (), model.scale)
        assert rows == ((0, 128),)
        windows = Windows(series, 1, period=model.shape.period)
        scored = ScoredWindows.of(model.network, model.shape, windows)
        fitted.append(scored.with_fitted(rows, model.recipe, model.shape, model.scale).fitted)
    assert list(fitted[0]) == ["ridge", "ets", "combination"]
    for name in ("ridge", "ets"):
        assert torch.equal(fitted[0][name].weight, fitted[1][name].weight)  # type: ignore[attr-defined]


def test_simple_forecasts_are_left_out_with_a_reason(model: ForecastModel) -> None:
    frame = daily(wave(160))
    newer = rows_to_fit(model.trained, model.recipe, model.read(frame.iloc[124:]), (), model.scale)
    assert newer == CHANGED
    old = rows_to_fit(model.trained, None, model.read(frame), (), model.scale)
    assert old == "the model was saved by an earlier version; run tune again"


def revised(frame: pd.DataFrame, row: int, by: float) -> pd.DataFrame:
    return frame.assign(y=frame["y"] + np.where(np.arange(len(frame)) == row, by, 0.0))


@pytest.mark.parametrize(
    "data",
    [
        daily(wave(160)).iloc[40:],
        daily(wave(160)).iloc[1:],
        daily(wave(160)).iloc[:127],
        revised(daily(wave(160)), 50, 0.1),
        revised(daily(wave(160)), 126, np.nan),
        daily(wave(160)[[*range(50), 51, 50, *range(52, 160)]]),
        daily(np.r_[1.0, wave(160)], start="2023-12-31"),
    ],
    ids=["late", "one row less", "the last is missing", "one revised", "one taken away", "two swapped", "earlier rows"],
)
def test_simple_forecasts_are_not_fitted_on_other_rows_than_the_trained_ones(
    model: ForecastModel, data: pd.DataFrame
) -> None:
    assert rows_to_fit(model.trained, model.recipe, model.read(data), (), model.scale) == CHANGED


def test_simple_forecasts_of_a_panel_need_the_same_rows_of_each_series() -> None:
    a, b = wave(100), 1e-4 * wave(140, seed=1)  # one scale would not see what changes in the second
    frame = panel(a, b)
    model = tuned(frame, target="y", id="shop", split="last:15,15")

    def rows_of(data: pd.DataFrame) -> Any:
        return rows_to_fit(model.trained, model.recipe, model.read(data), model.spec.series, model.scale)

    assert rows_of(frame) == ((0, 85), (100, 225))
    assert rows_of(frame.iloc[::-1]) == ((0, 85), (100, 225))
    assert rows_of(panel(a, b, wave(140, seed=2))) == ((0, 85), (100, 225), (240, 240))  # a new one is not fitted on
    assert rows_of(panel(np.r_[a, 9.0], np.r_[b, 9.0])) == ((0, 85), (101, 226))
    assert rows_of(revised(frame, 150, 1e-5)) == CHANGED
    assert rows_of(frame[frame["shop"] == "a"]) == CHANGED
    assert rows_of(frame.drop(index=range(100, 130))) == CHANGED
    assert rows_of(panel(b, a)) == CHANGED


def test_trained_rows_with_a_large_offset_are_known_with_other_rows_around(tmp_path: Path) -> None:
    values = 1e6 + 0.01 * wave(200)
    model = tuned(daily(values[:160]), target="y")
    model.save(tmp_path)
    model = ForecastModel.load(tmp_path)
    later = model.read(daily(np.r_[values, values + 0.5]))
    assert rows_to_fit(model.trained, model.recipe, later, (), model.scale) == ((0, 128),)


def test_model_of_a_version_that_kept_no_sums_fits_nothing(model: ForecastModel) -> None:
    assert model.trained is not None
    old = dataclasses.replace(model.trained, sums={})
    found = rows_to_fit(old, model.recipe, model.read(daily(wave(160))), (), model.scale)
    assert found == "the model was saved by an earlier version; run tune again"
