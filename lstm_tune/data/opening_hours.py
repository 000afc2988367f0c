"""Weeks with hours or days at which there are never rows: opening hours of shops, exchanges and offices.

Such data have a calendar of their own, as business days have: a slot is a weekday and a time of day, and only slots
that are open in most weeks are places of the grid. Written behind the step as "h[Mon-Fri 09:30-15:30]" or "D[Mon-Sat]".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lstm_tune.data.even_times import Bools, Ints, Times

_SECOND = 1_000_000_000
_DAY = 86_400 * _SECOND
WEEK = 7 * _DAY
MONDAY = 4 * _DAY  # the first one after 1970-01-01
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_OPEN = 0.2  # share of the days, or weeks, with rows at a slot, from which on it counts as open
_LEAST_CLOSED = 0.1  # share of the week without which there is no calendar
_ON_SLOTS = 0.98  # share of the rows that lie on open slots
_FILLED = 0.5  # share of the open slots that have rows
_DAYS_NEEDED = 3  # that pass an hour, before it counts as closed
_WEEKS_NEEDED = 2  # before weekdays do
_MOST_SLOTS = 604_800  # of a week: seconds


def find_slots(times: Times, offsets: Sequence[int], size: int) -> tuple[int, ...] | None:
    """Return the open slots of a week, in nanoseconds since Monday 00:00, or None if nothing recurs as closed.

    Args:
        times: (N,) sorted within each series.
        offsets: (S+1,) borders of the series.
        size: the step in nanoseconds, that divides a day.
    """
    if _DAY % size or WEEK // size > _MOST_SLOTS:
        return None
    ticks = times.view(np.int64) - MONDAY
    phases, counts = np.unique(ticks % size, return_counts=True)
    phase = int(phases[counts.argmax()])
    on_phase = ticks % size == phase
    if on_phase.mean() < _ON_SLOTS:
        return None
    per_day = _DAY // size
    place = (ticks - phase) // size  # slots since the first Monday
    day = place // per_day
    borders = np.asarray(offsets)
    is_new = np.concatenate([[True], day[1:] != day[:-1]])
    is_new[borders[:-1]] = True
    spans = _Spans.of(place[borders[:-1]], place[borders[1:] - 1])
    slots = _recurring(place[on_phase] % (7 * per_day), day[is_new], spans, per_day)
    if slots.mean() > 1 - _LEAST_CLOSED:
        return None
    inside = slots[place % (7 * per_day)] & on_phase
    expected = sum(n * _count_open(slots, first, last) for first, last, n in spans.each)
    if inside.mean() < _ON_SLOTS or inside.sum() < _FILLED * expected:
        return None
    return tuple((np.flatnonzero(slots) * size + phase).tolist())


@dataclass(frozen=True, slots=True)
class _Spans:
    """The places that series cover: (first, last, number of series that cover just these)."""

    each: tuple[tuple[int, int, int], ...]

    @classmethod
    def of(cls, first: Ints, last: Ints) -> _Spans:
        distinct, counts = np.unique(np.stack([first, last], axis=1), axis=0, return_counts=True)
        return cls(tuple((int(a), int(b), int(n)) for (a, b), n in zip(distinct, counts, strict=True)))

    def exposure(self, unit: int, period: int) -> Ints:
        """Return how often each place of a period (period,) lies in the spans, counted in units of so many places."""
        none = np.zeros(period, dtype=np.int64)
        return sum((n * _exposure(a // unit, b // unit, period) for a, b, n in self.each), none)


def _recurring(slots: Ints, days: Ints, spans: _Spans, per_day: int) -> Bools:
    """Return which slots (7 · per_day,) of a week are open.

    Args:
        slots: (n,) slot of the week of each row.
        days: days, since the first Monday, on which a series has rows.
        spans: places of the series.
        per_day: slots of a day.
    """
    rows = np.bincount(slots, minlength=7 * per_day).reshape(7, per_day)
    hours = np.ones(per_day, dtype=np.bool_)
    if per_day > 1:
        hours = (spans.exposure(1, per_day) < _DAYS_NEEDED) | (rows.sum(0) >= _OPEN * len(days))
    exposed = spans.exposure(per_day, 7)
    seen = np.bincount(days % 7, minlength=7)
    weekdays = (exposed < _WEEKS_NEEDED) | (seen >= _OPEN * exposed)
    if exposed.max() < _WEEKS_NEEDED and exposed.min() > 0 and (seen[:5] > 0).all() and not seen[5:].any():
        weekdays[5:] = False  # one week is enough for a weekend
    opened: Bools = np.outer(weekdays, hours)
    rare = (exposed[:, None] >= 3) & (rows < _OPEN * exposed[:, None])  # Saturday afternoons, Friday nights
    return (opened & ~rare).reshape(-1)


def _exposure(first: int, last: int, period: int) -> Ints:
    """Return how often each place of a period (period,) lies in the places from the first to the last one."""
    rounds, rest = divmod(last - first + 1, period)
    counts = np.full(period, rounds, dtype=np.int64)
    counts[(first + np.arange(rest)) % period] += 1
    return counts


def _count_open(slots: Bools, first: int, last: int) -> int:
    """Return how many open slots lie from place `first` to `last`."""
    total = np.concatenate([[0], np.cumsum(slots)])
    week = len(slots)

    def before(place: int) -> int:
        return int(place // week * total[-1] + total[place % week])

    return before(last + 1) - before(first)


def place_of(slots: Sequence[int], times: Times) -> tuple[Ints, Bools]:
    """Return the number of the open slot nearest to each stamp (n,), counted from the first Monday, and exactness."""
    starts = np.asarray(slots, dtype=np.int64)
    ticks = times.view(np.int64) - MONDAY
    week, rest = np.divmod(ticks, WEEK)
    below = np.searchsorted(starts, rest, side="right") - 1
    place = week * len(starts) + below
    lag = ticks - (stamp_of(slots, place).view(np.int64) - MONDAY)
    ahead = stamp_of(slots, place + 1).view(np.int64) - MONDAY - ticks
    return np.where(ahead < lag, place + 1, place), lag == 0


def stamp_of(slots: Sequence[int], places: Ints) -> Times:
    """Return the stamp of each place (n,)."""
    starts = np.asarray(slots, dtype=np.int64)
    week, slot = np.divmod(places, len(starts))
    stamps: Times = (week * WEEK + starts[slot] + MONDAY).view("datetime64[ns]")
    return stamps


def write_slots(slots: Sequence[int], size: int) -> str:
    """Return open slots as text such as "Mon-Fri 09:30-15:30; Sat 10:00-12:00"; days alone if the step is a day."""
    by_day: dict[int, list[int]] = {day: [] for day in range(7)}
    for slot in slots:
        by_day[slot // _DAY].append(slot % _DAY)
    groups: list[tuple[list[int], list[int]]] = []
    for day, own in by_day.items():
        if not own:
            continue
        group = next((days for days, clocks in groups if clocks == own), None)
        if group is None:
            groups.append(([day], own))
        else:
            group.append(day)
    if size == _DAY:
        at = {clocks[0] for _, clocks in groups}
        days = _runs(sorted(day for group, _ in groups for day in group))
        clock = at.pop()
        return days if not clock else f"{days} {_clock(clock)}"
    return "; ".join(f"{_runs(days)} {_spans(clocks, size)}" for days, clocks in groups)


def _runs(days: Sequence[int]) -> str:
    parts: list[list[int]] = []
    for day in days:
        if parts and day == parts[-1][-1] + 1:
            parts[-1].append(day)
        else:
            parts.append([day])
    return ",".join(_DAYS[p[0]] if len(p) == 1 else f"{_DAYS[p[0]]}-{_DAYS[p[-1]]}" for p in parts)


def _spans(clocks: Sequence[int], size: int) -> str:
    parts: list[list[int]] = []
    for clock in clocks:
        if parts and clock == parts[-1][-1] + size:
            parts[-1].append(clock)
        else:
            parts.append([clock])
    return ",".join(f"{_clock(p[0])}-{_clock(p[-1])}" if len(p) > 1 else _clock(p[0]) for p in parts)


def _clock(tick: int) -> str:
    seconds = tick // _SECOND
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}"
    return text if not seconds % 60 else f"{text}:{seconds % 60:02d}"


def read_slots(text: str, size: int) -> tuple[int, ...]:
    """Return the open slots that `write_slots` wrote.

    Raises:
        ValueError: the text is none.
    """
    slots: list[int] = []
    for group in text.split("; "):
        days, _, clocks = group.partition(" ")
        starts: list[int] = []
        for span in (clocks or "00:00").split(","):
            first, _, last = span.partition("-")
            starts += range(_tick(first), _tick(last or first) + 1, size)
        for run in days.split(","):
            first, _, last = run.partition("-")
            for day in range(_DAYS.index(first), _DAYS.index(last or first) + 1):
                slots += [day * _DAY + start for start in starts]
    if not slots or len(slots) > _MOST_SLOTS:
        raise ValueError(f"no week has {len(slots)} slots")
    return tuple(sorted(set(slots)))


def _tick(clock: str) -> int:
    if not re.fullmatch(r"\d{2}:\d{2}(?::\d{2})?", clock):
        raise ValueError(f"{clock!r} is no time of day")
    hours, minutes, seconds = (*map(int, clock.split(":")), 0)[:3]
    if hours > 23 or minutes > 59 or seconds > 59:
        raise ValueError(f"{clock!r} is no time of day")
    return (hours * 3600 + minutes * 60 + seconds) * _SECOND
