"""Which column holds the time, and the stamps in it.

A column that is plausibly the time is read or refused, never passed over in silence: rows out of order, or a grid
with holes, would be worse than no answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstm_tune.data.even_times import Times
from lstm_tune.data.stray_rows import is_text, stray_rows
from lstm_tune.data.time_names import counts_time, is_nameless, is_time_name
from lstm_tune.data.time_numbers import axis, is_axis, parse_numbers
from lstm_tune.data.time_parts import find_parts, read_clock, read_parts
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


def find_time(
    frame: pd.DataFrame,
    *,
    named: str | None,
    index: str | None,
    taken: Iterable[str],
    ids: NDArray[np.int64] | None,
    day_first: bool = False,
) -> TimeColumn:
    """Find the time by the rules of `load_series` and read it.

    Args:
        frame: the source, its index turned into a column.
        named: the column that the user named.
        index: the column that was the frame's index, if it can be the time.
        taken: columns that the user gave another role.
        ids: (N,) number of the series of each row; None: there is one series.
        day_first: whether other signs speak for the day before the month.

    Raises:
        DataError: stamps that cannot be read, or lie outside 1678 to 2261.
    """
    other = set(taken)
    free = tuple(name for name in frame.columns if name not in other)
    search = Search(frame=frame, free=free, ids=ids, day_first=day_first)
    if named is not None:
        return _with_clock(search, _read(search, named, asked=True))
    if index is not None and not pd.api.types.is_numeric_dtype(frame[index].dtype):
        return _read(search, index, asked=True)
    for name in free:
        if isinstance(frame[name].dtype, (pd.DatetimeTZDtype, pd.PeriodDtype)) or frame[name].dtype.kind == "M":
            return _with_clock(search, _read(search, name, asked=True))
    found, refusal = _by_name_or_content(search)
    if found.stamps is None:
        parts = _read_parts(search)
        found = parts if parts.stamps is not None else _by_count(search, index, found)
    if found.stamps is None and refusal is not None:
        raise refusal
    return found


def _by_name_or_content(search: Search) -> tuple[TimeColumn, DataError | None]:
    """Return the time of the first column that is called or reads so, and why one that is called so has none."""
    refusal: DataError | None = None
    for name in [*filter(is_time_name, search.free), *(n for n in search.free if not is_time_name(n))]:
        column = search.frame[name]
        if not is_text(column):
            found = _read(search, name, asked=False) if is_time_name(name) else TimeColumn()
            if found.stamps is not None:
                return _with_clock(search, found), None
            continue
        stamps = _parse_text(search, name)
        if stamps is not None and stamps.unread[np.asarray(column.notna())].mean() <= 0.5:
            return _with_clock(search, _read(search, name, asked=False)), None
        if is_time_name(name) and refusal is None and not _is_clock(search, name):
            example = _example(column.dropna().iloc[:1].tolist())
            refusal = DataError(
                f"column {name!r} is called like a time but holds none that can be read{example}; write its stamps as "
                "2016-07-01 04:00, name another column with --time, or rename it"
            )
    return TimeColumn(), refusal


def _counts(search: Search, name: str) -> tuple[NDArray[np.float64] | None, str]:
    """Return what a column counts (N,), times of day and durations in seconds, and what else than numbers it holds."""
    column = search.frame[name]
    if column.dtype.kind == "m" or (is_text(column) and _is_clock(search, name)):
        spans = read_clock(column, name) if is_text(column) else pd.TimedeltaIndex(column)
        return (None if spans is None else np.asarray(spans.total_seconds(), dtype=np.float64)), "times of day"
    if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        return None, ""
    return column.to_numpy(dtype=np.float64, na_value=np.nan), ""


def _is_clock(search: Search, name: str) -> bool:
    return read_clock(search.frame[name], name) is not None


def _parse_text(search: Search, name: str) -> Stamps | None:
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


def _read(search: Search, name: str, *, asked: bool) -> TimeColumn:
    """Read one column; if nobody asked for it, numbers that are no time are passed over."""
    column = search.frame[name]
    if not is_text(column):
        return _read_typed(search, name, asked=asked)
    stamps = _parse_text(search, name)
    counts, _ = _counts(search, name) if stamps is None else (None, "")
    if counts is not None and is_axis(counts, search.ids):
        return TimeColumn(stamps=axis(counts), name=name, columns=(name,))
    if stamps is None:
        raise _no_time(name, column)
    return _finished(search, name, stamps)


def _no_time(name: str, column: pd.Series[Any]) -> DataError:
    example = _example(column.dropna().iloc[:1].tolist())
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
    example = f" (first in row {row} of the data, where it is blank)" if blank else _example(first)
    return DataError(f"column {name!r} has {bad.sum()} unreadable time stamps{example}; correct or drop those rows")


def _example(values: Sequence[object]) -> str:
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
        times = _nanoseconds(local, name)
        return TimeColumn(stamps=times, name=name, columns=(name,), notes=notes, dropped=_some(dropped))
    if shares_a_clock(local[kept]):  # in UTC days would have another date, or 23 and 25 hours
        notes += (f"the dates of {name!r} carry a time zone, which was left out",)
        times = _nanoseconds(local, name)
        return TimeColumn(stamps=times, name=name, columns=(name,), notes=notes, dropped=_some(dropped))
    zone = zone or zone_of(local[kept], offset[kept])
    shown = zone or "UTC"
    if shown != "UTC":
        notes += (f"the time stamps of {name!r} carry a time zone; they are counted in UTC and printed in {shown}",)
    return TimeColumn(
        stamps=_nanoseconds(local - pd.TimedeltaIndex(offset), name),
        name=name,
        columns=(name,),
        notes=notes,
        zone=shown,
        local=_nanoseconds(local, name),
        dropped=_some(dropped),
    )


def _some(dropped: Bools) -> Bools | None:
    return dropped if dropped.any() else None


def _nanoseconds(parsed: pd.DatetimeIndex, name: str) -> Times:
    try:
        return parsed.as_unit("ns").to_numpy()
    except (pd.errors.OutOfBoundsDatetime, OverflowError) as error:
        raise DataError(
            f"column {name!r} has time stamps outside 1678 to 2261 (first {parsed.min()}); "
            "leave it out and the rows are numbered"
        ) from error


def _with_clock(search: Search, found: TimeColumn) -> TimeColumn:
    """Add the time of day from another column to dates that repeat within a series."""
    times = found.stamps
    if times is None or found.is_axis or found.zone is not None:
        return found
    known = ~np.isnat(times)
    days = times.astype("datetime64[D]")
    table = pd.DataFrame({"id": 0 if search.ids is None else search.ids, "day": days})
    if (days[known] != times[known]).any() or not table[known].duplicated().any():
        return found
    for name in search.free:
        clock = None if name in found.columns else read_clock(search.frame[name][known], name)
        if clock is None:
            continue
        summed = times.copy()
        summed[known] += clock.to_numpy().astype("timedelta64[ns]")
        both = (*found.columns, name)
        return TimeColumn(
            stamps=summed,
            name=found.name,
            columns=both,
            notes=(*found.notes, f"the time was put together from the columns {', '.join(both)}"),
            dropped=found.dropped,
        )
    return found


def _read_parts(search: Search) -> TimeColumn:
    """Put columns such as year, month, day, hour together."""
    parts = find_parts(search.frame, search.free)
    stamps = read_parts(search.frame, parts) if parts else None
    if stamps is None:
        return TimeColumn()
    names = tuple(parts.values())
    dropped, notes = stray_rows(search.frame, names, np.asarray(stamps.isna()))
    bad = np.asarray(stamps.isna()) & ~dropped
    if bad.any():
        row = search.frame.loc[bad, list(names)].iloc[0]
        first = ", ".join(f"{part} {row[name]}" for part, name in parts.items())
        raise DataError(
            f"columns {', '.join(names)} have {bad.sum()} impossible dates, or dates outside 1678 to 2261 "
            f"(first {first}); correct them or pass --time"
        )
    if len(parts) == 1:
        table = pd.DataFrame({"id": 0 if search.ids is None else search.ids, "year": stamps})
        if table[~dropped].duplicated().any():
            return TimeColumn()
    else:
        notes += (f"the time was put together from the columns {', '.join(names)}",)
    return TimeColumn(
        stamps=_nanoseconds(stamps, names[0]), name=names[0], columns=names, notes=notes, dropped=_some(dropped)
    )


def _by_count(search: Search, index: str | None, found: TimeColumn) -> TimeColumn:
    """Return the axis that a column of numbers is: by its name, or the index of the frame or file."""
    names = [n for n in search.free if counts_time(n) or (is_time_name(n) and _is_clock(search, n))]
    names += [index] if index is not None else []
    names += [n for n in search.free[:1] if is_nameless(n) and n not in names]
    notes = found.notes
    for name in names:
        numbers, unit = _counts(search, name)
        if numbers is None:
            continue
        if is_axis(numbers, search.ids):
            notes += (f"the times of day of {name!r} have no date, and are counted in seconds",) if unit else ()
            return TimeColumn(stamps=axis(numbers), name=name, columns=(name,), notes=notes)
        if name != index and not is_nameless(name):
            notes += (
                f"column {name!r} holds {unit or 'numbers'} that are blank or repeat, so it is not the time; "
                f"if it is, correct it and pass --time {name}",
            )
    return TimeColumn(notes=notes)
