"""How rows are to be cut into train, validation and test rows, as people say it: counts, shares, ends or dates."""

from __future__ import annotations

import datetime as dt
import math
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import pandas as pd

from lstm_tune.data.even_times import Times
from lstm_tune.data.time_zones import tzinfo
from lstm_tune.errors import UsageError
from lstm_tune.utils.text import shortened

Kind = Literal["rows", "shares", "last", "stamps"]

_RULE = "three row counts or three fractions (0.7,0.1,0.2), last:VAL,TEST rows of each series, or two dates"
_DATE = re.compile(r"\d{4}(-\d{1,2}(-\d{1,2}([ T]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?)?)?)?")
_ALIKE = 1 / 4  # of the series, that must have rows of all three parts if they are cut at common times


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitRule:
    """How the rows of each series are cut.

    Attributes:
        kind: "rows": as many train, validation and test rows, from the first row of each series; "shares": of the
            rows, or of the time that several series share; "last": as many rows at the end of each series are
            validated and tested on; "stamps": validation and test begin at the same times in all series.
        numbers: three row counts, three shares, or two row counts.
        stamps: two times as text: a date, or a number if time is counted.

    Raises:
        UsageError: it is no split; one line says what is.
    """

    kind: Kind
    numbers: tuple[float, ...] = ()
    stamps: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the parts."""
        shown = ", ".join(f"{part:g}" for part in self.numbers)
        if self.kind == "stamps":
            self._check_order()
            return
        need = 2 if self.kind == "last" else 3
        if len(self.numbers) != need:
            names = "validation, test" if need == 2 else "train, validation, test"
            raise UsageError(
                f"split must have {'two' if need == 2 else 'three'} parts ({names}), but has {len(self.numbers)}"
            )
        if not all(0 < part < math.inf for part in self.numbers):
            raise UsageError(f"every part of the split must be above 0, but it is {shown}")
        if self.kind == "shares" and abs(sum(self.numbers) - 1) > 1e-6:
            a, b, c = self.numbers
            raise UsageError(f"fractions of the split must add up to 1, but {a:g} + {b:g} + {c:g} = {a + b + c:g}")
        if self.kind != "shares" and any(part != int(part) for part in self.numbers):
            raise UsageError(f"rows of the split must be whole numbers, but they are {shown}")

    def _check_order(self) -> None:
        numbers = [number for text in self.stamps if (number := _as_number(text)) is not None]
        first, second = numbers if len(numbers) == 2 else [_date(text).value for text in self.stamps]
        if first >= second:
            raise UsageError(f"validation must begin before the test, but the split is {self}")

    @classmethod
    def of_numbers(cls, parts: Sequence[float]) -> Self:
        """Return the rule of three row counts or three shares."""
        counts = all(part == int(part) for part in parts if math.isfinite(part)) and sum(parts) > 1
        return cls(kind="rows" if counts else "shares", numbers=tuple(parts))

    def __str__(self) -> str:
        """Return the rule as the command line takes it."""
        if self.kind == "stamps":
            return ",".join(self.stamps)
        return ("last:" if self.kind == "last" else "") + ",".join(f"{part:.10g}" for part in self.numbers)

    def to_json(self) -> list[float] | str:
        """Return the rule as a study keeps it."""
        return [float(part) for part in self.numbers] if self.kind in ("rows", "shares") else str(self)


DEFAULT_SPLIT = SplitRule(kind="shares", numbers=(0.7, 0.1, 0.2))


def parse_split(text: str) -> SplitRule:
    """Read a split as the command line takes it.

    Raises:
        UsageError: it is none.
    """
    kind, _, rest = text.strip().rpartition(":") if text.strip().startswith("last:") else ("", "", text)
    parts = [part.strip() for part in rest.split(",")]
    if len(parts) == 2 and not kind and all(_is_stamp(part) for part in parts):
        return SplitRule(kind="stamps", stamps=tuple(parts))
    try:
        numbers = [float(part) if re.search(r"[.e]", part.lower()) else int(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) != (2 if kind else 3):
        raise UsageError(f"split must be {_RULE}, but is {text!r}")
    return SplitRule(kind="last", numbers=tuple(numbers)) if kind else SplitRule.of_numbers(numbers)


def read_split(name: str, value: Any) -> SplitRule | None:
    """Return the rule of a split as Python takes it: text, three numbers or two times; None: the default.

    Raises:
        UsageError: it is none.
    """
    if value is None or isinstance(value, SplitRule):
        return value
    if isinstance(value, str):
        return parse_split(value)
    try:
        parts = list(value)
        if len(parts) == 2 and not all(isinstance(part, float) for part in parts):
            return SplitRule(kind="stamps", stamps=tuple(_stamp_text(part) for part in parts))
        return SplitRule.of_numbers(
            [operator.index(part) if hasattr(part, "__index__") else float(part) for part in parts]
        )
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{name} must be {_RULE}, but is {shortened(value)}") from None


def _is_stamp(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return _as_number(text) is not None and not re.search(r"[.e]", text.lower())
    try:
        _date(text)
    except UsageError:
        return False
    return True


def _date(text: str) -> pd.Timestamp:
    try:
        return pd.Timestamp(text).as_unit("ns")
    except ValueError:
        raise UsageError(f"split must give dates such as 2016-07-01, but {text!r} is none") from None


def _stamp_text(value: Any) -> str:
    if hasattr(value, "__index__") and not isinstance(value, bool):
        return str(operator.index(value))
    if isinstance(value, dt.date | np.datetime64):
        value = str(pd.Timestamp(value).tz_localize(None) if isinstance(value, dt.date) else value)
        value = value.removesuffix(" 00:00:00")
    if not isinstance(value, str) or not _is_stamp(value.strip()):
        raise ValueError("no time")
    return value.strip()


def _as_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Cut:
    """What a rule makes of the rows of each series.

    Attributes:
        rule: that was applied; None: all rows are train rows.
        counts: (S,) train, validation and test rows of each series, from its first row.
        common: whether all series are cut at the same times, and not by their own rows, if that differs.
        note: what was decided, if that needs to be said.
    """

    rule: SplitRule | None
    counts: tuple[tuple[int, int, int], ...]
    common: bool = False
    note: str = ""


def cut_rows(rule: SplitRule | None, offsets: Sequence[int], times: Times | None) -> Cut:
    """Apply a rule to the rows of a source.

    Fractions cut series that share their time at common times: at the shares of the distinct time stamps. How many
    stamps there are after a border is taken from the series with most rows there, so that no stamp of a test row moves
    a border. Series of which less than a quarter would have rows of all three parts are cut by their own rows.

    Args:
        rule: to apply; None: all rows are train rows.
        offsets: (S+1,) borders of the series.
        times: (N,) of the rows, sorted within each series, on the clock of the source; None: the rows are numbered.

    Raises:
        UsageError: times for rows without time stamps, or dates for counted time.
    """
    borders = np.asarray(offsets)
    if rule is None:
        return Cut(rule=None, counts=tuple((rows, 0, 0) for rows in np.diff(borders).tolist()))
    if rule.kind == "stamps":
        ends = [_rows_before(stamp, borders, times) for stamp in _stamps_for(rule, times)]
        return Cut(rule=rule, counts=_counts(borders, *ends), common=True)
    own = Cut(rule=rule, counts=tuple(_own_counts(rule, n) for n in np.diff(borders).tolist()))
    if rule.kind != "shares" or len(own.counts) == 1 or not share_time(offsets, times):
        return own
    assert times is not None
    axis = np.unique(times)
    a, b, _ = rule.numbers
    at = [_common_border(axis, share, borders, times) for share in (a, a + b)]
    common = Cut(
        rule=rule, counts=_counts(borders, *(_rows_before(stamp, borders, times) for stamp in at)), common=True
    )
    if common.counts == own.counts:
        return own
    alike = sum(min(count) > 0 for count in common.counts)
    if alike >= _ALIKE * len(own.counts):
        return common
    return Cut(
        rule=rule,
        counts=own.counts,
        note=f"cut at common times, {alike} of {len(own.counts)} series would have rows of all three parts: each "
        f'series was cut by its own rows; split="DATE,DATE" cuts them at common times',
    )


def share_time(offsets: Sequence[int], times: Times | None) -> bool:
    """Return whether the same time means the same moment in all series.

    Numbers that begin alike in all series and end differently count the rows of each series.
    """
    if times is None:
        return False
    if times.dtype.kind == "M":
        return True
    first, last = (times[np.asarray(rows)] for rows in (offsets[:-1], np.asarray(offsets[1:]) - 1))
    return not ((first == first[0]).all() and (last != last[0]).any())


def _own_counts(rule: SplitRule, rows: int) -> tuple[int, int, int]:
    if rule.kind == "last":
        val, test = (int(part) for part in rule.numbers)
        n_test = min(rows, test)
        n_val = min(rows - n_test, val)
        return rows - n_test - n_val, n_val, n_test
    a, b, c = rule.numbers
    if rule.kind == "rows":
        n_train = min(rows, int(a))
        n_val = min(rows - n_train, int(b))
        return n_train, n_val, min(rows - n_train - n_val, int(c))
    n_train, n_val = round(rows * a), round(rows * b)
    return n_train, n_val, rows - n_train - n_val


def _rows_before(stamp: Any, borders: np.ndarray, times: Times | None) -> np.ndarray:
    """Return how many rows (S,) of each series lie before a time."""
    counts: np.ndarray = np.add.reduceat((times < stamp).astype(np.int64), borders[:-1])
    return counts


def _counts(borders: np.ndarray, train: np.ndarray, developed: np.ndarray) -> tuple[tuple[int, int, int], ...]:
    parts = np.stack([train, developed - train, np.diff(borders) - developed], axis=1)
    return tuple((int(a), int(b), int(c)) for a, b, c in parts)


def _common_border(axis: Times, share: float, borders: np.ndarray, times: Times) -> Any:
    """Return the first stamp of the axis (n,) before which a share of the axis lies, or just less."""
    low, high = 0, len(axis) - 1
    while low < high:
        middle = (low + high) // 2
        after = int(np.max(np.diff(borders) - _rows_before(axis[middle], borders, times)))
        if middle >= round(share * (middle + after)):
            high = middle
        else:
            low = middle + 1
    return axis[low]


def _stamps_for(rule: SplitRule, times: Times | None) -> list[Any]:
    """Return the two times of a rule in the type of the data's times."""
    if times is None:
        raise UsageError(f"split {rule} gives times, but the rows have no time stamps; use rows or fractions")
    if times.dtype.kind == "M":
        return [_date(text).to_datetime64() for text in rule.stamps]
    numbers = [number for text in rule.stamps if (number := _as_number(text)) is not None]
    if len(numbers) < 2:
        raise UsageError(f"split {rule} gives dates, but time is counted in numbers; give numbers, such as 100,120")
    return numbers


def on_clock(times: Times, zone: str | None) -> Times:
    """Return times as they are printed: those in UTC in their zone."""
    if zone is None or times.dtype.kind != "M":
        return times
    local: Times = pd.DatetimeIndex(times).tz_localize("UTC").tz_convert(tzinfo(zone)).tz_localize(None).to_numpy()
    return local
