"""Hours and weekdays at which there are never rows are a calendar; holes that do not recur are gaps."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_tune.data.calendar_periods import calendar_periods
from lstm_tune.data.frequency import DAY, find_freq, parse_freq
from lstm_tune.data.load import load_series
from lstm_tune.data.opening_hours import place_of, read_slots, stamp_of, write_slots
from lstm_tune.errors import DataError

# freq, and for groups of weekdays (0 is Monday) the minutes of the day, [first, end), between which it is open
CALENDARS: dict[str, tuple[str, dict[tuple[int, ...], list[tuple[int, int]]]]] = {
    "h[Mon-Fri 09:30-15:30]": ("h", {(0, 1, 2, 3, 4): [(570, 960)]}),
    "h[Mon-Sat 09:00-17:00]": ("h", {(0, 1, 2, 3, 4, 5): [(540, 1080)]}),
    "h[Mon-Fri 09:00-17:00; Sat 09:00-12:00]": ("h", {(0, 1, 2, 3, 4): [(540, 1080)], (5,): [(540, 780)]}),
    "h[Mon-Fri 09:00-11:00,13:00-16:00]": ("h", {(0, 1, 2, 3, 4): [(540, 720), (780, 1020)]}),
    "h[Mon-Sun 06:00-22:00]": ("h", {(0, 1, 2, 3, 4, 5, 6): [(360, 1380)]}),
    "h[Mon-Thu 00:00-23:00; Fri 00:00-21:00; Sun 22:00-23:00]": (
        "h",
        {(0, 1, 2, 3): [(0, 1440)], (4,): [(0, 1320)], (6,): [(1320, 1440)]},
    ),
    "15min[Mon-Fri 09:30-15:45]": ("15min", {(0, 1, 2, 3, 4): [(570, 960)]}),
    "D[Mon-Sat]": ("D", {(0, 1, 2, 3, 4, 5): [(0, 1)]}),
    "D[Mon-Thu,Sun]": ("D", {(0, 1, 2, 3, 6): [(0, 1)]}),
    "D[Mon,Wed,Fri]": ("D", {(0, 2, 4): [(0, 1)]}),
    "B": ("D", {(0, 1, 2, 3, 4): [(0, 1)]}),
}


def times_of(alias: str, weeks: int = 8) -> pd.DatetimeIndex:
    """Every open slot of some weeks from Monday, 1 January 2024, on."""
    freq, opening = CALENDARS[alias]
    start = pd.Timestamp("2024-01-01 00:30" if "09:30" in alias and freq == "h" else "2024-01-01")
    times = pd.date_range(start, pd.Timestamp("2024-01-01") + pd.Timedelta(weeks=weeks), freq=freq, inclusive="left")
    day, minute = times.day_of_week, times.hour * 60 + times.minute
    is_open = np.zeros(len(times), dtype=bool)
    for days, spans in opening.items():
        for first, end in spans:
            is_open |= np.isin(day, days) & (minute >= first) & (minute < end)
    return times[is_open]


@pytest.mark.parametrize("alias", CALENDARS)
def test_closed_hours_and_days_are_no_rows(alias: str) -> None:
    times = times_of(alias)
    frame = pd.DataFrame({"time": times, "y": np.sin(np.arange(len(times)))})
    series = load_series(frame)
    assert (series.freq, series.n_rows, series.repaired) == (alias, len(times), {})
    later = times_of(alias, 11)[len(times) :][:9]
    np.testing.assert_array_equal(series.extend_times(9)[0], later.to_numpy())
    holiday = frame[frame["time"].dt.date != times[len(times) // 3].date()]  # a hole that does not recur
    with_hole = load_series(holiday)
    assert (with_hole.freq, with_hole.n_rows) == (alias, len(times))


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_holes_that_do_not_recur_are_gaps(share: float) -> None:
    times = pd.date_range("2024-01-01", periods=1680, freq="h")
    kept = times[np.random.default_rng(0).random(1680) >= share]
    series = load_series(pd.DataFrame({"time": kept, "y": np.sin(np.arange(len(kept)))}))
    assert series.freq == "h"
    assert series.repaired["gap_rows"] > share * 1000


def test_few_days_are_enough_to_see_that_nights_are_closed() -> None:
    times = times_of("h[Mon-Sat 09:00-17:00]")[:36]
    assert load_series(pd.DataFrame({"time": times, "y": np.sin(np.arange(36))})).freq == "h[Mon-Sun 09:00-17:00]"


def test_hours_of_an_exchange_follow_its_local_clock() -> None:
    times = pd.date_range("2024-01-02 09:30", periods=24 * 140, freq="h", tz="America/New_York")
    times = times[(times.day_of_week < 5) & (times.hour >= 9) & (times.hour < 16)]
    series = load_series(pd.DataFrame({"time": times.astype(str), "y": np.sin(np.arange(len(times)))}))
    assert (series.freq, series.n_rows, series.zone) == ("h[Mon-Fri 09:30-15:30]", len(times), None)
    assert str(series.times[0])[:16] == "2024-01-02T09:30"


def test_season_is_a_day_and_a_week_of_open_slots() -> None:
    assert calendar_periods("h[Mon-Fri 09:30-15:30]") == (7, 35)
    assert calendar_periods("D[Mon-Sat]") == (6, 313)
    assert calendar_periods("BME") == (12,)
    assert calendar_periods("BQE-NOV") == (4,)


SIZES = {"h": DAY // 24, "15min": DAY // 96, "D": DAY, "6h": DAY // 4}


@given(st.sampled_from(list(SIZES)), st.data())
def test_slots_survive_their_text_and_places_their_stamps(unit: str, data: st.DataObject) -> None:
    size = SIZES[unit]
    count = 7 * DAY // size
    chosen = sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=20)))
    slots = tuple(i * size for i in chosen)
    text = write_slots(slots, size)
    assert read_slots(text, size) == slots
    step = parse_freq(f"{unit}[{text}]")
    assert (step.unit, step.size, step.slots) == ("week", size, slots)
    places = np.arange(-50, 3000, 7)
    back, exact = place_of(slots, stamp_of(slots, places))
    np.testing.assert_array_equal(back, places)
    assert exact.all()
    late = stamp_of(slots, places) + np.timedelta64(1, "s")
    near, exact = place_of(slots, late)
    assert not exact.any() or len(slots) * size == 7 * DAY
    assert (np.abs(near - places) <= 1).all()


@pytest.mark.parametrize(
    "alias", ["h[]", "h[Mon]x", "h[Foo 09:00]", "h[Mon 25:00]", "7h[Mon-Fri 09:00-15:00]", "h[Mon 9-10]"]
)
def test_calendar_that_is_none_is_refused(alias: str) -> None:
    with pytest.raises(DataError, match="unknown frequency"):
        parse_freq(alias)


def test_business_ends_of_months_quarters_and_years_are_not_those_of_the_calendar() -> None:
    for alias in ("BME", "BMS", "BQE", "BYE", "ME", "MS", "QE", "YE"):
        stamps = pd.date_range("1990-01-01", periods=40, freq=alias)
        times = stamps.as_unit("ns").to_numpy()
        found = find_freq(times, (0, 40))
        assert found == alias.replace("-DEC", "")
        series = load_series(pd.DataFrame({"d": stamps, "y": np.arange(40.0) ** 1.5}))
        following = pd.date_range("1990-01-01", periods=45, freq=alias)[40:]
        np.testing.assert_array_equal(series.extend_times(5)[0], following.to_numpy())
