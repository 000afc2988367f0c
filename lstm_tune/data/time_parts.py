"""Time put together from several columns: year, month, day, hour; or a date and a clock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstm_tune.data.stray_rows import is_text
from lstm_tune.data.time_numbers import FIRST_YEAR, LAST_YEAR
from lstm_tune.data.time_text import weeks
from lstm_tune.data.time_words import month_number, plain_stamp, plain_word

_PARTS = {
    "year": "year yr yyyy jahr annee ano anio anno jaar",
    "quarter": "quarter qtr quartal trimestre trimester kwartaal",
    "month": "month mon monat mois mes mese maand",
    "week": "week kw woche semaine semana settimana",
    "yearday": "doy yday jday dayofyear day_of_year yearday",
    "day": "day tag jour dia giorno dag",
    "hour": "hour hr stunde heure hora ora uur",
    "minute": "minute minuto",
    "second": "second sekunde seconde segundo secondo",
}
_NAMES = {word: part for part, words in _PARTS.items() for word in words.split()}
_BELOW = {
    "year": ("quarter", "month", "week", "yearday"),
    "quarter": ("month",),
    "month": ("day",),
    "day": ("hour",),
} | {
    "yearday": ("hour",),
    "hour": ("minute",),
    "minute": ("second",),
    "week": (),
    "second": (),
}
_CLOCK = re.compile(r"(\d{1,3}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)?(?: ?([AaPp])[Mm])?")


def find_parts(frame: pd.DataFrame, free: Sequence[str]) -> dict[str, str]:
    """Return {part: column} of the columns that make up a time, from the year on as far as they go without a hole."""
    named: dict[str, str] = {}
    for name in free:
        part = _NAMES.get(plain_word(name.strip()))
        if part is not None and part not in named and _can_be_part(frame[name], part):
            named[part] = name
    chosen: dict[str, str] = {}
    at: str | None = "year" if "year" in named else None
    while at is not None:
        chosen[at] = named[at]
        at = next((below for below in _BELOW[at] if below in named), None)
    return chosen


def _can_be_part(column: pd.Series[Any], part: str) -> bool:
    if not is_text(column):
        return pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
    numbers = _part(column, part)
    return bool(np.isfinite(numbers).mean() > 0.5) if len(numbers) else False


def _part(column: pd.Series[Any], part: str) -> NDArray[np.float64]:
    """Return a column as numbers (N,), names of months and words such as Q1 too; NaN if unreadable."""
    if not is_text(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    text = column.astype("string").str.strip()
    numbers: pd.Series[Any] = pd.to_numeric(text.str.replace(r"^[QqTtWw](?=\d)", "", regex=True), errors="coerce")
    if part == "month":
        words = text.map(lambda word: month_number(str(word)), na_action="ignore")
        numbers = numbers.fillna(pd.to_numeric(words, errors="coerce"))
    return numbers.to_numpy(dtype=np.float64, na_value=np.nan)


def read_parts(frame: pd.DataFrame, parts: dict[str, str]) -> pd.DatetimeIndex | None:
    """Return the stamps (N,) of columns from `find_parts`, NaT if unreadable; None: they are no time.

    An hour of 24 is the midnight that ends the day.
    """
    values = {part: _part(frame[name], part) for part, name in parts.items()}
    known: NDArray[np.bool_] = np.logical_and.reduce([np.isfinite(v) for v in values.values()])
    whole = all(
        bool((np.abs(v[known]) < 1e6).all() and (v[known] == np.floor(v[known])).all()) for v in values.values()
    )
    years = values["year"][known]
    if not len(years) or not whole or years.min() <= FIRST_YEAR or years.max() >= LAST_YEAR:
        return None
    filled = {part: np.where(known, v, {"year": 2000}.get(part, 1)) for part, v in values.items()}
    return _stamps(filled, known)


def _stamps(parts: dict[str, NDArray[Any]], known: NDArray[np.bool_]) -> pd.DatetimeIndex:
    year, ones = parts["year"], np.ones(len(known))
    if "week" in parts:
        days = weeks(year, parts["week"])
    elif "yearday" in parts:
        first = pd.to_datetime(pd.Series(year).astype("int64").astype(str), format="%Y", errors="coerce")
        days = pd.DatetimeIndex(first + pd.to_timedelta(parts["yearday"] - 1, unit="D"))
        days = pd.DatetimeIndex(days.where(np.asarray(days.year == year)))
    else:
        month = parts.get("month", parts.get("quarter", ones / 3 + 2 / 3) * 3 - 2)
        table = pd.DataFrame({"year": year, "month": month, "day": parts.get("day", ones)}).round().astype("int64")
        days = pd.DatetimeIndex(pd.to_datetime(table, errors="coerce"))
    hour, minute, second = (parts.get(part, 0 * ones) for part in ("hour", "minute", "second"))
    late = (hour == 24) & (minute == 0) & (second == 0)
    sound = known & (hour >= 0) & ((hour < 24) | late) & (minute >= 0) & (minute < 60) & (second >= 0) & (second < 60)
    stamps = days + pd.to_timedelta(hour * 3600 + minute * 60 + second, unit="s")
    return pd.DatetimeIndex(stamps.where(sound))


def read_clock(column: pd.Series[Any], name: str) -> pd.TimedeltaIndex | None:
    """Return the times of day (N,) in a column, such as 17:00, 5:30 PM, hour 17 or 1730; None: it holds none.

    Args:
        column: that stands beside one of dates.
        name: of it.
    """
    if is_text(column):
        words = column.dropna().astype(str)
        if len(words) < len(column) or not len(words):
            return None
        found = [_CLOCK.fullmatch(plain_stamp(word) if len(word) > 12 else word.strip()) for word in words]
        return None if not all(found) else pd.TimedeltaIndex([_since_midnight(match) for match in found if match])
    if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        return None
    numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
    if not len(numbers) or not np.isfinite(numbers).all() or (numbers != np.floor(numbers)).any() or numbers.min() < 0:
        return None
    part = _NAMES.get(plain_word(name.strip()))
    if numbers.max() <= 24 and part == "hour":
        return pd.TimedeltaIndex(pd.to_timedelta(numbers, unit="h"))
    clock = plain_word(name.strip()) in ("time", "zeit", "uhrzeit", "hhmm", "hour", "hora", "heure", "ora", "tijd")
    if clock and numbers.max() <= 2400 and (numbers % 100 < 60).all() and numbers.max() > 24:
        return pd.TimedeltaIndex(pd.to_timedelta(numbers // 100 * 60 + numbers % 100, unit="m"))
    return None


def _since_midnight(clock: re.Match[str]) -> pd.Timedelta:
    hours, minutes, seconds = int(clock[1]), int(clock[2]), float(f"{clock[3] or 0}.{clock[4] or 0}")
    if clock[5]:
        hours = hours % 12 + (12 if clock[5] in "Pp" else 0)
    return pd.Timedelta(hours=hours, minutes=minutes, seconds=seconds)
