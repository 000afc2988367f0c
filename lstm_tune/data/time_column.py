"""The time in one column: stamps in text, dates, periods, or numbers that count it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstm_tune.data.even_times import Times
from lstm_tune.data.stray_rows import is_text, stray_rows
from lstm_tune.data.time_names import is_time_name
from lstm_tune.data.time_numbers import axis, is_axis, parse_numbers
from lstm_tune.data.time_parts import read_clock
from lstm_tune.data.time_text import Stamps, parse_stamps
from lstm_tune.data.time_zones import shares_a_clock, zone_of
from lstm_tune.errors import DataError

Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TimeColumn:
    """The time of each row, and where it was found."""

    stamps: Times | None = None  # (N,) datetime64[ns], or numbers of an axis; None: the rows have no time
    name: str | None = None
    columns: tuple[str, ...] = ()  # that are used up
    notes: tuple[str, ...] = ()
    zone: str | None = None  # that stamps in UTC are printed in; None: the stamps are as they were written
    local: Times | None = None  # (N,) if there is a zone: the stamps as they were written
    dropped: Bools | None = None  # (N,) rows that are none, such as totals; their stamp is NaT

    def without_dropped(self) -> TimeColumn:
        """Return the time of the rows that are left."""
        if self.dropped is None:
            return self
        kept = ~self.dropped
        return replace(
            self,
            stamps=None if self.stamps is None else self.stamps[kept],
            local=None if self.local is None else self.local[kept],
            dropped=None,
        )

    @property
    def is_axis(self) -> bool:
        """Whether the time is counted in numbers."""
        return self.stamps is not None and self.stamps.dtype.kind != "M"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Search:
    """Where time is looked for."""

    frame: pd.DataFrame  # the source, its index turned into a column
    free: tuple[str, ...]  # columns without another role
    ids: NDArray[np.int64] | None  # (N,) number of the series of each row; None: there is one series
    day_first: bool  # whether the file is from a country that writes the day before the month


def counted_values(search: Search, name: str) -> tuple[NDArray[np.float64] | None, str]:
    """Return what a column counts (N,), times of day and durations in seconds, and what else than numbers it holds."""
    column = search.frame[name]
    if column.dtype.kind == "m" or (is_text(column) and is_clock(search, name)):
        spans = read_clock(column, name) if is_text(column) else pd.TimedeltaIndex(column)
        return (None if spans is None else np.asarray(spans.total_seconds(), dtype=np.float64)), "times of day"
    if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        return None, ""
    return column.to_numpy(dtype=np.float64, na_value=np.nan), ""


def is_clock(search: Search, name: str) -> bool:
    """Return whether a column holds times of day alone."""
    return read_clock(search.frame[name], name) is not None


def parse_text(search: Search, name: str) -> Stamps | None:
    """Return the stamps of a column of text, dates, or numbers among text; None: it holds no time."""
    column = search.frame[name]
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in ("date", "datetime", "datetime64"):
        try:
            return Stamps(local=pd.DatetimeIndex(pd.to_datetime(column, errors="coerce")))
        except ValueError:
            parsed = pd.DatetimeIndex(pd.to_datetime(column, errors="coerce", utc=True)).tz_localize(None)
            return Stamps(local=parsed, offset=np.zeros(len(column), dtype="timedelta64[m]"))
    if kind not in ("string", "mixed", "mixed-integer", "mixed-integer-float", "integer"):
        return None
    text = column.map(str, na_action="ignore").astype("string")
    stamps = parse_stamps(text, day_first=search.day_first)
    return _parse_numbers_in_text(text, years=is_time_name(name)) if stamps is None else stamps


def _parse_numbers_in_text(text: pd.Series[Any], *, years: bool) -> Stamps | None:
    """Return the stamps of a column of numbers in which something else, such as a total, makes text of it."""
    numbers = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    known = np.isfinite(numbers)
    parsed = parse_numbers(numbers[known], years=years) if known.mean() > 0.5 else None
    if parsed is None:
        return None
    local = pd.Series(pd.NaT, index=range(len(numbers)), dtype="datetime64[s]")
    local[known] = parsed.as_unit("s")
    return Stamps(local=pd.DatetimeIndex(local))


def read_column(search: Search, name: str, *, asked: bool) -> TimeColumn:
    """Read one column; if nobody asked for it, numbers that are no time are passed over."""
    column = search.frame[name]
    if not is_text(column):
        return _read_typed(search, name, asked=asked)
    stamps = parse_text(search, name)
    counts, _ = counted_values(search, name) if stamps is None else (None, "")
    if counts is not None and is_axis(counts, search.ids):
        return TimeColumn(stamps=axis(counts), name=name, columns=(name,))
    if stamps is None:
        raise _no_time(name, column)
    return _finished(search, name, stamps)


def _no_time(name: str, column: pd.Series[Any]) -> DataError:
    example = first_example(column.dropna().iloc[:1].tolist())
    return DataError(f"column {name!r} holds no time stamps{example}; write them as 2016-07-01 04:00")


def _read_typed(search: Search, name: str, *, asked: bool) -> TimeColumn:
    """Read a column of stamps, periods or numbers."""
    column = search.frame[name]
    if isinstance(column.dtype, pd.PeriodDtype):
        return _finished(search, name, Stamps(local=pd.DatetimeIndex(column.dt.to_timestamp())))
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        aware = pd.DatetimeIndex(column)
        local = aware.tz_localize(None)
        offset = np.asarray(local - aware.tz_convert("UTC").tz_localize(None)).astype("timedelta64[m]")
        return _finished(search, name, Stamps(local=local, offset=offset), zone=str(aware.tz))
    if column.dtype.kind == "M":
        return _finished(search, name, Stamps(local=pd.DatetimeIndex(column)))
    if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        if asked:
            raise _no_time(name, column)
        return TimeColumn()
    numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
    parsed = parse_numbers(numbers, years=True)
    if parsed is not None:
        return _finished(search, name, Stamps(local=parsed))
    if not asked:
        return TimeColumn()
    if not np.isfinite(numbers).all():
        raise _unreadable(name, column, ~np.isfinite(numbers))
    return TimeColumn(stamps=axis(numbers), name=name, columns=(name,))


def _unreadable(name: str, column: pd.Series[Any], bad: Bools) -> DataError:
    first = column[bad].iloc[:1].tolist()
    row = int(np.flatnonzero(bad)[0]) + 1
    blank = not first or first[0] is None or first[0] != first[0]
    example = f" (first in row {row} of the data, where it is blank)" if blank else first_example(first)
    return DataError(f"column {name!r} has {bad.sum()} unreadable time stamps{example}; correct or drop those rows")


def first_example(values: Sequence[object]) -> str:
    """Return the first of some values as the end of a phrase; "" if there is none."""
    return f" (first {str(values[0])[:40]!r})" if values else ""


def _finished(search: Search, name: str, stamps: Stamps, zone: str | None = None) -> TimeColumn:
    """Leave out rows that are none, settle the time zone, and bring the stamps to nanoseconds."""
    dropped, notes = stray_rows(search.frame, (name,), stamps.unread)
    bad = stamps.unread & ~dropped
    if bad.any():
        raise _unreadable(name, search.frame[name], bad)
    if stamps.note:
        notes += (stamps.note,)
    local, offset = stamps.local, stamps.offset
    kept = ~dropped
    if offset is None:
        times = to_nanoseconds(local, name)
        return TimeColumn(stamps=times, name=name, columns=(name,), notes=notes, dropped=any_or_none(dropped))
    if shares_a_clock(local[kept]):  # in UTC days would have another date, or 23 and 25 hours
        notes += (f"the dates of {name!r} carry a time zone, which was left out",)
        times = to_nanoseconds(local, name)
        return TimeColumn(stamps=times, name=name, columns=(name,), notes=notes, dropped=any_or_none(dropped))
    zone = zone or zone_of(local[kept], offset[kept])
    shown = zone or "UTC"
    if shown != "UTC":
        notes += (f"the time stamps of {name!r} carry a time zone; they are counted in UTC and printed in {shown}",)
    return TimeColumn(
        stamps=to_nanoseconds(local - pd.TimedeltaIndex(offset), name),
        name=name,
        columns=(name,),
        notes=notes,
        zone=shown,
        local=to_nanoseconds(local, name),
        dropped=any_or_none(dropped),
    )


def any_or_none(dropped: Bools) -> Bools | None:
    """Return marks of rows (N,), or None if no row is marked."""
    return dropped if dropped.any() else None


def to_nanoseconds(parsed: pd.DatetimeIndex, name: str) -> Times:
    """Return stamps as datetime64[ns] (N,).

    Raises:
        DataError: one lies outside 1678 to 2261.
    """
    try:
        return parsed.as_unit("ns").to_numpy()
    except (pd.errors.OutOfBoundsDatetime, OverflowError) as error:
        raise DataError(
            f"column {name!r} has time stamps outside 1678 to 2261 (first {parsed.min()}); "
            "leave it out and the rows are numbered"
        ) from error
