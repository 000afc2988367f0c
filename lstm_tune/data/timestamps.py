"""Which column holds the time, and the time stamps in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstm_tune.data.even_times import Times
from lstm_tune.errors import DataError

_TIME_WORDS = ("date", "time", "datetime", "timestamp", "week", "month", "period", "ds")
TIME_NAMES = frozenset((*_TIME_WORDS, "date_time", "time_stamp", "utc_timestamp"))
PART_NAMES = ("year", "quarter", "month", "day", "hour", "minute")
FIRST_YEAR, LAST_YEAR = 1500, 2200
_EPOCHS: tuple[tuple[Literal["s", "ms", "us", "ns"], float], ...] = (
    ("s", 1e11),
    ("ms", 1e14),
    ("us", 1e17),
    ("ns", 9e18),
)
_CLOCKS = (
    ("", ""),
    (r"[ T]\d{1,2}:\d{2}", "%H:%M"),
    (r"[ T]\d{1,2}:\d{2}:\d{2}", "%H:%M:%S"),
    (r"[ T]\d{1,2}:\d{2}:\d{2}\.\d+", "%H:%M:%S.%f"),
    (r" \d{1,2}:\d{2} ?[APap][Mm]", "%I:%M %p"),
    (r" \d{1,2}:\d{2}:\d{2} ?[APap][Mm]", "%I:%M:%S %p"),
)
_DATES = (  # what the first stamp looks like, and the formats to try, the likelier first
    (r"\d{4}-\d{1,2}-\d{1,2}", ("%Y-%m-%d",)),
    (r"\d{4}/\d{1,2}/\d{1,2}", ("%Y/%m/%d",)),
    (r"\d{4}\.\d{1,2}\.\d{1,2}", ("%Y.%m.%d",)),
    (r"\d{1,2}/\d{1,2}/\d{4}", ("%m/%d/%Y", "%d/%m/%Y")),
    (r"\d{1,2}/\d{1,2}/\d{2}", ("%m/%d/%y", "%d/%m/%y")),
    (r"\d{1,2}-\d{1,2}-\d{4}", ("%m-%d-%Y", "%d-%m-%Y")),
    (r"\d{1,2}\.\d{1,2}\.\d{4}", ("%d.%m.%Y", "%m.%d.%Y")),
    (r"\d{4}[01]\d[0-3]\d", ("%Y%m%d",)),
    (r"[A-Za-z]+ \d{1,2}, ?\d{4}", ("%b %d, %Y", "%B %d, %Y")),
    (r"[A-Za-z]+ \d{1,2} \d{4}", ("%b %d %Y", "%B %d %Y")),
    (r"[A-Za-z]+-\d{1,2}-\d{4}", ("%b-%d-%Y", "%B-%d-%Y")),
    (r"\d{1,2} [A-Za-z]+ \d{4}", ("%d %b %Y", "%d %B %Y")),
    (r"\d{1,2}-[A-Za-z]+-\d{4}", ("%d-%b-%Y", "%d-%B-%Y")),
    (r"\d{1,2}-[A-Za-z]+-\d{2}", ("%d-%b-%y",)),
    (r"[A-Za-z]+ \d{4}", ("%b %Y", "%B %Y")),
    (r"[A-Za-z]+-\d{4}", ("%b-%Y", "%B-%Y")),
    (r"[A-Za-z]+-\d{2}", ("%b-%y",)),
    (r"\d{4}/\d{1,2}", ("%Y/%m",)),
    (r"\d{1,2}/\d{4}", ("%m/%Y",)),
)
_ISO = re.compile(r"\d{4}-\d{2}(-\d{2}([ T]\d{2}(:?\d{2}(:?\d{2}([.,]\d+)?)?)?)?)?(Z|[+-]\d{2}(:?\d{2})?)?")
_ZONE = r"[ T]\d{2}(?::?\d{2}){0,2}(?:[.,]\d+)?(?:Z|[+-]\d{2}(?::?\d{2})?)$"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TimeColumn:
    """The time of each row, and where it was found."""

    stamps: Times | None = None  # (N,) datetime64[ns]; None: the rows have no time
    name: str | None = None
    columns: tuple[str, ...] = ()  # that are used up
    notes: tuple[str, ...] = ()


def find_time(
    frame: pd.DataFrame, *, named: str | None, index: str | None, taken: Iterable[str], ids: NDArray[np.int64] | None
) -> TimeColumn:
    """Find the time by the rules of `load_series` and read it.

    Args:
        frame: the source, its index turned into a column.
        named: the column that the user named.
        index: the column that was the frame's datetime or period index.
        taken: columns that the user gave another role.
        ids: (N,) number of the series of each row; None: there is one series.

    Raises:
        DataError: stamps that cannot be read, or lie outside 1678 to 2261.
    """
    if named is not None or index is not None:
        return _read(frame, str(named if named is not None else index), asked=True)
    free = [name for name in frame.columns if name not in set(taken)]
    for name in free:
        if isinstance(frame[name].dtype, (pd.DatetimeTZDtype, pd.PeriodDtype)) or frame[name].dtype.kind == "M":
            return _read(frame, name, asked=True)
    for name in free:
        if name.strip().lower() in TIME_NAMES:
            found = _read(frame, name, asked=False)
            if found.stamps is not None:
                return found
    for name in free:
        if is_text(frame[name]):
            found = _read(frame, name, asked=False, entirely=True)
            if found.stamps is not None:
                return found
    return _read_parts(frame, free, ids)


def is_text(column: pd.Series[Any]) -> bool:
    """Return whether a column holds text or objects."""
    return bool(pd.api.types.is_object_dtype(column.dtype) or pd.api.types.is_string_dtype(column.dtype))


def _read(frame: pd.DataFrame, name: str, *, asked: bool, entirely: bool = False) -> TimeColumn:
    """Read one column; where nobody asked for it, one that holds no time is passed over.

    Without `entirely`, a column whose greater part is time is taken to be meant as time, and must be sound.
    """
    column = frame[name]
    notes: tuple[str, ...] = ()
    if is_text(column):
        parsed, aware, note = _parse_text(column)
        notes = (note,) if note else ()
    else:
        parsed, aware = _parse_typed(column, years=asked), False
    if parsed is None:
        if not asked:
            return TimeColumn()
        first = column.dropna().iloc[:1].tolist()
        raise DataError(f"column {name!r} holds no time stamps{_example(first)}; write them as 2016-07-01 04:00")
    bad = np.asarray(parsed.isna())
    if not asked and bad.sum() > (0 if entirely else len(column) / 2):
        return TimeColumn()
    if bad.any():
        first = column[bad].iloc[:1].tolist()
        raise DataError(
            f"column {name!r} has {bad.sum()} unreadable time stamps{_example(first)}; correct or drop those rows"
        )
    if parsed.tz is not None:
        local = parsed.tz_localize(None)
        if aware or not bool((local == local.normalize()).all()):
            parsed = parsed.tz_convert("UTC").tz_localize(None)
            notes += (f"the time stamps of {name!r} carry a time zone and were converted to UTC",)
        else:  # whole days: UTC would move them to another date, and make days of 23 and 25 hours
            parsed = local
            notes += (f"the dates of {name!r} carry a time zone, which was left out",)
    return TimeColumn(stamps=_nanoseconds(parsed, name), name=name, columns=(name,), notes=notes)


def _example(values: Sequence[object]) -> str:
    return f" (first {str(values[0])[:40]!r})" if values else ""


def _nanoseconds(parsed: pd.DatetimeIndex, name: str) -> Times:
    try:
        return parsed.as_unit("ns").to_numpy()
    except (pd.errors.OutOfBoundsDatetime, OverflowError) as error:
        raise DataError(
            f"column {name!r} has time stamps outside 1678 to 2261 (first {parsed.min()}); "
            "leave it out and the rows are numbered"
        ) from error


def _parse_typed(column: pd.Series[Any], *, years: bool) -> pd.DatetimeIndex | None:
    """Read stamps, periods, and numbers such as 20160701, 201607 and seconds since 1970."""
    if isinstance(column.dtype, pd.PeriodDtype):
        return pd.DatetimeIndex(column.dt.to_timestamp())
    if column.dtype.kind == "M" or isinstance(column.dtype, pd.DatetimeTZDtype):
        return pd.DatetimeIndex(column)
    if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        return None
    return parse_numbers(column.to_numpy(dtype=np.float64, na_value=np.nan), years=years)


def parse_numbers(numbers: NDArray[np.float64], *, years: bool) -> pd.DatetimeIndex | None:
    """Read (n,) numbers as YYYYMMDD, YYYYMM, seconds to nanoseconds since 1970 or, if allowed, years; else None."""
    if not len(numbers) or not np.isfinite(numbers).all():
        return None
    low, high = float(numbers.min()), float(numbers.max())
    if (numbers == np.floor(numbers)).all():
        for form, least, most in (("%Y%m%d", 101, 1231), ("%Y%m", 1, 12), ("%Y", 0, 0)):
            scale = 1 if form == "%Y" else 10 ** len(str(most))
            inside = FIRST_YEAR * scale + least <= low and high <= LAST_YEAR * scale + most
            if inside and (form != "%Y" or years):
                parsed = pd.to_datetime(pd.Series(numbers).astype("int64").astype(str), format=form, errors="coerce")
                return None if parsed.isna().any() else pd.DatetimeIndex(parsed)
    for unit, limit in _EPOCHS:
        if low > max(1e8, limit / 1e4) and high < limit:
            return pd.DatetimeIndex(pd.to_datetime(pd.Series(numbers), unit=unit))
    return None


def _parse_text(column: pd.Series[Any]) -> tuple[pd.DatetimeIndex | None, bool, str]:
    """Return the stamps (unreadable ones NaT) or None, whether they carry a UTC offset, and what was decided."""
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in ("date", "datetime", "datetime64"):
        try:
            return pd.DatetimeIndex(pd.to_datetime(column, errors="coerce")), False, ""
        except ValueError:
            return pd.DatetimeIndex(pd.to_datetime(column, errors="coerce", utc=True)), True, ""
    known = column[column.notna()]
    if kind != "string" or not len(known):
        return None, False, ""
    text = column.astype("string").str.strip()
    sample = str(known.iloc[0]).strip()
    if _ISO.fullmatch(sample):
        aware = re.search(_ZONE, sample) is not None
        mixed = text.str.contains(_ZONE, regex=True, na=aware) != aware if aware else None
        try:
            parsed = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=aware)
        except (ValueError, OverflowError):  # some carry an offset, and the first does not
            mixed = text.str.contains(_ZONE, regex=True, na=aware) != aware
            parsed = pd.to_datetime(text.mask(mixed), format="ISO8601", errors="coerce", utc=aware)
        return pd.DatetimeIndex(parsed.mask(mixed) if mixed is not None else parsed), aware, ""
    if re.fullmatch(r"\d{4}[ -]?[Qq][1-4]", sample):
        parts = text.str.extract(r"^(\d{4})[ -]?[Qq]([1-4])$").astype("Float64")
        months = parts[0].mul(100).add(parts[1].mul(3).sub(2)).astype("Int64").astype("string")
        return pd.DatetimeIndex(pd.to_datetime(months, format="%Y%m", errors="coerce")), False, ""
    return _parse_formats(text, text_formats(sample))


def text_formats(sample: str) -> tuple[str, ...]:
    """Return the strptime formats that a time stamp such as '7/1/2016 4:00' may be written in, the likelier first."""
    for date, formats in _DATES:
        for clock, clock_format in _CLOCKS:
            if re.fullmatch(date + clock, sample):
                gap = "T" if clock_format and "T" in sample and not sample[0].isalpha() else " "
                return tuple(form + gap + clock_format if clock_format else form for form in formats)
    return ()


def _parse_formats(text: pd.Series[Any], formats: tuple[str, ...]) -> tuple[pd.DatetimeIndex | None, bool, str]:
    """Take the format that reads the most stamps; of equals one that keeps them in order, then the most even one."""
    readings = [pd.DatetimeIndex(pd.to_datetime(text, format=form, errors="coerce")) for form in formats]
    if not readings:
        return None, False, ""
    ranks = [(int(np.asarray(reading.isna()).sum()), not reading.is_monotonic_increasing) for reading in readings]
    doubtful = len(ranks) > 1 and ranks[0] == ranks[1] and not readings[0].equals(readings[1])
    evenness = [_unevenness(reading) if doubtful else 0.0 for reading in readings]
    best = min(range(len(ranks)), key=lambda form: (ranks[form], evenness[form]))
    note = f"dates such as {text.dropna().iloc[0]!r} were read as {formats[best]}" if doubtful else ""
    return readings[best], False, note


def _unevenness(reading: pd.DatetimeIndex) -> float:
    """Return the longest step over the median one: months read as days leap from one January to the next."""
    steps = np.diff(np.sort(reading.dropna().unique().to_numpy()).astype(np.int64))
    return float(steps.max() / np.median(steps)) if len(steps) else 0.0


def _read_parts(frame: pd.DataFrame, free: Sequence[str], ids: NDArray[np.int64] | None) -> TimeColumn:
    """Put columns such as year, month, day, hour together, from year on as far as they go without a hole."""
    named = {name.strip().lower(): name for name in free if pd.api.types.is_numeric_dtype(frame[name].dtype)}
    present = []
    for part in PART_NAMES:
        if part in named:
            present.append(part)
        elif part != "quarter" and not (part == "month" and "quarter" in named):
            break
    names = [named[part] for part in present]
    parts = {part: frame[named[part]].to_numpy(dtype=np.float64, na_value=np.nan) for part in present}
    years = parts.get("year", np.empty(0))
    whole = all(bool(((np.abs(part) < 1e6) & (part == np.floor(part))).all()) for part in parts.values())
    if not len(years) or not whole or years.min() <= FIRST_YEAR or years.max() >= LAST_YEAR:
        return TimeColumn()
    if len(parts) == 1 and pd.DataFrame({"id": 0 if ids is None else ids, "year": years}).duplicated().any():
        return TimeColumn()
    if "quarter" in parts:
        parts.setdefault("month", parts.pop("quarter") * 3 - 2)
        parts.pop("quarter", None)
    table = pd.DataFrame({"year": years, "month": 1, "day": 1} | parts).astype("int64")
    parsed = pd.DatetimeIndex(pd.to_datetime(table, errors="coerce"))
    bad = np.asarray(parsed.isna())
    if bad.any():
        first = ", ".join(f"{part} {value}" for part, value in table[bad].iloc[0].items())
        raise DataError(
            f"columns {', '.join(names)} have {bad.sum()} impossible dates (first {first}); correct them or pass --time"
        )
    note = (f"the time was put together from the columns {', '.join(names)}",) if len(names) > 1 else ()
    return TimeColumn(stamps=_nanoseconds(parsed, names[0]), name=names[0], columns=tuple(names), notes=note)
