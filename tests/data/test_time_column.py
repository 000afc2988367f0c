"""Time in every writing: words of seven languages, numbers, several columns, zones; read or refused, never dropped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from lstm_tune.data.load import load_series
from lstm_tune.errors import DataError

N = 40
Y = np.round(10 + np.sin(np.arange(N)), 2)
DAYS = pd.date_range("2024-01-01", periods=N)
HOURS = pd.date_range("2024-01-01", periods=N, freq="h")
MONTHS = pd.period_range("2010-01", periods=N, freq="M")
QUARTERS = pd.period_range("2010Q1", periods=N, freq="Q")
WEEKS = pd.date_range("2020-01-06", periods=N, freq="W-MON")
NAMES = {
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "de short": "Jan Feb Mrz Apr Mai Jun Jul Aug Sep Okt Nov Dez",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "fr short": "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "es short": "ene feb mar abr may jun jul ago sep oct nov dic",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "it short": "gen feb mar apr mag giu lug ago set ott nov dic",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
    "nl short": "jan feb mrt apr mei jun jul aug sep okt nov dec",
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "pt short": "jan fev mar abr mai jun jul ago set out nov dez",
    "en": "January February March April May June July August September October November December",
}
WEEKDAYS = {
    "de": "Mo Di Mi Do Fr Sa So",
    "de long": "Montag, Dienstag, Mittwoch, Donnerstag, Freitag, Samstag, Sonntag,",
    "fr": "lun. mar. mer. jeu. ven. sam. dim.",
    "es": "lun mar mié jue vie sáb dom",
    "it": "lun mar mer gio ven sab dom",
    "nl": "ma di wo do vr za zo",
    "pt": "seg ter qua qui sex sáb dom",
    "en": "Mon, Tue, Wed, Thu, Fri, Sat, Sun,",
}


def times_of(words: Any, name: str = "when", **columns: Any) -> tuple[np.ndarray[Any, Any], str | None]:
    series = load_series(pd.DataFrame({name: words, "y": Y[: len(words)]} | columns), target="y")
    return np.asarray(series.times), series.freq


def assert_times(words: Any, expected: Any, name: str = "when", **columns: Any) -> None:
    times, _ = times_of(words, name, **columns)
    np.testing.assert_array_equal(times, pd.DatetimeIndex(expected).as_unit("ns").to_numpy())


@pytest.mark.parametrize("form", ["Q%q %Y", "%YQ%q", "%Y-Q%q", "%Y Q%q", "Q%q/%Y", "%qQ%Y", "%q. Quartal %Y", "T%q %Y"])
def test_quarters(form: str) -> None:
    assert_times(QUARTERS.strftime(form), QUARTERS.to_timestamp())
    assert_times(QUARTERS.strftime(form)[::-1], QUARTERS.to_timestamp())  # newest first


@pytest.mark.parametrize(
    "form",
    [
        *("%YM%m", "%Y M%m", "M%m/%Y", "%Y:%m", "%b %Y", "%Y %b", "%B %Y", "%b-%y", "%b-%Y"),
        *("%Y/%m", "%m/%Y", "%m.%Y", "%Y-%m"),
    ],
)
def test_months(form: str) -> None:
    assert_times(MONTHS.strftime(form), MONTHS.to_timestamp())


@pytest.mark.parametrize("names", NAMES.values(), ids=list(NAMES))
def test_names_of_months(names: str) -> None:
    words = names.split()
    assert_times([f"{words[i % 12]} {2010 + i // 12}" for i in range(N)], MONTHS.to_timestamp())
    assert_times([f"{d.day}. {words[d.month - 1]} {d.year}" for d in DAYS], DAYS)
    assert_times([f"{d.day:02}-{words[d.month - 1]}-{d:%y}" for d in DAYS], DAYS)
    assert_times(
        [2010 + i // 12 for i in range(N)], MONTHS.to_timestamp(), "year", month=[words[i % 12] for i in range(N)]
    )


@pytest.mark.parametrize("names", WEEKDAYS.values(), ids=list(WEEKDAYS))
def test_names_of_weekdays(names: str) -> None:
    words = names.split()
    assert_times([f"{words[d.weekday()]} {d:%d.%m.%Y}" for d in DAYS], DAYS)
    assert_times([f"{words[d.weekday()]} {d:%d %b %Y}" for d in DAYS], DAYS)


@pytest.mark.parametrize(
    "form", ["{y}-W{w:02}", "{y}W{w:02}", "KW {w}/{y}", "KW{w:02} {y}", "week {w}, {y}", "W{w:02} {y}"]
)
def test_weeks(form: str) -> None:
    parts = [day.isocalendar() for day in WEEKS]
    assert_times([form.format(y=p.year, w=p.week) for p in parts], WEEKS)


@pytest.mark.parametrize(
    "form",
    [
        *("%d.%m.%y %H:%M", "%d.%m.%Y, %H:%M:%S", "%d.%m.%Y %H:%M Uhr", "%d.%m.%Y %H.%M", "%d/%b/%Y %H:%M"),
        *("%Y%m%d %H%M", "%Y%m%dT%H%M%S", "%Y/%m/%d %H:%M", "%Y-%m-%d %H"),
        *("%b %d, %Y %I:%M %p", "%A, %B %d, %Y %H:%M", "%d %b %Y %Hh%M"),
    ],
)
def test_dates_with_clocks(form: str) -> None:
    assert_times(HOURS.strftime(form), HOURS)


def test_24_o_clock_is_the_midnight_that_ends_the_day() -> None:
    ends = HOURS + pd.Timedelta("1h")
    assert_times([f"{t - pd.Timedelta('1h'):%d.%m.%Y} {t.hour or 24:02}:00" for t in ends], ends)
    assert_times([int(f"{t - pd.Timedelta('1h'):%Y%m%d}{t.hour or 24:02}") for t in ends], ends, "MESS_DATUM")


def test_midnight_may_have_no_clock() -> None:
    assert_times([f"{t:%d.%m.%Y}" if not t.hour else f"{t:%d.%m.%Y %H:%M}" for t in HOURS], HOURS)


@pytest.mark.parametrize("between", [" - ", " – ", " bis ", " to "])
def test_interval_begins_with_its_stamp(between: str) -> None:
    assert_times([f"{t:%d.%m.%Y %H:%M}{between}{t + pd.Timedelta('1h'):%d.%m.%Y %H:%M}" for t in HOURS], HOURS)
    assert_times([f"{d:%Y-%m-%d}{between}{d + pd.Timedelta('6D'):%Y-%m-%d}" for d in WEEKS], WEEKS)


@pytest.mark.parametrize(
    ("name", "first", "clock"),
    [
        ("Time", "%d/%m/%Y", "%H:%M:%S"),
        ("Uhrzeit", "%d.%m.%Y", "%H:%M"),
        ("Time", "%m/%d/%Y", "%I:%M %p"),
        ("hour", "%Y-%m-%d", "hour"),
        ("HHMM", "%Y%m%d", "hhmm"),
    ],
)
def test_date_and_clock_in_two_columns(name: str, first: str, clock: str) -> None:
    numbers = {"hour": HOURS.hour, "hhmm": HOURS.hour * 100 + HOURS.minute}
    second = numbers.get(clock)
    columns = {name: HOURS.strftime(clock) if second is None else second}
    assert_times(HOURS.strftime(first), HOURS, "Date", **columns)


def test_time_of_day_is_left_alone_if_dates_do_not_repeat() -> None:
    _, freq = times_of(DAYS.strftime("%Y-%m-%d"), "date", hour=np.arange(N) % 24)
    assert freq == "D"


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"Jahr": [p.isocalendar().year for p in WEEKS], "KW": [p.isocalendar().week for p in WEEKS]}, WEEKS),
        ({"year": DAYS.year, "doy": DAYS.day_of_year}, DAYS),
        ({"année": DAYS.year, "mois": DAYS.month, "jour": DAYS.day}, DAYS),
        ({"year": HOURS.year, "month": HOURS.month, "day": HOURS.day, "hour": HOURS.hour}, HOURS),
        ({"year": QUARTERS.year, "quarter": [f"Q{q}" for q in QUARTERS.quarter]}, QUARTERS.to_timestamp()),
    ],
)
def test_parts_in_several_columns(columns: dict[str, Any], expected: Any) -> None:
    series = load_series(pd.DataFrame(columns | {"y": Y}), target="y")
    np.testing.assert_array_equal(np.asarray(series.times), pd.DatetimeIndex(expected).as_unit("ns").to_numpy())


@pytest.mark.parametrize(
    ("numbers", "expected", "name"),
    [
        (DAYS.strftime("%Y%m%d").astype(float), DAYS, "date"),
        (HOURS.strftime("%Y%m%d%H").astype(int), HOURS, "MESS_DATUM"),
        (HOURS.strftime("%Y%m%d%H%M").astype(int), HOURS, "timestamp"),
        (HOURS.strftime("%Y%m%d%H%M%S").astype(int), HOURS, "timestamp"),
        (DAYS.strftime("%Y%j").astype(int), DAYS, "date"),
        (WEEKS.strftime("%G%V").astype(int), WEEKS, "week"),
        (1_700_000_000 + 60 * np.arange(N), pd.date_range("2023-11-14 22:13:20", periods=N, freq="min"), "ts"),
        (2010 + np.arange(N) / 12, MONTHS.to_timestamp(), "time"),
        (np.round(2010 + np.arange(N) / 12, 3), MONTHS.to_timestamp(), "time"),
        (2010 + np.arange(N) / 4, QUARTERS.to_timestamp(), "time"),
        ([float(f"{2010 + i // 12}.{i % 12 + 1:02}") for i in range(N)], MONTHS.to_timestamp(), "month"),
    ],
)
def test_numbers_that_are_stamps(numbers: Any, expected: Any, name: str) -> None:
    assert_times(numbers, expected, name)


@pytest.mark.parametrize(
    ("numbers", "step", "following"),
    [
        (np.arange(1, N + 1), 1, N + 1),
        (np.round(np.arange(N) * 0.02, 2), 0.02, 0.8),
        (np.arange(N) * 5 + 3, 5, 203),
        (2000 + np.arange(N) / 52, 1 / 52, 2000 + N / 52),
    ],
)
def test_numbers_that_count_are_sorted_filled_and_continued(numbers: Any, step: float, following: float) -> None:
    order = np.random.default_rng(0).permutation(np.delete(np.arange(N), [5, 6, 20]))
    series = load_series(pd.DataFrame({"ds": np.asarray(numbers)[order], "y": Y[order]}))
    assert series.step == pytest.approx(step)
    assert series.n_rows == N
    np.testing.assert_allclose(np.asarray(series.times).astype(float), numbers)
    np.testing.assert_allclose(series.values[0, [0, 7, -1]], Y[[0, 7, -1]], rtol=1e-6)
    assert not series.observed[0, [5, 6, 20]].any()
    assert series.extend_times(1)[0, 0] == pytest.approx(following)


@pytest.mark.parametrize("index", [np.arange(N), np.arange(N) * 0.25])
def test_index_of_numbers_is_a_time(index: Any) -> None:
    frame = pd.DataFrame({"y": Y}, index=index)
    for changed in (frame.sample(frac=1, random_state=0), frame[::-1]):
        assert load_series(changed).values[0].tolist() == pytest.approx(Y.tolist())
    assert load_series(frame.drop(index=index[5])).n_rows == N
    double = load_series(pd.concat([frame, frame]))
    assert (double.n_rows, double.step) == (2 * N, None)


def test_jitter_of_a_clock_is_no_irregular_time() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"time": np.arange(500) * 0.02 + rng.normal(size=500) * 0.0004, "y": rng.normal(size=500)})
    series = load_series(frame)
    assert (series.n_rows, series.repaired) == (500, {})
    assert series.times[499] == pytest.approx(9.98, abs=0.01)


def test_times_of_day_without_a_date_are_counted_in_seconds() -> None:
    for words in ([f"{i // 60:02}:{i % 60:02}:00" for i in range(N)], pd.to_timedelta(np.arange(N), unit="min")):
        series = load_series(pd.DataFrame({"time": words, "y": Y}).sample(frac=1, random_state=0))
        assert (series.step, series.extend_times(1)[0, 0]) == (60, 60 * N)
        assert series.values[0].tolist() == pytest.approx(Y.tolist())
        assert "the times of day of 'time' have no date, and are counted in seconds" in series.notes
    again = load_series(pd.DataFrame({"time": [f"{i % 20}:00" for i in range(N)], "y": Y}))
    assert "column 'time' holds times of day that are blank or repeat, so it is not the time" in again.notes[0]


def test_seasons_are_the_years_that_they_begin_in() -> None:
    years = pd.date_range("1980", periods=N, freq="YS")
    for mark in "/-":
        assert_times([f"{y.year}{mark}{(y.year + 1) % 100:02}" for y in years], years)


def test_numbers_that_repeat_are_no_time_and_this_is_reported() -> None:
    series = load_series(pd.DataFrame({"time": np.repeat(np.arange(20), 2), "y": Y}), target="y")
    assert series.step is None
    assert "column 'time' holds numbers that are blank or repeat, so it is not the time" in series.notes[0]


def test_column_called_like_a_time_is_read_or_refused() -> None:
    junk = pd.DataFrame({"Datum": [f"day {i}" for i in range(N)], "y": Y})
    with pytest.raises(DataError, match="column 'Datum' is called like a time but holds none that can be read"):
        load_series(junk)
    both = load_series(junk.assign(gemessen=DAYS))
    assert both.time_name == "gemessen"
    mostly = [d if i != 7 else "soon" for i, d in enumerate(DAYS.strftime("%Y-%m-%d"))]
    with pytest.raises(DataError, match="column 'x' has 1 unreadable time stamps"):
        load_series(pd.DataFrame({"x": mostly, "y": Y}))


# ---- time zones


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Sydney", "UTC", "Etc/GMT-5"])
@pytest.mark.parametrize("clock", ["0h", "8h"])
def test_days_at_a_local_clock_keep_their_local_date(zone: str, clock: str) -> None:
    days = pd.date_range("2024-03-20", periods=N).append(pd.date_range("2024-04-29", periods=200))
    local = (days + pd.Timedelta(clock)).tz_localize(zone)
    frame = pd.DataFrame({"date": local, "y": np.arange(len(local)) ** 1.5})
    for one in (frame, frame.assign(date=local.astype(str)), frame.assign(date=list(local.to_pydatetime()))):
        series = load_series(one)
        assert (series.freq, series.repaired, series.zone) == ("D", {}, None)
        if one["date"].dtype != object:
            assert str(series.times[0])[:10] == "2024-03-20"


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
def test_hours_are_counted_in_utc_and_keep_their_zone(zone: str) -> None:
    hours = pd.date_range("2024-03-01", periods=1000, freq="h", tz=zone)
    frame = pd.DataFrame({"t": hours, "y": np.arange(1000) ** 1.5})
    for one in (frame, frame.assign(t=hours.astype(str))):
        series = load_series(one)
        assert (series.freq, series.repaired, series.zone) == ("h", {}, zone)
        np.testing.assert_array_equal(np.asarray(series.times), hours.tz_convert("UTC").tz_localize(None).to_numpy())


@pytest.mark.parametrize(
    ("suffix", "zone"), [("Z", "UTC"), (" UTC", "UTC"), ("+00:00", "UTC"), (" CET", "+01:00"), ("-0330", "-03:30")]
)
def test_offset_of_all_stamps_is_their_zone(suffix: str, zone: str) -> None:
    series = load_series(pd.DataFrame({"t": [f"{t:%Y-%m-%d %H:%M}{suffix}" for t in HOURS], "y": Y}))
    assert (series.freq, series.zone) == ("h", zone)
