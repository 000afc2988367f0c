"""Calendar features: what the time stamp alone says, and so is known for any future row."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from lstm_tune.data.even_times import EvenTimes, Times
from lstm_tune.data.frequency import DAY, Step, parse_freq

YEAR_DAYS = 365.25
_LONGEST = {"hour": DAY - 1, "weekday": DAY, "yearday": 31 * DAY}  # steps that tell the cycle apart


def calendar_features(times: Times | EvenTimes, freq: str | None) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Return sine and cosine of the position in the day, week and year, as far as the frequency tells them apart.

    Hour of day below a day, day of week up to a day, day of year up to a month, month of year for months and quarters;
    nothing for years and for rows without frequency. Of business days and opening hours only what differs among the
    open ones: no hour if there is one row a day, no day of week if the same day is always open.

    Args:
        times: (N,) datetime64[ns].
        freq: pandas offset alias, or None.

    Returns:
        (N, K) features between -1 and 1, and their K names.
    """
    cycles = _cycles(np.asarray(times), parse_freq(freq)) if freq is not None else {}
    features = np.empty((len(times), 2 * len(cycles)), dtype=np.float32)
    for column, turn in enumerate(cycles.values()):
        features[:, 2 * column] = np.sin(2 * np.pi * turn)
        features[:, 2 * column + 1] = np.cos(2 * np.pi * turn)
    return features, tuple(f"calendar_{name}_{wave}" for name in cycles for wave in ("sin", "cos"))


def cycle_names(step: Step) -> tuple[str, ...]:
    """Return the cycles that a frequency tells apart, in the order of their features."""
    if step.unit == "month":
        return ("month",) if step.size % 12 else ()
    if step.unit == "week":
        differs = {"hour": _differ(slot % DAY for slot in step.slots), "weekday": _differ(s // DAY for s in step.slots)}
        return tuple(name for name in _LONGEST if differs.get(name, True))
    length = step.size if step.unit == "fixed" else step.size * DAY
    return tuple(name for name, most in _LONGEST.items() if length <= most)


def _differ(values: Iterable[int]) -> bool:
    return len(set(values)) > 1


def _cycles(times: Times, step: Step) -> dict[str, NDArray[np.float64]]:
    """Return the position (N,) in each cycle, as a fraction of a turn."""
    return {name: _TURNS[name](times) for name in cycle_names(step)}


def _yearday(times: Times) -> NDArray[np.float64]:
    new_year = times.astype("datetime64[Y]").astype("datetime64[D]")
    turn: NDArray[np.float64] = (times.astype("datetime64[D]") - new_year).astype(np.int64) / YEAR_DAYS
    return turn


_TURNS: dict[str, Callable[[Times], NDArray[np.float64]]] = {
    "month": lambda times: times.astype("datetime64[M]").astype(np.int64) % 12 / 12,
    "hour": lambda times: times.view(np.int64) % DAY / DAY,
    # Monday is 0; 1970-01-01 was a Thursday.
    "weekday": lambda times: (times.astype("datetime64[D]").astype(np.int64) + 3) % 7 / 7,
    "yearday": _yearday,
}
