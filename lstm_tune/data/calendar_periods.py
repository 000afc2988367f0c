"""The seasons, in rows, that people's calendars give to a frequency."""

from __future__ import annotations

from collections import Counter

from lstm_tune.data.frequency import DAY, Step, parse_freq

# Periods, in rows, that people's calendars give to a frequency, the shortest first.
_CALENDAR_PERIODS: dict[str, tuple[int, ...]] = {
    "s": (60, 3600),
    "min": (60, 1440),
    "h": (24, 168),
    "D": (7, 365),
    "B": (5, 261),
    "W": (52,),
    "M": (12,),
    "Q": (4,),
}


def calendar_periods(freq: str | None) -> tuple[int, ...]:
    """Return the periods, in rows, that the calendar suggests for a frequency of `find_freq` ('30min': 48 and 336)."""
    if freq is None:
        return ()
    step = parse_freq(freq)
    if step.unit == "week":
        return _open_periods(step)
    if step.on_business_days:
        freq = freq.removeprefix("B")
    base = freq.split("-")[0]
    digits = base.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    unit, count = base[len(digits) :], int(digits or 1)
    if unit == "min":
        day = 1440
        found: tuple[int, ...] = (60, day, 7 * day)
    elif unit == "s":
        found = (60, 3600, 86_400)
    else:
        key = unit if unit in _CALENDAR_PERIODS else unit[:1]
        found = _CALENDAR_PERIODS.get(key, ())
    return tuple(p // count for p in found if p % count == 0 and p // count > 1)


def _open_periods(step: Step) -> tuple[int, ...]:
    """Return the open slots of a day, if all open days have as many, and of a week; of whole days a week and a year."""
    days = Counter(slot // DAY for slot in step.slots)
    week = len(step.slots)
    if step.size == DAY:
        return tuple(p for p in (week, round(week * 365.25 / 7)) if p > 1)
    a_day = set(days.values())
    return tuple(p for p in (*(a_day if len(a_day) == 1 else ()), week) if p > 1)
