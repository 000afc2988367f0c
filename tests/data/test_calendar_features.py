"""Columns of the calendar: which cycles a frequency has, and where in them a row lies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from series import TINY

import lstm_tune
from lstm_tune.data.calendar_features import YEAR_DAYS, calendar_features
from lstm_tune.data.load import load_series
from lstm_tune.errors import UsageError
from lstm_tune.models.data_spec import DataSpec

TURNS = {
    "hour": lambda t: (t.hour + t.minute / 60) / 24,
    "weekday": lambda t: t.day_of_week / 7,
    "yearday": lambda t: (t.day_of_year - 1) / YEAR_DAYS,
    "month": lambda t: (t.month - 1) / 12,
}
OPEN = pd.date_range("2024-01-02 09:30", "2024-04-30", freq="h")
OPEN = OPEN[(OPEN.day_of_week < 5) & (OPEN.hour >= 9) & (OPEN.hour < 16)]
SHOP = pd.date_range("2024-01-01", periods=200, freq="D")
SHOP = SHOP[SHOP.day_of_week < 6]
NIGHTS = pd.date_range("2024-01-03 22:00", periods=300, freq="h")
NIGHTS = NIGHTS[(NIGHTS.day_of_week == 2) & (NIGHTS.hour >= 22)]


@pytest.mark.parametrize(
    ("times", "freq", "cycles"),
    [
        (pd.date_range("2024-01-01", periods=99, freq="30min"), "30min", "hour weekday yearday"),
        (pd.date_range("2024-01-01", periods=99, freq="D"), "D", "weekday yearday"),
        (pd.date_range("2024-01-01", periods=99, freq="B"), "B", "weekday yearday"),
        (OPEN, "h[Mon-Fri 09:30-15:30]", "hour weekday yearday"),
        (SHOP, "D[Mon-Sat]", "weekday yearday"),
        (pd.date_range("2024-01-01", periods=99, freq="W-SUN"), "W-SUN", "yearday"),
        (pd.date_range("2004-01-01", periods=99, freq="MS"), "MS", "month"),
        (pd.date_range("2004-01-01", periods=99, freq="BME"), "BME", "month"),
        (pd.date_range("2004-01-01", periods=40, freq="QS"), "QS", "month"),
    ],
)
def test_a_row_has_its_place_in_each_cycle_that_its_frequency_tells_apart(
    times: pd.DatetimeIndex, freq: str, cycles: str
) -> None:
    series = load_series(pd.DataFrame({"time": times, "y": np.sin(np.arange(len(times)))}), calendar=True)
    assert series.freq == freq
    assert list(series.future_names) == [f"calendar_{c}_{wave}" for c in cycles.split() for wave in ("sin", "cos")]
    angles = np.stack([2 * np.pi * TURNS[c](times).to_numpy() for c in cycles.split()], axis=1)
    expected = np.stack([np.sin(angles), np.cos(angles)], axis=2).reshape(len(times), -1)
    np.testing.assert_allclose(series.future.numpy(), expected, atol=1e-6)
    assert (np.ptp(expected, axis=0) > 0).all()


@pytest.mark.parametrize(
    ("freq", "cycles"),
    [("h[Wed 22:00-23:00]", ["hour", "yearday"]), ("D[Mon,Thu]", ["weekday", "yearday"]), ("2W-SUN", ["yearday"])],
)
def test_a_cycle_that_never_changes_among_open_hours_is_left_out(freq: str, cycles: list[str]) -> None:
    _, names = calendar_features(NIGHTS.to_numpy(), freq)
    assert [name.split("_")[1] for name in names[::2]] == cycles


def test_years_have_no_calendar() -> None:
    times = pd.date_range("1900-01-01", periods=60, freq="YS")
    with pytest.raises(UsageError, match="time stamps of less than a year, not frequency 'YS'; leave calendar out"):
        load_series(pd.DataFrame({"time": times, "y": np.sin(np.arange(60))}), calendar=True)


def test_a_model_of_opening_hours_knows_the_calendar_of_the_rows_ahead() -> None:
    frame = pd.DataFrame({"time": OPEN, "y": np.sin(OPEN.hour + OPEN.day_of_week)})
    series = load_series(frame, calendar=True)
    assert DataSpec.of(series).calendar
    result = lstm_tune.tune(frame, target="y", calendar=True, horizon=7, n_trials=1, space=TINY, retrain_seeds=1)
    ahead = result.model.predict(frame)["time"]
    assert ahead.iloc[0] == pd.Timestamp("2024-04-30 09:30")
    assert set(ahead.dt.hour) == set(range(9, 16))
