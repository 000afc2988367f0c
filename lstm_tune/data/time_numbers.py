"""Numbers as time: stamps such as 20160701 and seconds since 1970, decimal years, or an axis that counts on."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstm_tune.data.time_text import weeks

Floats64 = NDArray[np.float64]

FIRST_YEAR, LAST_YEAR = 1500, 2200
_EPOCHS: tuple[tuple[Literal["s", "ms", "us", "ns"], float], ...] = (
    ("s", 1e11),
    ("ms", 1e14),
    ("us", 1e17),
    ("ns", 9e18),
)
_PARTS_OF_YEAR = (4, 12)  # that decimal years come in
_NEAR = 0.03  # of a part of a year: 2010.083 is a month


def parse_numbers(numbers: Floats64, *, years: bool) -> pd.DatetimeIndex | None:
    """Return (n,) numbers as stamps, or None.

    YYYY, YYYYMM, YYYYWW, YYYYDDD, YYYYMMDD, YYYYMMDDHH, YYYYMMDDHHMM, YYYYMMDDHHMMSS, decimal years in quarters or
    months (2010.25), and seconds, milli-, micro- and nanoseconds since 1970.

    Args:
        numbers: one for each row.
        years: whether whole numbers from 1500 to 2200, and decimal years, count as years.
    """
    if not len(numbers) or not np.isfinite(numbers).all():
        return None
    low, high = float(numbers.min()), float(numbers.max())
    if (numbers == np.floor(numbers)).all() and high < 1e15:
        whole = numbers.astype(np.int64)
        for digits in (14, 12, 10, 8, 7, 6):
            found = _of_digits(whole, digits) if _spans_years(whole, 10 ** (digits - 4)) else None
            if found is not None:
                return found
        if years and low >= FIRST_YEAR and high <= LAST_YEAR:
            return _first_days(whole, np.ones_like(whole))
    elif years and low >= FIRST_YEAR and high <= LAST_YEAR + 1:
        return _decimal_years(numbers)
    for unit, limit in _EPOCHS:
        if low > max(1e8, limit / 1e4) and high < limit:
            return pd.DatetimeIndex(pd.to_datetime(pd.Series(numbers), unit=unit))
    return None


def _spans_years(numbers: NDArray[np.int64], scale: int) -> bool:
    """Return whether what precedes the last digits of all numbers is a year."""
    return bool(numbers.min() >= FIRST_YEAR * scale and numbers.max() < (LAST_YEAR + 1) * scale)


def _of_digits(numbers: NDArray[np.int64], digits: int) -> pd.DatetimeIndex | None:
    if digits == 7:
        return _days_of_year(numbers)
    return _months_or_weeks(numbers) if digits == 6 else _dates(numbers, digits)


def _dates(numbers: NDArray[np.int64], digits: int) -> pd.DatetimeIndex | None:
    """Return numbers of 8 to 14 digits as stamps; hour 24 is the midnight that ends the day."""
    rest = numbers // 10 ** (digits - 8)
    days = pd.to_datetime(pd.Series(rest).astype(str), format="%Y%m%d", errors="coerce")
    clock = numbers - rest * 10 ** (digits - 8)
    parts = [clock // 10 ** (digits - 10 - 2 * i) % 100 for i in range((digits - 8) // 2)]
    hours, minutes, seconds = [*parts, *[np.zeros_like(numbers)] * 3][:3]
    late = (hours == 24) & (minutes == 0) & (seconds == 0)
    sound = ((hours < 24) | late) & (minutes < 60) & (seconds < 60)
    if days.isna().any() or not sound.all():
        return None
    return pd.DatetimeIndex(days + pd.to_timedelta(hours * 3600 + minutes * 60 + seconds, unit="s"))


def _days_of_year(numbers: NDArray[np.int64]) -> pd.DatetimeIndex | None:
    parsed = pd.to_datetime(pd.Series(numbers).astype(str), format="%Y%j", errors="coerce")
    return None if parsed.isna().any() else pd.DatetimeIndex(parsed)


def _months_or_weeks(numbers: NDArray[np.int64]) -> pd.DatetimeIndex | None:
    year, part = numbers // 100, numbers % 100
    if part.min() < 1:
        return None
    if part.max() <= 12:
        return _first_days(year, part)
    found = weeks(year.astype(np.float64), part.astype(np.float64))
    return None if found.isna().any() else found


def _decimal_years(numbers: Floats64) -> pd.DatetimeIndex | None:
    """Return 2010, 2010.25, … as quarters, 2010.0833, … as months, and 2010.01, …, 2010.12 as months, too."""
    year = np.floor(numbers + _NEAR / max(_PARTS_OF_YEAR))
    fraction = numbers - year
    for parts in _PARTS_OF_YEAR:
        place = np.round(fraction * parts)
        if (np.abs(fraction * parts - place) < _NEAR).all() and len(np.unique(place)) > 1:
            month = (place * (12 // parts)).astype(np.int64)
            return _first_days(year.astype(np.int64) + month // 12, month % 12 + 1)
    month = np.round((numbers - np.floor(numbers)) * 100)
    if (np.abs(numbers - np.floor(numbers) - month / 100) < 1e-6).all() and month.min() >= 1 and month.max() <= 12:
        return _first_days(np.floor(numbers).astype(np.int64), month.astype(np.int64))
    return None


def _first_days(year: NDArray[np.int64], month: NDArray[np.int64]) -> pd.DatetimeIndex:
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    return pd.DatetimeIndex(months.astype("datetime64[s]"))


def is_axis(numbers: Floats64, codes: NDArray[np.int64] | None) -> bool:
    """Return whether numbers (N,) can be the time of their rows: all finite, none twice in its series."""
    if not len(numbers) or not np.isfinite(numbers).all():
        return False
    table = pd.DataFrame({"series": 0 if codes is None else codes, "time": numbers})
    return not bool(table.duplicated().any())


def axis(numbers: Floats64) -> NDArray[Any]:
    """Return finite numbers (N,) as an axis: int64 if all are whole, else float64."""
    if np.abs(numbers).max(initial=0) < 2**53 and (numbers == np.floor(numbers)).all():
        return numbers.astype(np.int64)
    return numbers
