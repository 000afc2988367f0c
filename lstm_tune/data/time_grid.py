"""Time as a regular grid: the place of each stamp, and the stamps that follow.

Stamps are `datetime64[ns]` without a time zone. Several series stand end to end, series `s` in the rows
`offsets[s]:offsets[s + 1]`; they share a frequency, and each has a grid of its own from its first to its last row.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from lstm_tune.data.even_times import Bools, Ints, Times
from lstm_tune.data.frequency import DAY, SECOND, Step, day_of_month, inner_steps, months_of, most_common, parse_freq
from lstm_tune.errors import DataError

SHARE_ON_GRID = 0.9  # fewer stamps than this on the grid, and the stamps are no grid
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
        if step.unit == "business":
            return cls(step=step, phase=0, day=1, clock=clock)
        phase, _ = most_common(months_of(times) % step.size)
        day = 31 if step.at_end else most_common(day_of_month(times))[0]
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
        ticks = times.view(np.int64) if self.step.unit == "fixed" else months_of(times)
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
    steps = inner_steps(times.view(np.int64), offsets)
    return len(steps) - most_common(steps)[1]


def _one_per_place(places: Ints, exact: Bools) -> Ints:
    """Return the indices (sorted by place) of one stamp a place: the first exact one, else the first."""
    if (np.diff(places) > 0).all():
        return np.arange(len(places))
    order = np.lexsort((~exact, places))
    first = np.concatenate([[True], np.diff(places[order]) > 0])
    chosen: Ints = order[first]
    return chosen
