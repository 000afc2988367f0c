"""The frequency of stamps, their places on a grid, the stamps that follow, and the calendar."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_tune.data.calendar_features import calendar_features
from lstm_tune.data.even_times import EvenTimes
from lstm_tune.data.frequency import find_freq, parse_freq, short_step
from lstm_tune.data.time_grid import following, lay_grid, uneven_steps
from lstm_tune.data.time_numbers import parse_numbers
from lstm_tune.data.time_text import recognise
from lstm_tune.data.time_words import plain_stamp
from lstm_tune.errors import DataError

ALIASES = ["s", "15s", "min", "30min", "h", "6h", "D", "3D", "W-SUN", "W-WED", "2W-MON", "B", "MS", "ME", "2MS"]
ALIASES += ["QS", "QE", "QS-FEB", "QE-JAN", "YS", "YE", "YS-APR", "YE-JUN", "2YS"]


def stamps(freq: str, rows: int = 40, start: str = "2019-12-03") -> np.ndarray:
    return pd.date_range(start, periods=rows, freq=freq).as_unit("ns").to_numpy()


@pytest.mark.parametrize("alias", ALIASES)
def test_frequency_and_following_stamps_agree_with_pandas(alias: str) -> None:
    both = stamps(alias, rows=45)
    times, later = both[:40], both[40:]
    assert find_freq(times, (0, 40)) == alias
    np.testing.assert_array_equal(following(times, alias, 5), later)


@pytest.mark.parametrize("alias", ALIASES)
def test_grid_fills_the_holes_with_the_stamps_that_pandas_gives(alias: str) -> None:
    full = stamps(alias)
    keep = np.delete(np.arange(40), [7, 21, 22])
    grid = lay_grid(full[keep], (0, len(keep)), find_freq(full[keep], (0, len(keep))))
    assert grid is not None
    np.testing.assert_array_equal(grid.times, full)
    np.testing.assert_array_equal(grid.rows, keep)
    assert grid.off_grid == 0


@pytest.mark.parametrize("days", [[3, 7, 2, 9, 1, 4], [15] * 6, [28, 28, 27, 26, 28, 25]])
def test_month_stamps_on_any_day_count_as_monthly(days: list[int]) -> None:
    times = np.array([f"2021-{month:02}-{day:02}" for month, day in enumerate(days, start=1)], "datetime64[ns]")
    assert find_freq(times, (0, 6)) == "MS"
    grid = lay_grid(times, (0, 6), "MS")
    assert grid is not None
    np.testing.assert_array_equal(grid.times, times)


def test_months_go_on_on_their_usual_day() -> None:
    times = np.array(["2020-12-30", "2021-01-30", "2021-02-28"], "datetime64[ns]")
    expected = np.array(["2021-03-30", "2021-04-30"], "datetime64[ns]")
    np.testing.assert_array_equal(following(times, "MS", 2), expected)


def test_four_weeks_are_not_a_month() -> None:
    assert find_freq(stamps("28D"), (0, 40)) == "4W-TUE"


def test_days_that_leave_out_weekends_are_business_days_and_holidays_are_holes() -> None:
    times = np.delete(stamps("B"), [5, 17])
    assert find_freq(times, (0, 38)) == "B"
    grid = lay_grid(times, (0, 38), "B")
    assert grid is not None
    assert len(grid.times) == 40
    assert find_freq(stamps("D", rows=5, start="2024-01-01"), (0, 5)) == "D"  # Monday to Friday crosses no weekend


def test_steps_over_the_border_of_two_series_do_not_count() -> None:
    times = np.concatenate([stamps("h", 3), stamps("h", 2, "2001-01-01"), stamps("h", 4)])
    assert find_freq(times, (0, 3, 5, 9)) == "h"
    assert uneven_steps(times, (0, 3, 5, 9)) == 0


def test_each_series_keeps_its_own_phase() -> None:
    times = np.concatenate([stamps("h", 5), stamps("h", 5) + np.timedelta64(20, "m")])
    grid = lay_grid(times, (0, 5, 10), "h")
    assert grid is not None
    np.testing.assert_array_equal(grid.times, times)


def test_stamp_off_the_grid_moves_to_the_nearest_free_place_and_is_dropped_from_a_taken_one() -> None:
    times = np.delete(stamps("h"), 20)
    late = times.copy()
    extra = np.insert(late, 20, late[19] + np.timedelta64(55, "m"))  # near the free place 20
    grid = lay_grid(extra, (0, 40), "h")
    assert grid is not None
    np.testing.assert_array_equal(grid.times, stamps("h"))
    assert (len(grid.kept), grid.off_grid) == (40, 1)
    taken = np.insert(stamps("h"), 21, stamps("h")[20] + np.timedelta64(5, "m"))
    grid = lay_grid(taken, (0, 41), "h")
    assert grid is not None
    assert (len(grid.kept), grid.off_grid) == (40, 1)
    assert 21 not in grid.kept


def test_weekend_stamps_among_business_days_lose_against_the_days_beside_them() -> None:
    friday_to_monday = np.array(["2024-01-05", "2024-01-06", "2024-01-08"], "datetime64[ns]")
    many = np.concatenate([friday_to_monday, stamps("B", 300, "2024-01-09")])
    assert find_freq(many, (0, 303)) == "B"
    grid = lay_grid(many, (0, 303), "B")
    assert grid is not None
    assert grid.off_grid == 1
    assert 1 not in grid.kept


def test_no_grid_where_few_stamps_lie_on_one_or_it_would_be_mostly_holes() -> None:
    uneven = np.cumsum(np.arange(1, 30) ** 2).astype("datetime64[s]").astype("datetime64[ns]")
    assert lay_grid(uneven, (0, 29), find_freq(uneven, (0, 29))) is None
    sparse = np.concatenate([stamps("h", 5), stamps("h", 5, "2024-01-01")])
    assert lay_grid(sparse, (0, 10), "h") is None


def test_rows_without_time_count_on_and_irregular_ones_take_the_median_step() -> None:
    np.testing.assert_array_equal(following(np.arange(7), None, 3), [7, 8, 9])
    times = np.array([0, 10, 20, 95], "datetime64[s]").astype("datetime64[ns]")
    np.testing.assert_array_equal(following(times, None, 2), np.array([105, 115], "datetime64[s]"))


def test_stamps_that_64_bits_cannot_hold_are_refused() -> None:
    with pytest.raises(DataError, match="beyond the year 2261"):
        following(stamps("D", 3, "2262-01-01"), "D", 500)
    with pytest.raises(DataError, match="292 years"):
        find_freq(np.array(["1700-01-01", "2200-01-02"], "datetime64[ns]"), (0, 2))


@pytest.mark.parametrize("alias", ["", "fortnight", "XS", "M", "1.5h"])
def test_unknown_frequency_is_refused(alias: str) -> None:
    with pytest.raises(DataError, match="unknown frequency"):
        parse_freq(alias)


@given(st.sampled_from(ALIASES), st.integers(2, 60), st.sets(st.integers(0, 59)), st.integers(0, 10**9))
def test_every_stamp_of_a_grid_keeps_its_time(alias: str, rows: int, holes: set[int], seconds: int) -> None:
    full = stamps(alias, rows, str(np.datetime64("1990-01-01") + np.timedelta64(seconds, "s")))
    times = np.delete(full, [hole for hole in holes if hole < rows])
    if len(times) < 2:
        return
    grid = lay_grid(times, (0, len(times)), find_freq(times, (0, len(times))))
    if grid is not None and not grid.off_grid:
        np.testing.assert_array_equal(grid.times[grid.rows], times[grid.kept])
        assert (np.diff(grid.times) > np.timedelta64(0, "ns")).all()


@pytest.mark.parametrize(
    ("alias", "cycles"),
    [
        ("30min", ["hour", "weekday", "yearday"]),
        ("D", ["weekday", "yearday"]),
        ("B", ["weekday", "yearday"]),
        ("W-SUN", ["yearday"]),
        ("MS", ["month"]),
        ("QS", ["month"]),
        ("YS", []),
        (None, []),
    ],
)
def test_calendar_has_the_cycles_that_the_frequency_tells_apart(alias: str | None, cycles: list[str]) -> None:
    times = stamps(alias or "D", 9)
    features, names = calendar_features(times, alias)
    assert names == tuple(f"calendar_{cycle}_{wave}" for cycle in cycles for wave in ("sin", "cos"))
    assert features.shape == (9, 2 * len(cycles))
    assert features.dtype == np.float32


def test_calendar_agrees_with_pandas() -> None:
    index = pd.date_range("2019-12-28 05:30", periods=500, freq="7h")
    features, names = calendar_features(index.as_unit("ns").to_numpy(), "7h")
    turns = {
        "hour": (index.hour + index.minute / 60) / 24,
        "weekday": index.day_of_week / 7,
        "yearday": (index.day_of_year - 1) / 365.25,
    }
    expected = [wave(2 * np.pi * turn) for turn in turns.values() for wave in (np.sin, np.cos)]
    np.testing.assert_allclose(features, np.stack(expected, axis=1), atol=1e-6)
    assert len(names) == 6


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ("7/1/2016 4:00", ("%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M")),
        ("01.02.2020", ("%d.%m.%Y", "%m.%d.%Y")),
        ("January-1-1995", ("%b %d %Y",)),
        ("3/4/2020 1:05 PM", ("%m/%d/%Y %I:%M %p", "%d/%m/%Y %I:%M %p")),
        ("cat", None),
        ("12:30", None),
        ("1.5", None),
    ],
)
def test_formats_of_a_stamp(sample: str, expected: tuple[str, ...] | None) -> None:
    form = recognise(plain_stamp(sample))
    assert (None if form is None else form.formats) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (20160701, "2016-07-01"),
        (201607, "2016-07-01"),
        (1467331200, "2016-07-01"),
        (1467331200_000, "2016-07-01"),
        (1467331200_000_000, "2016-07-01"),
        (1467331200_000_000_000, "2016-07-01"),
        (2016, "2016-01-01"),
        (17, None),
        (20161301, None),
        (0.5, None),
    ],
)
def test_numbers_as_time(number: float, expected: str | None) -> None:
    parsed = parse_numbers(np.array([number], dtype=np.float64), years=True)
    assert (None if parsed is None else str(parsed[0].date())) == expected


# ---- times that are made when asked for


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.booleans(), st.data())
def test_even_times_take_every_index_that_an_array_takes(sizes: list[int], numbers: bool, data: st.DataObject) -> None:
    first = np.arange(len(sizes)) * 1000
    step = 1 if numbers else 60 * 10**9
    parts = [a + np.arange(n) * step for a, n in zip(first, sizes, strict=True)]
    array, starts = np.concatenate(parts), first
    if not numbers:
        array, starts = array.view("datetime64[ns]"), first.view("datetime64[ns]")
    times = EvenTimes(starts, step, (0, *np.cumsum(sizes).tolist()))
    assert (len(times), times.dtype, times.tolist()) == (len(array), array.dtype, array.tolist())
    np.testing.assert_array_equal(np.asarray(times), array)
    a, b = data.draw(st.integers(0, len(array))), data.draw(st.integers(0, len(array)))
    np.testing.assert_array_equal(times[a:b], array[a:b])
    at = data.draw(st.integers(-len(array), len(array) - 1))
    assert times[at] == array[at]
    where = np.array(data.draw(st.lists(st.booleans(), min_size=len(array), max_size=len(array))))
    np.testing.assert_array_equal(times[where], array[where])
    lengths = [data.draw(st.integers(1, n)) for n in sizes]
    expected = np.concatenate([array[s : s + n] for s, n in zip(np.cumsum([0, *sizes[:-1]]), lengths, strict=True)])
    np.testing.assert_array_equal(np.asarray(times.head(lengths)), expected)


@pytest.mark.parametrize("freq", ["h", "30min", "s", "250ms"])
def test_short_step_finds_what_the_grid_finds(freq: str) -> None:
    times = np.concatenate([stamps(freq), stamps(freq)[:9]])
    found = short_step(times, (0, 40, 49))
    assert found is not None
    grid = lay_grid(times, (0, 40, 49), find_freq(times, (0, 40, 49)))
    assert grid is not None
    assert found[0] == find_freq(times, (0, 40, 49))
    np.testing.assert_array_equal(np.asarray(found[1]), grid.times)


def test_short_step_leaves_days_and_uneven_steps_to_the_grid() -> None:
    assert short_step(stamps("D"), (0, 40)) is None
    assert short_step(stamps("h")[np.arange(40) != 7], (0, 39)) is None
    assert short_step(stamps("h")[[0, 0, 1]], (0, 3)) is None
