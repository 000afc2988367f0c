"""The check for values that do not belong: error codes, and outliers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lstm_tune.diagnosis.action import each
from lstm_tune.diagnosis.channel import Bools, Channel, Floats
from lstm_tune.diagnosis.check import Check, Evidence, Params, first_setting
from lstm_tune.diagnosis.finding import Finding, Severity, Thresholds
from lstm_tune.utils.text import joined, number, percent, rounded

_NEWEST = 200_000  # rows that are looked at
_SPIKE = 6.0  # robust standard deviations from its neighbours that make a value an outlier
_NO_TAIL = 20.0  # interquartile ranges of the logarithms: no tail of a distribution reaches that far
_NEIGHBOURS = 7  # rows of the running median
_CARRIED = Thresholds(warn=0.2, high=0.5)  # share of the squared jumps that outliers make
_OF_VARIANCE = Thresholds(warn=0.02, high=0.2)  # … and of the variance, over all rows

_REPEATS = 3  # rows with the same value, at least, that may be an error code
_MOST_ROWS = 0.5  # share of the rows, above which a value is no exception
_APART = 1.0  # times the range of the other values, that lies between them and an error code
_DISTINCT = 10  # other values, at least: a switch between a few states has no error codes
_SURE_REPEATS = 5  # rows with a value that is a code by its sign or by habit
_ISOLATED = 10.0  # times the distance of the other values near to it, that lies between them and a code
_USUAL_CODES = frozenset({99.0, 999.0, 9999.0, 99999.0, 999999.0, 32767.0, 32768.0, 65535.0})
_MOST_CODES = 3
_RECURS = 0.5, 0.8  # share of the rows at a place in the season; share of the value's rows at such places


def outliers(channel: Channel) -> Finding | None:
    """Find error codes; else single values far from their neighbours that make much of the squared error.

    If logarithms tame the outliers, the series has a long tail, which is a finding of `scale_unfit`.
    """
    codes = _error_codes(channel)
    if codes:
        return _error_code_finding(channel, codes)
    found = _spikes(channel)
    return None if found and float(channel.values.min()) > 0 and _tamed_by_logs(channel) else found


def _tamed_by_logs(channel: Channel) -> bool:
    logs = np.log(channel.values)
    low, median, high = np.quantile(logs, [0.25, 0.5, 0.75])
    wild = high > low and float(np.abs(logs - median).max()) > _NO_TAIL * (high - low)
    return not wild and not _spikes(replace(channel, values=logs))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _ErrorCode:
    """A value that repeats far away from all other values."""

    value: float
    rows: Bools  # (n,) of all rows
    low: float  # smallest and largest other value
    high: float


def _error_codes(channel: Channel) -> list[_ErrorCode]:
    """Return repeated values that are farther from all other values than these are from each other, or impossible.

    A value that recurs at its place in the season is none: a shop that is closed on Sundays sells 0.
    """
    codes: list[_ErrorCode] = []
    left = channel.observed.copy()
    while len(codes) < _MOST_CODES:
        code = next((c for c in map(lambda v: _as_error_code(channel, left, v), _extremes(channel, left)) if c), None)
        if code is None:
            break
        codes.append(code)
        left &= ~code.rows
    return [replace(code, low=codes[-1].low, high=codes[-1].high) for code in codes]


def _extremes(channel: Channel, left: Bools) -> Sequence[float]:
    x = channel.values[left]
    return (float(x.min()), float(x.max())) if len(x) else ()


def _as_error_code(channel: Channel, left: Bools, value: float) -> _ErrorCode | None:
    rows = left & (channel.values == value)
    others = channel.values[left & ~rows]
    count = int(rows.sum())
    if count < _REPEATS or count > _MOST_ROWS * left.sum() or len(others) < _DISTINCT:
        return None
    low, high = float(others.min()), float(others.max())
    apart = max(low - value, value - high)
    distinct = np.unique(others[-_NEWEST:])
    far = apart > _APART * (high - low) or _is_impossible(value, apart, count, distinct)
    if not far or len(distinct) < _DISTINCT:
        return None
    return None if _recurs(channel, rows) else _ErrorCode(value=value, rows=rows, low=low, high=high)


def _is_impossible(value: float, apart: float, count: int, others: Floats) -> bool:
    """Return whether a value is a usual code, or the only negative one, and isolated from the others (sorted)."""
    if count < _SURE_REPEATS or len(others) < _DISTINCT or value != round(value):
        return False
    side = others[:_DISTINCT] if value < others[0] else others[-_DISTINCT:]
    isolated = apart > _ISOLATED * float(np.median(np.diff(side)))
    return isolated and (value < 0 <= others[0] or abs(value) in _USUAL_CODES)


def _recurs(channel: Channel, rows: Bools) -> bool:
    """Return whether a value recurs at its places in the season."""
    period = channel.period
    if not period or len(rows) < 3 * period:
        return False
    place = np.arange(len(rows)) % period
    share = np.bincount(place, rows, period) / np.bincount(place, minlength=period)
    return float((share[place[rows]] >= _RECURS[0]).mean()) >= _RECURS[1]


def _error_code_finding(channel: Channel, codes: Sequence[_ErrorCode]) -> Finding:
    rows = np.logical_or.reduce([code.rows for code in codes])
    x, rest = channel.values[channel.observed], channel.values[channel.observed & ~rows]
    count, share = int(rows.sum()), float(rows.sum() / len(x))
    of_variance = 1 - len(rest) * float(np.var(rest)) / (len(x) * float(np.var(x)))
    zero = all(code.value == 0 for code in codes) and codes[0].low >= 0  # may be true: nothing was sold
    severity: Severity = "high" if of_variance >= _OF_VARIANCE.high and not zero else "warn"
    values = joined([number(code.value, 6) for code in codes])
    many = len(codes) > 1
    meaning = "mean that nothing was measured" if many else "means that nothing was measured"
    return Finding(
        code="outliers",
        severity=severity,
        rank=10 + of_variance,
        evidence={
            "repeated_values": [code.value for code in codes],
            "count": count,
            "share": rounded(share),
            "test_rows": int(rows[channel.parts["test"]].sum()),
            "smallest_other": rounded(codes[0].low),
            "largest_other": rounded(codes[0].high),
            "share_of_variance": rounded(of_variance),
        },
        says=f"The value{'s' if many else ''} {values} occur{'' if many else 's'} in {count:,} of {len(x):,} rows "
        f"({percent(share)}), while all other values are between {number(codes[0].low, 4)} and "
        f"{number(codes[0].high, 4)}: this looks like an error code, and it makes {of_variance:.0%} of the variance, "
        f"so scaled MSEs look too good.",
        by_hand=f"If {values} {meaning}, leave these cells empty: a missing value is never scored. If the value is "
        f"real, add a covariate that announces it (--future).",
    )


def _spikes(channel: Channel) -> Finding | None:
    seasonless = channel.seasonless[channel.observed]
    y = seasonless[-_NEWEST:]
    rest, spread = _off_their_neighbours(y)
    # If most values equal their neighbours, the finding is `constant_series`.
    usual = float(np.ptp(np.quantile(y, (0.02, 0.98)))) if len(y) else 0.0  # a wild value has a say in none of these
    if len(y) < 3 * _NEIGHBOURS or spread <= 1e-6 * usual:
        return None
    far = (np.abs(rest) > _SPIKE * spread) & _beside_a_jump(y, spread)
    count, share = int(far.sum()), float(far.mean())
    if not count or share > 0.1:
        return None
    carried = float(rest[far] @ rest[far]) / float(rest @ rest)
    of_variance = float(rest[far] @ rest[far]) / len(y) / float(np.var(seasonless))
    if carried < _CARRIED.warn or of_variance < _OF_VARIANCE.warn:
        return None
    worst = int(np.abs(rest).argmax())
    return Finding(
        code="outliers",
        severity="high" if carried >= _CARRIED.high and of_variance >= _OF_VARIANCE.high else "warn",
        rank=of_variance,
        evidence={
            "count": count,
            "share": rounded(share),
            "share_of_squared_jumps": rounded(carried),
            "share_of_variance": rounded(of_variance),
            "largest_in_robust_sd": rounded(float(abs(rest[worst])) / spread),
            "largest_value": rounded(float(channel.values[channel.observed][-_NEWEST:][worst])),
        },
        says=f"{count:,} of {len(y):,} values ({percent(share)}) {'is' if count == 1 else 'are'} an outlier, more than "
        f"{_SPIKE:.0f} robust standard deviations away from the values around it, and make {carried:.0%} of the "
        f"squared differences between neighbours.",
        actions=each(outlier_clip=5.0, loss=("huber", "mae")),
        by_hand="Correct or remove values that are errors of measurement.",
    )


def _off_their_neighbours(y: Floats) -> tuple[Floats, float]:
    """Return y (n,) minus its running median, and the robust standard deviation of that."""
    import pandas as pd

    median = pd.Series(y).rolling(_NEIGHBOURS, center=True, min_periods=1).median().to_numpy()
    rest: Floats = y - median
    return rest, 1.4826 * float(np.median(np.abs(rest))) if len(rest) else 0.0


def _beside_a_jump(y: Floats, spread: float) -> Bools:
    """Tell which values (n,) are near a jump: a sharp peak of a smooth cycle is far from the median around it, too."""
    steps = np.abs(np.diff(y, prepend=y[0]))
    jump = steps > _SPIKE * max(1.4826 * float(np.median(steps)), spread)
    beside: Bools = np.convolve(jump, np.ones(2 * (_NEIGHBOURS // 2) + 1), mode="same") > 0.5
    return beside


def _cause(evidence: Evidence) -> str:
    if "repeated_values" in evidence:
        values = joined([number(value, 6) for value in evidence["repeated_values"]])
        return f"the data contain what looks like an error code ({values})"
    return "the data contain outliers"


def _setting(evidence: Evidence, params: Params) -> str:
    if "repeated_values" in evidence:
        return ""
    if params.get("outlier_clip"):
        return f"outlier_clip = {params['outlier_clip']}"
    return first_setting(params, {"loss": ("mae", "huber")})


CHECKS: tuple[Check[Channel], ...] = (Check(code="outliers", look=outliers, cause=_cause, handled_by=_setting),)
