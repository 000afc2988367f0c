"""Public holidays as covariates: the right rows, known ahead, kept by the model, refused in one line."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from series import TINY

import lstm_tune
from lstm_tune.data.holidays import holiday_features
from lstm_tune.data.load import load_series
from lstm_tune.errors import UsageError
from lstm_tune.models.data_spec import DataSpec
from lstm_tune.models.rows_ahead import rows_ahead
from lstm_tune.training.saved_model import ForecastModel

pytest.importorskip("holidays")
DAYS = pd.date_range("2024-01-01", periods=400, freq="D")
GERMAN = {  # by hand, of 2024
    "2024-01-01", "2024-03-29", "2024-04-01", "2024-05-01", "2024-05-09", "2024-05-20", "2024-10-03", "2024-12-25",
    "2024-12-26",
}  # fmt: skip


def frame(times: pd.DatetimeIndex = DAYS) -> pd.DataFrame:
    return pd.DataFrame({"time": times, "y": np.sin(np.arange(len(times)) / 3)})


def dates(times: pd.DatetimeIndex, marks: Any) -> set[str]:
    return {str(day.date()) for day, mark in zip(times, marks, strict=True) if mark}


def test_a_holiday_the_day_before_and_the_day_after_are_marked_on_their_own_rows() -> None:
    series = load_series(frame(), holidays="DE")
    assert series.future_names == ("holiday_DE", "holiday_DE_before", "holiday_DE_after")
    on, before, after = series.future.numpy().T
    assert {day for day in dates(DAYS, on) if day < "2025"} == GERMAN
    assert dates(DAYS, on) == {"2025-01-01"} | GERMAN
    shifted = {str((pd.Timestamp(day) - pd.Timedelta(days=1)).date()) for day in GERMAN - {"2024-01-01"}}
    assert dates(DAYS, before) == shifted | {"2024-12-31"}
    assert "2024-01-02" in dates(DAYS, after)  # of a holiday on the first row
    assert "2025-01-02" in dates(DAYS, after)


def test_hours_have_the_holiday_of_their_local_day() -> None:
    times = pd.date_range("2024-12-24", "2024-12-27", freq="h", tz="Europe/Berlin", inclusive="left")
    series = load_series(frame(times), holidays="DE")
    assert series.zone == "Europe/Berlin"
    expected = [str(t.date()) in GERMAN for t in times]
    assert series.future[:, 0].tolist() == [float(x) for x in expected]


def test_rows_ahead_have_their_own_holidays_without_being_given_them() -> None:
    times = DAYS[:358]  # up to 23 December
    series = load_series(frame(times), holidays="DE", calendar=True)
    ahead = rows_ahead(series, 5, 0)
    assert ahead.future[0, :, 0].tolist() == [0, 1, 1, 0, 0]
    assert ahead.future[0, :, 1].tolist() == [1, 1, 0, 0, 0]
    whole = load_series(frame(), holidays="DE", calendar=True)
    torch.testing.assert_close(ahead.future[0], whole.future[358:363])


@pytest.fixture(scope="module")
def model() -> ForecastModel:
    jumps = frame().assign(y=lambda f: f["y"] + 5 * (f["time"].dt.strftime("%Y-%m-%d").isin(GERMAN)))
    options = {"horizon": 3, "n_trials": 1, "retrain_seeds": 1, "space": TINY | {"epochs": 1}, "try_advice": 0}
    return lstm_tune.tune(jumps, holidays="DE", calendar=True, **options).model


def test_a_saved_model_keeps_the_country(model: ForecastModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    again = ForecastModel.load(tmp_path)
    assert again.spec.holidays == "DE"
    pd.testing.assert_frame_equal(again.predict(frame(DAYS[:358])), model.predict(frame(DAYS[:358])))
    assert again.refit(frame(DAYS[:200])).spec.holidays == "DE"
    assert len(again.cross_validation(frame(), n_windows=2, refit=False)) == 6
    assert "model" in again.evaluate(frame())
    assert [i.name for i in again.inputs][:2] == ["holidays", "calendar"]


def test_a_forecast_depends_on_the_holidays_of_the_rows_ahead(
    model: ForecastModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = model.predict(frame(DAYS[:358]))["y"]
    monkeypatch.setattr(
        "lstm_tune.models.rows_ahead.holiday_features", lambda times, *other: np.zeros((len(times), 3), dtype="float32")
    )
    assert (model.predict(frame(DAYS[:358]))["y"] != before).all()


def test_the_plain_module_takes_holidays_as_the_last_future_columns(model: ForecastModel) -> None:
    module = model.module
    series = model.read(frame(DAYS[:358]))
    rows = slice(358 - model.lookback, None)
    ahead = rows_ahead(series, 3, 0)
    assert module.inputs["future"] == (model.lookback + 3, 3)
    future = torch.cat([series.future[rows, :3], ahead.future[0, :, :3]])[None].double()
    times = np.concatenate([np.asarray(series.times[rows]), ahead.times[0]]).view(np.int64)
    history = (series.values[0, rows].double() + series.origin[0])[None, :, None]
    found = module(history, future=future, time=torch.from_numpy(times)[None])
    np.testing.assert_allclose(found[0, :, 0].detach().numpy(), model.predict(frame(DAYS[:358]))["y"], rtol=1e-5)


def test_what_a_model_without_holidays_kept_is_still_read() -> None:
    record = json.loads(json.dumps(DataSpec.of(load_series(frame())).to_json()))
    del record["holidays"]
    assert DataSpec.from_json(record).holidays is None


@pytest.mark.parametrize(
    ("country", "says"),
    [
        ("XX", "holidays must be a country such as DE, DE-BY or US-CA, but is 'XX'"),
        ("DE-XX", "but is 'DE-XX'; its parts are BB, BE"),
        ("DE-", "but is 'DE-'; its parts are BB, BE"),
        ("de", r"but is 'de'; did you mean DE\?"),
    ],
)
def test_an_unknown_country_is_refused_in_one_line(country: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        load_series(frame(), holidays=country)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("times", "kind"),
    [
        (pd.date_range("2004-01-01", periods=60, freq="MS"), "frequency 'MS'"),
        (pd.date_range("2004-01-04", periods=60, freq="W-SUN"), "frequency 'W-SUN'"),
        (None, "irregular or missing time stamps"),
    ],
)
def test_rows_further_apart_than_a_day_have_no_holidays(times: Any, kind: str) -> None:
    data = frame(times) if times is not None else np.sin(np.arange(60))
    with pytest.raises(UsageError, match=f"time stamps of a day or less, not {kind}; leave holidays out$"):
        load_series(data, holidays="DE")


@pytest.mark.parametrize("freq", ["B", "30min", "D[Mon-Sat]"])
def test_business_days_and_opening_hours_have_holidays(freq: str) -> None:
    stamps = np.array(["2024-12-24T10:00", "2024-12-25T10:00"], dtype="datetime64[ns]")
    assert holiday_features(stamps, freq, None, "DE").tolist() == [[0, 1, 0], [1, 1, 0]]


def test_without_the_package_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def refuse(name: str, *args: Any, **options: Any) -> Any:
        if name == "holidays":
            raise ModuleNotFoundError(name)
        return original(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UsageError, match=r"need the package holidays: pip install 'lstm-tune\[holidays\]'"):
        load_series(frame(), holidays="DE")
