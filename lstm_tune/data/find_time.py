"""Which column holds the time, or which columns together.

A column that is plausibly the time is read or refused, never passed over in silence: rows out of order, or a grid
with holes, would be worse than no answer.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstm_tune.data.stray_rows import is_text, stray_rows
from lstm_tune.data.time_column import (
    Search,
    TimeColumn,
    any_or_none,
    counted_values,
    first_example,
    is_clock,
    parse_text,
    read_column,
    to_nanoseconds,
)
from lstm_tune.data.time_names import counts_time, is_nameless, is_time_name
from lstm_tune.data.time_numbers import axis, is_axis
from lstm_tune.data.time_parts import find_parts, read_clock, read_parts
from lstm_tune.errors import DataError


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
        return _with_clock(search, read_column(search, named, asked=True))
    if index is not None and not pd.api.types.is_numeric_dtype(frame[index].dtype):
        return read_column(search, index, asked=True)
    for name in free:
        if isinstance(frame[name].dtype, (pd.DatetimeTZDtype, pd.PeriodDtype)) or frame[name].dtype.kind == "M":
            return _with_clock(search, read_column(search, name, asked=True))
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
            found = read_column(search, name, asked=False) if is_time_name(name) else TimeColumn()
            if found.stamps is not None:
                return _with_clock(search, found), None
            continue
        stamps = parse_text(search, name)
        if stamps is not None and stamps.unread[np.asarray(column.notna())].mean() <= 0.5:
            return _with_clock(search, read_column(search, name, asked=False)), None
        if is_time_name(name) and refusal is None and not is_clock(search, name):
            example = first_example(column.dropna().iloc[:1].tolist())
            refusal = DataError(
                f"column {name!r} is called like a time but holds none that can be read{example}; write its stamps as "
                "2016-07-01 04:00, name another column with time=, or rename it"
            )
    return TimeColumn(), refusal


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
            f"(first {first}); correct them or pass time="
        )
    if len(parts) == 1:
        table = pd.DataFrame({"id": 0 if search.ids is None else search.ids, "year": stamps})
        if table[~dropped].duplicated().any():
            return TimeColumn()
    else:
        notes += (f"the time was put together from the columns {', '.join(names)}",)
    return TimeColumn(
        stamps=to_nanoseconds(stamps, names[0]), name=names[0], columns=names, notes=notes, dropped=any_or_none(dropped)
    )


def _by_count(search: Search, index: str | None, found: TimeColumn) -> TimeColumn:
    """Return the axis that a column of numbers is: by its name, or the index of the frame or file."""
    names = [n for n in search.free if counts_time(n) or (is_time_name(n) and is_clock(search, n))]
    names += [index] if index is not None else []
    names += [n for n in search.free[:1] if is_nameless(n) and n not in names]
    notes = found.notes
    for name in names:
        numbers, unit = counted_values(search, name)
        if numbers is None:
            continue
        if is_axis(numbers, search.ids):
            notes += (f"the times of day of {name!r} have no date, and are counted in seconds",) if unit else ()
            return TimeColumn(stamps=axis(numbers), name=name, columns=(name,), notes=notes)
        if name != index and not is_nameless(name):
            notes += (
                f"column {name!r} holds {unit or 'numbers'} that are blank or repeat, so it is not the time; "
                f"if it is, correct it and pass time={name!r}",
            )
    return TimeColumn(notes=notes)
