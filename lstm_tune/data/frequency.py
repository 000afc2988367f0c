"""The frequency of time stamps: found in them, named by a pandas alias, read back from it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lstm_tune.data.even_times import Bools, EvenTimes, Ints, Times, pieces
from lstm_tune.data.opening_hours import find_slots, read_slots, write_slots
from lstm_tune.errors import DataError

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
FIXED_UNITS = {"D": DAY, "h": 3600 * SECOND, "min": 60 * SECOND, "s": SECOND, "ms": 1_000_000, "us": 1_000, "ns": 1}
MONTH_UNITS = {"Y": 12, "Q": 3, "M": 1}
WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_SHARE_ON_BUSINESS_DAYS = 0.9  # of monthly stamps
SHARE_ON_WEEKDAYS = 0.99  # of daily stamps, from which on days mean business days


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """The distance between neighbours on a grid."""

    unit: Literal["fixed", "month", "business", "week"]
    size: int  # nanoseconds, months or business days
    at_end: bool = False  # months: stamps stand on the last day
    on_business_days: bool = False  # months: on the first or last one
    slots: tuple[int, ...] = ()  # weeks: the open ones, in nanoseconds since Monday 00:00


def parse_freq(freq: str) -> Step:
    """Return the step that a pandas offset alias such as "30min", "W-SUN", "QS" or "B" stands for.

    Behind an alias the open hours of a week may stand in brackets, as "h[Mon-Fri 09:30-15:30]".

    Raises:
        DataError: an alias that `find_freq` never returns.
    """
    match = re.fullmatch(r"(\d{0,19})([A-Za-z]+)(?:-[A-Z]{3})?(?:\[(.+)\])?", freq)
    count, unit, week = (int(match[1] or 1), match[2], match[3]) if match else (0, "", None)
    if week is not None:
        return _parse_week(freq, count * FIXED_UNITS.get(unit, 0), week)
    if count and unit in FIXED_UNITS:
        return Step(unit="fixed", size=count * FIXED_UNITS[unit])
    if count and unit == "W":
        return Step(unit="fixed", size=count * 7 * DAY)
    if count and unit == "B":
        return Step(unit="business", size=count)
    business, unit = unit[:1] == "B", unit.removeprefix("B")
    if count and len(unit) == 2 and unit[0] in MONTH_UNITS and unit[1] in "SE":
        size = count * MONTH_UNITS[unit[0]]
        return Step(unit="month", size=size, at_end=unit[1] == "E", on_business_days=business)
    raise DataError(_unknown(freq))


def _parse_week(freq: str, size: int, week: str) -> Step:
    try:
        if not size or DAY % size:
            raise ValueError("the step does not divide a day")
        return Step(unit="week", size=size, slots=read_slots(week, size))
    except ValueError as error:
        raise DataError(_unknown(freq)) from error


def _unknown(freq: str) -> str:
    return f"unknown frequency {freq!r}; known: s, 30min, h, D, B, W-SUN, MS, ME, BME, QS, YS, D[Mon-Sat] and the like"


def short_step(times: Times, offsets: Sequence[int]) -> tuple[str, EvenTimes] | None:
    """Return frequency and times of series that are evenly spaced at less than a day, else None.

    There is no calendar in them: what `find_freq` and `lay_grid` would find in several passes is seen in one.

    Args:
        times: (N,) sorted within each series.
        offsets: (S+1,) borders of the series, one of which at least has two rows.
    """
    ticks = times.view(np.int64)
    start = next((a for a, b in itertools.pairwise(offsets) if b - a > 1), None)
    step = 0 if start is None else int(ticks[start + 1]) - int(ticks[start])
    even = 0 < step < DAY and all(
        bool((ticks[a + 1 : b + 1] - ticks[a:b] == step).all())
        for start, end in itertools.pairwise(offsets)
        for a, b in pieces(start, end - 1)
    )
    return (_fixed_alias(times, step), EvenTimes(times[list(offsets[:-1])], step, offsets)) if even else None


def find_freq(times: Times, offsets: Sequence[int]) -> str:
    """Return the frequency, as a pandas alias, of the most common step within the series.

    A daily step with at most 1% of the stamps at weekends means business days; other weekdays and hours at which there
    are never rows make a calendar of open hours. Steps of about a month or more count in months if that explains more
    of them, whatever the day of the month.

    Args:
        times: (N,) sorted within each series, without repeats.
        offsets: (S+1,) borders of the series, one of which at least has two rows.

    Raises:
        DataError: neighbours too far apart for 64-bit nanoseconds.
    """
    steps = inner_steps(times.view(np.int64), offsets)
    if (steps <= 0).any():
        raise DataError("two neighbouring time stamps lie over 292 years apart; correct the time, or leave it out")
    step, count = most_common(steps)
    if step == DAY and _on_weekdays(times):
        return "B"
    alias = _week_alias(times, offsets, step)
    if alias is not None:
        return alias
    if step > 14 * DAY and np.median(steps) >= 25 * DAY:  # months with stamps on any day are 2 to 60 days apart
        months = inner_steps(months_of(times), offsets)
        span, month_count = most_common(months)
        days = day_of_month(times)
        clear = bool((days == days[0]).all() or _is_month_end(times).all() or _business_side(times))
        if span > 0 and (month_count > count or (month_count == count and clear)):
            return _month_alias(times, span)
    return _fixed_alias(times, step)


def most_common(values: Ints) -> tuple[int, int]:
    """Return the most common value, the smallest of equals, and how often it occurs."""
    if (values == values[0]).all():  # the usual case, without the sort that would take most of the time
        return int(values[0]), len(values)
    distinct, counts = np.unique(values, return_counts=True)
    best = int(counts.argmax())
    return int(distinct[best]), int(counts[best])


def inner_steps(values: Ints, offsets: Sequence[int]) -> Ints:
    """Return the differences of neighbours, without those over the border of two series."""
    steps = np.diff(values)
    if len(offsets) <= 2:
        return steps
    inside = np.ones(len(steps), dtype=bool)
    inside[np.asarray(offsets[1:-1]) - 1] = False
    return steps[inside]


def months_of(times: Times) -> Ints:
    """Return the months since January 1970 of stamps (n,)."""
    return times.astype("datetime64[M]").astype(np.int64)


def day_of_month(times: Times) -> Ints:
    """Return the day of the month of stamps (n,), 1 to 31."""
    days = times.astype("datetime64[D]")
    first = times.astype("datetime64[M]").astype("datetime64[D]")
    day: Ints = (days - first).astype(np.int64) + 1
    return day


def _is_month_end(times: Times) -> Bools:
    after: Bools = months_of(times.astype("datetime64[D]") + np.timedelta64(1, "D")) > months_of(times)
    return after


def _on_weekdays(times: Times) -> bool:
    """Return whether daily stamps cross a weekend and yet leave it out."""
    days = times.astype("datetime64[D]").astype(np.int64)
    weekday, week = (days + 3) % 7, (days + 3) // 7
    return bool((week != week[0]).any() and (weekday < 5).mean() >= SHARE_ON_WEEKDAYS)


def _fixed_alias(times: Times, step: int) -> str:
    if step % (7 * DAY) == 0:
        days = times.view(np.int64) // DAY
        return f"{_count(step // (7 * DAY))}W-{WEEKDAYS[most_common((days + 3) % 7)[0]]}"
    unit = next(unit for unit, size in FIXED_UNITS.items() if step % size == 0)
    return f"{_count(step // FIXED_UNITS[unit])}{unit}"


def _week_alias(times: Times, offsets: Sequence[int], step: int) -> str | None:
    """Return the alias of a calendar with closed hours or days; None: there is none."""
    for size in (step, DAY) if step in (2 * DAY, 3 * DAY) else (step,):
        slots = find_slots(times, offsets, size) if step <= DAY or size == DAY else None
        if slots is not None:
            return f"{_fixed_alias(times, size)}[{write_slots(slots, size)}]"
    return None


def _business_side(times: Times) -> str:
    """Return S or E if at least 90% of the stamps are the first or the last business day of their month."""
    days = times.astype("datetime64[D]")
    month = times.astype("datetime64[M]")
    first = np.busday_offset(month.astype("datetime64[D]"), 0, roll="forward")
    last = np.busday_offset((month + np.timedelta64(1, "M")).astype("datetime64[D]"), -1, roll="forward")
    for side, usual in (("E", last), ("S", first)):
        if (days == usual).mean() >= _SHARE_ON_BUSINESS_DAYS:
            return side
    return ""


def _month_alias(times: Times, span: int) -> str:
    ends = bool(_is_month_end(times).all())
    days = day_of_month(times)
    business = "" if ends or (days == days[0]).all() else _business_side(times)
    ends |= business == "E"
    return ("B" if business else "") + _span_alias(times, span, ends)


def _span_alias(times: Times, span: int, ends: bool) -> str:
    side = "E" if ends else "S"
    if span % 12 == 0:
        month, usual = most_common(months_of(times) % 12)[0], 11 if ends else 0
        return f"{_count(span // 12)}Y{side}" + ("" if month == usual else f"-{MONTHS[month]}")
    if span == 3:
        month, usual = most_common(months_of(times) % 3)[0], 2 if ends else 0
        return f"Q{side}" + ("" if month == usual else f"-{MONTHS[month]}")
    return f"{_count(span)}M{side}"


def _count(count: int) -> str:
    return "" if count == 1 else str(count)
