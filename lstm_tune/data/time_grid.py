"""Time as a regular grid: the frequency of some stamps, the place of each stamp, the stamps that follow.

Stamps are `datetime64[ns]` without a time zone. Several series stand end to end, series `s` in the rows
`offsets[s]:offsets[s + 1]`; they share a frequency, and each has a grid of its own from its first to its last row.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, overload

import numpy as np
from numpy.typing import NDArray

from lstm_tune.errors import DataError

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Times = NDArray[Any]  # datetime64[ns], or int64 where rows have no time

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
FIXED_UNITS = {"D": DAY, "h": 3600 * SECOND, "min": 60 * SECOND, "s": SECOND, "ms": 1_000_000, "us": 1_000, "ns": 1}
MONTH_UNITS = {"Y": 12, "Q": 3, "M": 1}
WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
SHARE_ON_GRID = 0.9  # fewer stamps than this on the grid, and the stamps are no grid
SHARE_ON_WEEKDAYS = 0.99  # of daily stamps, from which on days mean business days
_PIECE = 2**20  # rows
LARGEST_GROWTH = 5  # a grid of more rows than this many times the stamps is mostly holes


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """The distance between neighbours on a grid."""

    unit: Literal["fixed", "month", "business"]
    size: int  # nanoseconds, months or business days
    at_end: bool = False  # months: stamps stand on the last day


def parse_freq(freq: str) -> Step:
    """Return the step that a pandas offset alias such as "30min", "W-SUN", "QS" or "B" stands for.

    Raises:
        DataError: an alias that `find_freq` never returns.
    """
    match = re.fullmatch(r"(\d*)([A-Za-z]+)(?:-[A-Z]{3})?", freq)
    count, unit = (int(match[1] or 1), match[2]) if match else (0, "")
    if count and unit in FIXED_UNITS:
        return Step(unit="fixed", size=count * FIXED_UNITS[unit])
    if count and unit == "W":
        return Step(unit="fixed", size=count * 7 * DAY)
    if count and unit == "B":
        return Step(unit="business", size=count)
    if count and len(unit) == 2 and unit[0] in MONTH_UNITS and unit[1] in "SE":
        return Step(unit="month", size=count * MONTH_UNITS[unit[0]], at_end=unit[1] == "E")
    raise DataError(f"unknown frequency {freq!r}; known: s, 30min, h, D, B, W-SUN, MS, ME, QS, YS and the like")


class EvenTimes:
    """The times of series whose rows are equally far apart, made when they are asked for.

    Takes the indices of an array (N,), and `np.asarray`.

    Args:
        first: (S,) time of the first row of each series: datetime64[ns], or int64 row numbers.
        step: from row to row, in nanoseconds, or in rows.
        offsets: (S+1,) borders of the series.
    """

    def __init__(self, first: Times, step: int, offsets: Sequence[int]) -> None:
        self._first, self._step, self._offsets = first, step, np.asarray(offsets)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one time."""
        return self._first.dtype

    def __len__(self) -> int:
        return int(self._offsets[-1])

    @overload
    def __getitem__(self, rows: int) -> Any: ...

    @overload
    def __getitem__(self, rows: slice | Ints | Bools) -> Times: ...

    def __getitem__(self, rows: int | slice | Ints | Bools) -> Any:
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        elif not isinstance(rows, np.ndarray):
            return self[np.array([range(len(self))[rows]])][0]
        elif rows.dtype == np.bool_:
            rows = np.flatnonzero(rows)
        series = np.searchsorted(self._offsets, rows, side="right") - 1
        return self._first[series] + (rows - self._offsets[series]) * self._step

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Times:
        return np.asarray(self[:], dtype=dtype)

    def tolist(self) -> list[Any]:
        """Return all times."""
        times: list[Any] = self[:].tolist()
        return times

    def head(self, lengths: Sequence[int]) -> EvenTimes:
        """Return the times of the first `lengths[s]` rows of each series."""
        return EvenTimes(self._first, self._step, (0, *np.cumsum(lengths)))


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


def pieces(start: int, end: int) -> list[tuple[int, int]]:
    """Cut rows [start, end) into consecutive pieces that are looked at one by one: bounds memory."""
    return [(a, min(a + _PIECE, end)) for a in range(start, end, _PIECE)]


def find_freq(times: Times, offsets: Sequence[int]) -> str:
    """Return the frequency, as a pandas alias, of the most common step within the series.

    A daily step with at most 1% of the stamps at weekends means business days; steps of about a month or more count in
    months when that explains more of them, whatever the day of the month.

    Args:
        times: (N,) sorted within each series, without repeats.
        offsets: (S+1,) borders of the series, one of which at least has two rows.

    Raises:
        DataError: neighbours too far apart for 64-bit nanoseconds.
    """
    steps = _inner_steps(times.view(np.int64), offsets)
    if (steps <= 0).any():
        raise DataError("two neighbouring time stamps lie over 292 years apart; correct the time, or leave it out")
    step, count = most_common(steps)
    if step == DAY and _on_weekdays(times):
        return "B"
    if step > 14 * DAY and np.median(steps) >= 25 * DAY:  # months with stamps on any day are 2 to 60 days apart
        months = _inner_steps(_months(times), offsets)
        span, month_count = most_common(months)
        days = _day_of_month(times)
        clear = bool((days == days[0]).all() or _is_month_end(times).all())
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Ruler:
    """The grid of one series: numbers places, and returns the stamp of each."""

    step: Step
    phase: int  # nanoseconds or months past a whole multiple of the step
    day: int  # months: the usual day of the month, 1 to 31
    clock: int  # months and business days: the usual nanosecond of the day

    @classmethod
    def fit(cls, times: Times, step: Step) -> Self:
        """Return the ruler that most of the stamps (n,) lie on."""
        if step.unit == "fixed":
            return cls(step=step, phase=most_common(times.view(np.int64) % step.size)[0], day=1, clock=0)
        clock = most_common(times.view(np.int64) % DAY)[0]
        if step.unit == "business":
            return cls(step=step, phase=0, day=1, clock=clock)
        phase, _ = most_common(_months(times) % step.size)
        day = 31 if step.at_end else most_common(_day_of_month(times))[0]
        return cls(step=step, phase=phase, day=day, clock=clock)

    def place(self, times: Times) -> tuple[Ints, Bools]:
        """Return the number of the place nearest to each stamp, and whether the stamp lies exactly on it."""
        size = self.step.size
        if self.step.unit == "business":
            days = times.astype("datetime64[D]")
            weekday = (days.astype(np.int64) + 3) % 7
            workday = days - np.where(weekday > 4, weekday - 4, 0)  # a Saturday belongs to Friday …
            workday = np.where(weekday == 6, days + 1, workday)  # … and a Sunday to Monday
            exact = (weekday < 5) & (times.view(np.int64) % DAY == self.clock)
            return np.busday_count(np.datetime64("1970-01-01"), workday).astype(np.int64) // size, exact
        ticks = times.view(np.int64) if self.step.unit == "fixed" else _months(times)
        lag = ticks - self.phase
        return (lag + size // 2) // size, lag % size == 0

    def stamp(self, places: Ints) -> Times:
        """Return the stamp (n,) of each place (n,)."""
        if self.step.unit == "fixed":
            return (places * self.step.size + self.phase).view("datetime64[ns]")
        if self.step.unit == "business":
            days = np.busday_offset(np.datetime64("1970-01-01"), places * self.step.size, roll="forward")
        else:
            month = (places * self.step.size + self.phase).astype("datetime64[M]")
            length = ((month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")).astype(np.int64)
            days = month.astype("datetime64[D]") + (np.minimum(self.day, length) - 1)
        return days.astype("datetime64[ns]") + np.timedelta64(self.clock, "ns")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Grid:
    """Where the rows of the source stand on a regular grid."""

    times: Times  # (N,)
    offsets: tuple[int, ...]  # (S+1,)
    kept: Ints  # (n,) source rows that have a place
    rows: Ints  # (n,) the grid row of each
    off_grid: int  # source rows that were moved to a place, or dropped because it was taken


def lay_grid(times: Times, offsets: Sequence[int], freq: str) -> Grid | None:
    """Give each stamp its place on the regular grid of its series.

    A stamp off the grid moves to the nearest place; where that is taken, it is dropped.

    Args:
        times: (n,) sorted within each series, without repeats.
        offsets: (S+1,) borders of the series, each of one row at least.
        freq: from `find_freq`.

    Returns:
        The grid; None where less than 90% of the stamps lie on one, or it would have over 5 times as many rows.
    """
    step = parse_freq(freq)
    rulers, kept, rows, exact, new_offsets = [], [], [], [], [0]
    for start, end in itertools.pairwise(offsets):
        ruler = Ruler.fit(times[start:end], step)
        places, fits = ruler.place(times[start:end])
        chosen = _one_per_place(places, fits)
        places = places[chosen]
        rulers.append((ruler, int(places[0])))
        kept.append(chosen + start)
        rows.append(places - places[0] + new_offsets[-1])
        exact.append(fits[chosen])
        new_offsets.append(new_offsets[-1] + int(places[-1] - places[0]) + 1)
    all_kept, all_rows, all_exact = np.concatenate(kept), np.concatenate(rows), np.concatenate(exact)
    on_grid = int(all_exact.sum())
    if on_grid < SHARE_ON_GRID * len(times) or new_offsets[-1] > LARGEST_GROWTH * len(times):
        return None
    stamps = [
        ruler.stamp(np.arange(first, first + end - start))
        for (ruler, first), (start, end) in zip(rulers, itertools.pairwise(new_offsets), strict=True)
    ]
    grid_times = np.concatenate(stamps)
    grid_times[all_rows[all_exact]] = times[all_kept[all_exact]]  # months may have their stamps on any day
    return Grid(
        times=grid_times, offsets=tuple(new_offsets), kept=all_kept, rows=all_rows, off_grid=len(times) - on_grid
    )


def following(times: Times, freq: str | None, steps: int) -> Times:
    """Return the (steps,) stamps that follow those of one series (n,).

    Rows without time count on; rows with time and without frequency go on at their median step.

    Raises:
        DataError: they lie beyond what 64-bit nanoseconds hold.
    """
    if not np.issubdtype(times.dtype, np.datetime64):
        return np.arange(int(times[-1]) + 1, int(times[-1]) + 1 + steps)
    if freq is not None:
        ruler = Ruler.fit(times, parse_freq(freq))
        last, _ = ruler.place(times[-1:])
        stamps = ruler.stamp(last[0] + np.arange(1, steps + 1))
    else:
        median = int(np.median(np.diff(times.view(np.int64)))) if len(times) > 1 else SECOND
        stamps = times[-1] + np.arange(1, steps + 1) * np.timedelta64(median, "ns")
    if not (stamps > np.concatenate([times[-1:], stamps[:-1]])).all():  # overflow turns to the far past
        raise DataError(f"{steps} steps after {times[-1]} reach beyond the year 2261; take fewer")
    return stamps


def uneven_steps(times: Times, offsets: Sequence[int]) -> int:
    """Return the number of steps within the series that differ from the most common one."""
    steps = _inner_steps(times.view(np.int64), offsets)
    return len(steps) - most_common(steps)[1]


def _one_per_place(places: Ints, exact: Bools) -> Ints:
    """Return the indices (sorted by place) of one stamp a place: the first exact one, else the first."""
    if (np.diff(places) > 0).all():
        return np.arange(len(places))
    order = np.lexsort((~exact, places))
    first = np.concatenate([[True], np.diff(places[order]) > 0])
    chosen: Ints = order[first]
    return chosen


def _inner_steps(values: Ints, offsets: Sequence[int]) -> Ints:
    """Return the differences of neighbours, without those over the border of two series."""
    steps = np.diff(values)
    if len(offsets) <= 2:
        return steps
    inside = np.ones(len(steps), dtype=bool)
    inside[np.asarray(offsets[1:-1]) - 1] = False
    return steps[inside]


def _months(times: Times) -> Ints:
    return times.astype("datetime64[M]").astype(np.int64)


def _day_of_month(times: Times) -> Ints:
    days = times.astype("datetime64[D]")
    first = times.astype("datetime64[M]").astype("datetime64[D]")
    day: Ints = (days - first).astype(np.int64) + 1
    return day


def _is_month_end(times: Times) -> Bools:
    after: Bools = _months(times.astype("datetime64[D]") + 1) > _months(times)
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


def _month_alias(times: Times, span: int) -> str:
    ends = bool(_is_month_end(times).all())
    side = "E" if ends else "S"
    if span % 12 == 0:
        month, usual = most_common(_months(times) % 12)[0], 11 if ends else 0
        return f"{_count(span // 12)}Y{side}" + ("" if month == usual else f"-{MONTHS[month]}")
    if span == 3:
        month, usual = most_common(_months(times) % 3)[0], 2 if ends else 0
        return f"Q{side}" + ("" if month == usual else f"-{MONTHS[month]}")
    return f"{_count(span)}M{side}"


def _count(count: int) -> str:
    return "" if count == 1 else str(count)
