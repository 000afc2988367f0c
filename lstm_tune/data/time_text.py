"""Time stamps written as text: which format they have, and the stamps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstm_tune.data.time_words import plain_stamp

_ISO = re.compile(r"\d{4}-\d{2}(-\d{2}([ T]\d{2}(:?\d{2}(:?\d{2}([.,]\d+)?)?)?)?)?")
_ZONE = r"(?<=\d) ?(Z|[+-]\d{2}(?::?\d{2})?)$"
_AWARE = re.compile(r"[ T]\d{1,2}:?\d{2}.* ?(?:Z|[+-]\d{2}(?::?\d{2})?)$|[ T]\d{2}(?:Z|[+-]\d{2}(?::?\d{2})?)$")
_CLOCKS = (
    ("", ""),
    (r"[ T]\d{1,2}:\d{2}", "%H:%M"),
    (r"[ T]\d{1,2}:\d{2}:\d{2}", "%H:%M:%S"),
    (r"[ T]\d{1,2}:\d{2}:\d{2}\.\d+", "%H:%M:%S.%f"),
    (r" \d{1,2}:\d{2} ?[AP]M", "%I:%M %p"),
    (r" \d{1,2}:\d{2}:\d{2} ?[AP]M", "%I:%M:%S %p"),
    (r" \d{1,2} ?[AP]M", "%I %p"),
    (r" \d{1,2}\.\d{2}", "%H.%M"),
    (r" \d{1,2}\.\d{2}\.\d{2}", "%H.%M.%S"),
    (r"[ T]\d{4}", "%H%M"),
    (r"[ T]\d{6}", "%H%M%S"),
    (r"[ T]\d{1,2}", "%H"),
)
_MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DATES = (  # what a stamp looks like, and the formats to try, the likelier first
    (r"\d{4}-\d{1,2}-\d{1,2}", ("%Y-%m-%d",)),
    (r"\d{4}/\d{1,2}/\d{1,2}", ("%Y/%m/%d",)),
    (r"\d{4}\.\d{1,2}\.\d{1,2}", ("%Y.%m.%d",)),
    (r"\d{1,2}/\d{1,2}/\d{4}", ("%m/%d/%Y", "%d/%m/%Y")),
    (r"\d{1,2}/\d{1,2}/\d{2}", ("%m/%d/%y", "%d/%m/%y", "%y/%m/%d")),
    (r"\d{1,2}-\d{1,2}-\d{4}", ("%m-%d-%Y", "%d-%m-%Y")),
    (r"\d{1,2}-\d{1,2}-\d{2}", ("%d-%m-%y", "%m-%d-%y", "%y-%m-%d")),
    (r"\d{1,2}\.\d{1,2}\.\d{4}", ("%d.%m.%Y", "%m.%d.%Y")),
    (r"\d{1,2}\.\d{1,2}\.\d{2}", ("%d.%m.%y", "%m.%d.%y")),
    (r"\d{4}[01]\d[0-3]\d", ("%Y%m%d",)),
    (rf"{_MONTH} \d{{1,2}} \d{{4}}", ("%b %d %Y",)),
    (rf"\d{{1,2}} {_MONTH} \d{{4}}", ("%d %b %Y",)),
    (rf"\d{{4}} {_MONTH} \d{{1,2}}", ("%Y %b %d",)),
    (rf"\d{{1,2}} {_MONTH} \d{{2}}", ("%d %b %y",)),
    (rf"{_MONTH} \d{{4}}", ("%b %Y",)),
    (rf"\d{{4}} {_MONTH}", ("%Y %b",)),
    (rf"{_MONTH} \d{{2}}", ("%b %y",)),
    (r"\d{4}-\d{1,2}", ("%Y-%m",)),
    (r"\d{4}/\d{1,2}", ("%Y/%m",)),
    (r"\d{1,2}/\d{4}", ("%m/%Y",)),
    (r"\d{1,2}-\d{4}", ("%m-%Y",)),
    (r"\d{2}\.\d{4}", ("%m.%Y",)),
)
_WRITTEN = re.compile(f"(?:{'|'.join(date for date, _ in _DATES)})(?:{'|'.join(clock for clock, _ in _CLOCKS)})")
_YEAR = r"(?P<year>\d{4}|(?<!\d)\d{2})"
_PERIODS = (  # the part of a year that a number means, and how it is written
    ("Q", r"(?P<year>\d{4})[ /:.-]?Q ?(?P<part>[1-4])"),
    ("Q", rf"Q ?(?P<part>[1-4])[ /:.'-]*{_YEAR}"),
    ("Q", rf"(?P<part>[1-4])[ .]*Q[ /'.-]*{_YEAR}"),
    ("M", r"(?P<year>\d{4})[ :-]?M ?(?P<part>\d{1,2})"),
    ("M", r"M(?P<part>\d{1,2})[ /:-](?P<year>\d{4})"),
    ("M", r"(?P<year>\d{4}):(?P<part>\d{1,2})"),
    ("W", r"(?P<year>\d{4})[ /-]?W[ -]?(?P<part>\d{1,2})(?:-?(?P<day>[1-7]))?"),
    ("W", r"W ?(?P<part>\d{1,2})[ /.-]*(?P<year>\d{4})"),
    ("H", r"(?P<year>\d{4})[ -]?H(?P<part>[12])"),
    ("H", r"H(?P<part>[12])[ -]?(?P<year>\d{4})"),
)
_SEASON = re.compile(r"\d{4}[/-]\d{2}")
_MIDNIGHT = r"(?<=[ T])24:00(?::00)?(?=$|[ Z+-])"
_SAMPLE = 60
_LONGEST = 80  # characters of a stamp


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Stamps:
    """Time stamps that were read."""

    local: pd.DatetimeIndex  # (N,) as written, without zone; NaT if unreadable
    offset: NDArray[np.timedelta64] | None = None  # (N,) of local time before UTC; None: the text has none
    note: str = ""

    @property
    def unread(self) -> NDArray[np.bool_]:
        """Which rows (N,) have no stamp."""
        return np.asarray(self.local.isna())


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """How a stamp is written."""

    kind: str  # iso, format, or period
    formats: tuple[str, ...] = ()
    pattern: str = ""  # of periods
    part: str = ""


def recognise(word: str) -> Form | None:
    """Return how a stamp, as `plain_stamp` returns it, is written; None: it is no time stamp."""
    bare = re.sub(_ZONE, "", word) if _AWARE.search(word) else word
    if _ISO.fullmatch(bare):
        return Form(kind="iso")
    for date, formats in _DATES if _WRITTEN.fullmatch(bare) else ():  # most text is rejected at once
        for clock, clock_format in _CLOCKS:
            if re.fullmatch(date + clock, bare):
                gap = "T" if clock_format and re.search(r"\dT\d", bare) else " "
                return Form(
                    kind="format", formats=tuple(f + gap + clock_format if clock_format else f for f in formats)
                )
    for part, pattern in _PERIODS:
        if re.fullmatch(pattern, bare):
            return Form(kind="period", pattern=pattern, part=part)
    return None


@lru_cache(maxsize=8192)  # layouts are compared on the same cells
def looks_like_time(cell: str) -> bool:
    """Return whether the text of one cell is a time stamp; plain numbers are none, but 01.2020 is a month."""
    if not 4 <= len(cell) <= _LONGEST or not re.search(r"\d", cell):
        return False
    if re.fullmatch(r"[+-]?\d*[.,]?\d*", cell):
        return re.fullmatch(r"(?:0[1-9]|1[0-2])\.(?:19|20)\d{2}", cell) is not None
    return recognise(plain_stamp(cell)) is not None


def parse_stamps(column: pd.Series[Any], *, day_first: bool = False) -> Stamps | None:
    """Read time stamps from text (N,); None: nothing in it is one.

    The most common form decides. Of dates that may have the day or the month first, the reading is taken that reads
    the most stamps, then one that keeps them in order (newest first, too), then the most even one.

    Args:
        column: text; NA is unreadable.
        day_first: whether other signs (decimal commas) speak for the day before the month.
    """
    text = column.astype("string").str.strip()
    text = text.mask(text.str.len() > _LONGEST)
    known = text.dropna()
    known = known[known != ""]
    if not len(known):
        return None
    sample = [str(known.iloc[i]) for i in np.unique(np.linspace(0, len(known) - 1, _SAMPLE).astype(int))]
    simple = sum(recognise(word) is not None for word in sample)
    if simple < len(sample):  # ornament costs time to take away, so that it is done only if there is some
        plain = [plain_stamp(word) for word in sample]
        if sum(recognise(word) is not None for word in plain) > simple:
            sample, text = plain, text.map(plain_stamp, na_action="ignore").astype("string")
    if all(_SEASON.fullmatch(word) and _is_season(word) for word in sample):
        return Stamps(local=_read_seasons(text))
    forms = Counter(form for form in map(recognise, sample) if form is not None)
    if not forms:
        return None
    aware = sum(_AWARE.search(word) is not None for word in sample) > len(sample) / 2
    offset = None
    if aware:
        zones = text.str.extract(_ZONE, expand=False)
        text = text.str.replace(_ZONE, "", regex=True).mask(zones.isna())
        offset = _offsets(zones)
    late = text.str.contains(_MIDNIGHT, regex=True).fillna(False).to_numpy(dtype=bool)
    if late.any():  # 24:00 is the midnight that ends a day
        text = text.str.replace(_MIDNIGHT, "00:00", regex=True)
        forms = Counter(form for form in (recognise(re.sub(_MIDNIGHT, "00:00", word)) for word in sample) if form)
    local, note = _read(text, forms.most_common(1)[0][0] if forms else Form(kind="iso"), day_first)
    if late.any():
        local = local + pd.to_timedelta(late.astype(int), unit="D")
    if bool(local.isna().all()):
        return None
    return Stamps(local=local, offset=offset, note=note)


def _is_season(word: str) -> bool:
    return (int(word[:4]) + 1) % 100 == int(word[5:])


def _read_seasons(text: pd.Series[Any]) -> pd.DatetimeIndex:
    """Return the years that seasons such as 2010/11 begin in."""
    found = text.where(text.str.fullmatch(_SEASON.pattern).fillna(False)).dropna()
    sound = found[found.map(_is_season)]
    return pd.DatetimeIndex(pd.to_datetime(sound.str[:4], format="%Y", errors="coerce").reindex(text.index))


def _offsets(zones: pd.Series[Any]) -> NDArray[np.timedelta64]:
    """Return offsets such as Z, +01 or -03:30 (N,) as time differences."""
    words, codes = np.unique(zones.fillna("Z").to_numpy(dtype=str), return_inverse=True)
    minutes = []
    for word in words:
        digits = re.sub(r"\D", "", word).ljust(4, "0")
        size = 60 * int(digits[:2]) + int(digits[2:]) if word != "Z" else 0
        minutes.append(-size if word.startswith("-") else size)
    return np.array(minutes, dtype="timedelta64[m]")[codes.reshape(-1)]


def _read(text: pd.Series[Any], form: Form, day_first: bool) -> tuple[pd.DatetimeIndex, str]:
    if form.kind == "iso":
        try:
            return pd.DatetimeIndex(pd.to_datetime(text, format="ISO8601", errors="coerce")), ""
        except (ValueError, OverflowError):  # a few carry an offset, and the others do not
            text = text.mask(text.str.contains(_ZONE, regex=True).fillna(False))
            return pd.DatetimeIndex(pd.to_datetime(text, format="ISO8601", errors="coerce")), ""
    if form.kind == "period":
        return _read_periods(text, form), ""
    return _read_formats(text, form.formats, day_first)


def _read_periods(text: pd.Series[Any], form: Form) -> pd.DatetimeIndex:
    parts = text.str.extract(rf"^(?:{form.pattern})$")
    year = pd.to_numeric(parts["year"], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    part = pd.to_numeric(parts["part"], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    year = np.where(year < 69, year + 2000, np.where(year < 100, year + 1900, year))
    if form.part == "W":
        day = parts["day"].astype("Float64").fillna(1).to_numpy(dtype=np.float64) if "day" in parts else 1.0
        return weeks(year, part, day)
    months = {"Q": 3, "H": 6, "M": 1}[form.part]
    month = (part - 1) * months + 1
    bad = ~((month >= 1) & (month <= 12) & (year >= 1))
    words = pd.Series(np.where(bad, 0, year * 100 + month)).astype("int64").astype(str)
    return pd.DatetimeIndex(pd.to_datetime(words.mask(bad), format="%Y%m", errors="coerce"))


def weeks(year: NDArray[Any], week: NDArray[Any], day: NDArray[Any] | float = 1.0) -> pd.DatetimeIndex:
    """Return the days (N,) of ISO weeks, Monday being day 1; NaT for a week that its year has not."""
    bad = ~((year >= 1678) & (year <= 2261) & (week >= 1) & (week <= 53))
    first = np.where(bad, 2000, year).astype(np.int64)
    new_year = (first - 1970).astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)
    monday = new_year + 3 - (new_year + 6) % 7  # the fourth of January lies in week 1
    number = monday + ((np.where(bad, 1, week) - 1) * 7 + np.asarray(day) - 1).astype(np.int64)
    days, thursday = number.astype("datetime64[D]"), (number - (number + 3) % 7 + 3).astype("datetime64[D]")
    bad |= thursday.astype("datetime64[Y]").astype(np.int64) + 1970 != first
    return pd.DatetimeIndex(pd.Series(days.astype("datetime64[s]")).mask(bad))


def _read_formats(text: pd.Series[Any], formats: Sequence[str], day_first: bool) -> tuple[pd.DatetimeIndex, str]:
    if day_first:
        formats = sorted(formats, key=lambda form: form.find("%d") > form.find("%m"))
    readings = [_parsed(text, form) for form in formats]
    ranks = [(int(np.asarray(reading.isna()).sum()), not _is_ordered(reading)) for reading in readings]
    least = min(ranks)
    rivals = [i for i, rank in enumerate(ranks) if rank == least]
    doubtful = any(not readings[rivals[0]].equals(readings[i]) for i in rivals[1:])
    evenness = {i: _unevenness(readings[i]) if doubtful else (0.0, 0.0) for i in rivals}
    best = min(rivals, key=lambda i: evenness[i])
    unusual = doubtful and not formats[best].startswith("%d.%m")
    note = f"dates such as {text.dropna().iloc[0]!r} were read as {formats[best]}" if unusual else ""
    return readings[best], note


def _parsed(text: pd.Series[Any], form: str) -> pd.DatetimeIndex:
    """Read text by one format; stamps of the same date format with another clock, such as none at midnight, too."""
    reading = pd.to_datetime(text, format=form, errors="coerce")
    unread = reading.isna() & text.notna()
    if unread.any() and not unread.all():
        date = re.split(r"[ T]%[HI]", form)[0]
        for clock in ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f"):
            if unread.any():
                reading = reading.fillna(pd.to_datetime(text[unread], format=date + clock, errors="coerce"))
                unread = reading.isna() & text.notna()
    return pd.DatetimeIndex(reading)


def _is_ordered(reading: pd.DatetimeIndex) -> bool:
    known = reading.dropna()
    return bool(known.is_monotonic_increasing or known.is_monotonic_decreasing)


def _unevenness(reading: pd.DatetimeIndex) -> tuple[float, float]:
    """Return the longest step over the median one, and the time that all stamps span.

    Months read as days leap from one January to the next; days read as months span a year instead of a fortnight.
    """
    stamps = np.sort(reading.dropna().unique().to_numpy()).astype(np.int64)
    steps = np.diff(stamps)
    return (float(steps.max() / np.median(steps)), float(stamps[-1] - stamps[0])) if len(steps) else (0.0, 0.0)
