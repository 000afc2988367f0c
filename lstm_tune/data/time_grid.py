"""Time as a regular grid: the place of each stamp, and the stamps that follow.

Stamps are `datetime64[ns]` without a time zone. Several series stand end to end, series `s` in the rows
`offsets[s]:offsets[s + 1]`; they share a frequency, and each has a grid of its own from its first to its last row.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from lstm_tune.data.even_times import Bools, EvenTimes, Ints, Times
from lstm_tune.data.frequency import DAY, SECOND, Step, day_of_month, inner_steps, months_of, most_common, parse_freq
from lstm_tune.data.opening_hours import place_of, stamp_of
from lstm_tune.errors import DataError

SHARE_ON_GRID = 0.9  # fewer stamps than this on the grid, and the stamps are no grid
_MOST_ADDED = 100_000  # rows, that rows after the ends of `lay_grid` may need anyhow
LARGEST_GROWTH = 5  # a grid of more rows than this many times the stamps is mostly holes


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
        if step.unit == "week":
            return cls(step=step, phase=0, day=1, clock=0)
        if step.unit == "business":
            return cls(step=step, phase=0, day=1, clock=clock)
        phase, _ = most_common(months_of(times) % step.size)
        day = 31 if step.at_end else most_common(day_of_month(times))[0]
        return cls(step=step, phase=phase, day=day, clock=clock)

    def place(self, times: Times) -> tuple[Ints, Bools]:
        """Return the number of the place nearest to each stamp, and whether the stamp lies exactly on it."""
        size = self.step.size
        if self.step.unit == "week":
            return place_of(self.step.slots, times)
        if self.step.unit == "business":
            days = times.astype("datetime64[D]")
            weekday = (days.astype(np.int64) + 3) % 7
            workday = days - np.maximum(weekday - 4, 0).astype("timedelta64[D]")  # a Saturday belongs to Friday …
            workday = np.where(weekday == 6, days + np.timedelta64(1, "D"), workday)  # … and a Sunday to Monday
            exact = (weekday < 5) & (times.view(np.int64) % DAY == self.clock)
            return np.busday_count(np.datetime64("1970-01-01"), workday).astype(np.int64) // size, exact
        ticks = times.view(np.int64) if self.step.unit == "fixed" else months_of(times)
        whole, rest = np.divmod(ticks, size)  # no sum here can leave 64 bits, wherever the stamps are
        lag = rest - self.phase
        return whole + (lag + size // 2) // size, lag == 0

    def stamp(self, places: Ints) -> Times:
        """Return the stamp (n,) of each place (n,)."""
        if self.step.unit == "fixed":
            return (places * self.step.size + self.phase).view("datetime64[ns]")
        if self.step.unit == "week":
            return stamp_of(self.step.slots, places)
        if self.step.unit == "business":
            days = np.busday_offset(np.datetime64("1970-01-01"), places * self.step.size, roll="forward")
        else:
            month = (places * self.step.size + self.phase).astype("datetime64[M]")
            first_day, after = (m.astype("datetime64[D]") for m in (month, month + np.timedelta64(1, "M")))
            length = (after - first_day).astype(np.int64)
            days = first_day + (np.minimum(self.day, length) - 1).astype("timedelta64[D]")
            if self.step.on_business_days:
                last = np.busday_offset(after, -1, roll="forward")
                first = np.busday_offset(first_day, 0, roll="forward")
                days = last if self.step.at_end else first
        return days.astype("datetime64[ns]") + np.timedelta64(self.clock, "ns")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Grid:
    """Where the rows of the source stand on a regular grid."""

    times: Times | EvenTimes  # (N,)
    offsets: tuple[int, ...]  # (S+1,)
    kept: Ints  # (n,) source rows that have a place
    rows: Ints  # (n,) the grid row of each
    nearest: Ints  # (m,) the grid row of every source row, also of those that were dropped
    off_grid: int  # source rows that were moved to a place, or dropped because it was taken


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Placed:
    """The places of all series, before they become rows."""

    first: tuple[int, ...]  # (S,) place of the first row of each series
    kept: Ints
    rows: Ints
    nearest: Ints
    exact: Bools  # whether each kept row lies on its place
    offsets: tuple[int, ...]


def lay_grid(times: Times, offsets: Sequence[int], freq: str, ends: Sequence[int] | None = None) -> Grid | None:
    """Give each stamp its place on the regular grid of its series.

    A stamp off the grid moves to the nearest place; if that is taken, it is dropped.

    Args:
        times: (n,) sorted within each series, without repeats.
        offsets: (S+1,) borders of the series, each of one row at least.
        freq: from `find_freq`.
        ends: (S,) row before which each series may be looked at to find out how its grid lies; None: all rows.

    Returns:
        The grid; None if less than 90% of the stamps before the ends lie on one, or it would have over 5 times as
        many rows.

    Raises:
        DataError: the rows after the ends would need over 5 times as many rows as there are, and over 100,000 more.
    """
    step = parse_freq(freq)
    bounds = list(itertools.pairwise(offsets))
    # A series that begins after its end is not seen by any trial, so that its own rows may place it.
    seen = [end if end > a else b for (a, b), end in zip(bounds, ends or offsets[1:], strict=True)]
    rulers = [Ruler.fit(times[a:end], step) for (a, _), end in zip(bounds, seen, strict=True)]
    places = [ruler.place(times[a:b]) for ruler, (a, b) in zip(rulers, bounds, strict=True)]
    placed = put_in_place(places, times, offsets, ends)
    if placed is None:
        return None
    stamps = [
        ruler.stamp(np.arange(first, first + end - start))
        for ruler, first, (start, end) in zip(rulers, placed.first, itertools.pairwise(placed.offsets), strict=True)
    ]
    grid_times = np.concatenate(stamps)
    # Months may have their stamps on any day.
    grid_times[placed.rows[placed.exact]] = times[placed.kept[placed.exact]]
    return Grid(
        times=grid_times,
        offsets=placed.offsets,
        kept=placed.kept,
        rows=placed.rows,
        nearest=placed.nearest,
        off_grid=len(times) - int(placed.exact.sum()),
    )


def put_in_place(
    places: Sequence[tuple[Ints, Bools]], times: Times, offsets: Sequence[int], ends: Sequence[int] | None
) -> Placed | None:
    """Turn the place of each stamp into rows of a grid, by the rules of `lay_grid`.

    Args:
        places: for each series, the (ascending) place of each stamp and whether it lies on it.
        times: (n,) the stamps, for the message.
        offsets: (S+1,) borders of the series.
        ends: (S,) row before which the rows decide whether there is a grid; None: all rows do.
    """
    kept, rows, nearest, exact, borders = [], [], [], [], [0]
    on_grid = grown = seen = 0
    for s, (own, fits) in enumerate(places):
        chosen = one_per_place(own, fits)
        row = own - own[0] + borders[-1]
        count = (ends[s] if ends else offsets[s + 1]) - offsets[s]
        on_grid += int(fits[chosen[chosen < count]].sum())
        grown += int(own[count - 1] - own[0]) + 1 if count else 0
        seen += count
        kept.append(chosen + offsets[s])
        rows.append(row[chosen])
        nearest.append(row)
        exact.append(fits[chosen])
        borders.append(borders[-1] + int(own[-1] - own[0]) + 1)
    if on_grid < SHARE_ON_GRID * seen or grown > LARGEST_GROWTH * seen:
        return None
    if borders[-1] > max(LARGEST_GROWTH * len(times), len(times) + _MOST_ADDED):
        raise DataError(_late_gap(times, offsets))
    return Placed(
        first=tuple(int(own[0]) for own, _ in places),
        kept=np.concatenate(kept),
        rows=np.concatenate(rows),
        nearest=np.concatenate(nearest),
        exact=np.concatenate(exact),
        offsets=tuple(borders),
    )


def _late_gap(times: Times, offsets: Sequence[int]) -> str:
    """Return the sentence that names the longest gap within a series."""
    steps = inner_steps(times, offsets)
    inner = np.setdiff1d(np.arange(len(times) - 1), np.asarray(offsets[1:-1], dtype=np.int64) - 1)
    at = int(inner[int(steps.argmax())])
    return (
        f"the time leaps from {_shown(times[at])} to {_shown(times[at + 1])}, so that most rows would have to be "
        "invented; correct the time, or leave the rows after the gap out"
    )


def _shown(time: Any) -> str:
    if not isinstance(time, np.datetime64):
        return f"{time:.10g}"
    return str(time.astype("datetime64[s]")).replace("T", " ").removesuffix(" 00:00:00")


def following(times: Times, freq: str | None, steps: int) -> Times:
    """Return the (steps,) stamps that follow those of one series (n,).

    Numbers go on at their last step, by 1 if there is none; stamps without frequency at their median step.

    Raises:
        DataError: they lie beyond what 64-bit nanoseconds hold.
    """
    if not np.issubdtype(times.dtype, np.datetime64):
        step = times[-1] - times[-2] if len(times) > 1 else 1
        numbers: Times = times[-1] + np.arange(1, steps + 1) * step
        return numbers
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
    steps = inner_steps(times.view(np.int64), offsets)
    return len(steps) - most_common(steps)[1]


def one_per_place(places: Ints, exact: Bools) -> Ints:
    """Return the indices (sorted by place) of one stamp a place: the first exact one, else the first."""
    if (np.diff(places) > 0).all():
        return np.arange(len(places))
    order = np.lexsort((~exact, places))
    first = np.concatenate([[True], np.diff(places[order]) > 0])
    chosen: Ints = order[first]
    return chosen
