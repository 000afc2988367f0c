"""Time stamps and series as text, for files and screens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstm_tune.data.even_times import EvenTimes, Times, pieces
from lstm_tune.data.time_zones import tzinfo
from lstm_tune.utils.escaping import cell

Unit = Literal["D", "s", "ms", "us", "ns"]
_UNITS: tuple[Unit, ...] = ("D", "s", "ms", "us", "ns")
_DIGITS = 10  # of a counted time


def series_name(series: str, target: str, targets: int) -> str:
    """Return what forecast.csv calls a target of a series if there are so many, as a harmless cell of it."""
    return cell(" ".join(filter(None, (series, target if targets > 1 else ""))) or target)


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeStyle:
    """How the times of one data set are written, all alike."""

    unit: Unit = "s"  # the smallest part of a stamp that is written
    zone: str | None = None  # that stamps in UTC are written in; None: they are written as they are

    @classmethod
    def of(cls, times: Times | EvenTimes, zone: str | None = None) -> Self:
        """Return the shortest style that tells all times (N,) apart from their neighbours."""
        if times.dtype.kind != "M":
            return cls()
        unit = 0
        for a, b in pieces(0, len(times)):
            piece = times[a:b]
            while unit + 1 < len(_UNITS) and not bool((piece == piece.astype(f"datetime64[{_UNITS[unit]}]")).all()):
                unit += 1
        return cls(unit=_UNITS[unit], zone=zone)

    def labels(self, times: Times) -> NDArray[np.str_]:
        """Return times (n,) as text: 2024-01-31, 2024-01-31 12:00:00, with Z or an offset if there is a zone."""
        if times.dtype.kind == "f":
            return np.array([f"{time:.{_DIGITS}g}" for time in times.tolist()], dtype=np.str_)
        if times.dtype.kind != "M":
            return times.astype(np.str_)
        if self.zone is None or self.unit == "D":
            labels = np.datetime_as_string(times, unit=self.unit)
            return labels if self.unit == "D" else np.char.replace(labels, "T", " ")
        if self.zone == "UTC":
            return np.char.add(np.char.replace(np.datetime_as_string(times, unit=self.unit), "T", " "), "Z")
        utc = pd.DatetimeIndex(times).tz_localize("UTC")
        there = utc.tz_convert(tzinfo(self.zone))
        local = there.tz_localize(None)
        shown = np.char.replace(np.datetime_as_string(local.to_numpy(), unit=self.unit), "T", " ")
        minutes = np.asarray((local - utc.tz_localize(None)) // pd.Timedelta(minutes=1), dtype=np.int64)
        signs = np.where(minutes < 0, "-", "+")
        hours, rest = np.divmod(np.abs(minutes), 60)
        offsets = [f"{s}{h:02d}:{m:02d}" for s, h, m in zip(signs, hours.tolist(), rest.tolist(), strict=True)]
        return np.char.add(shown, offsets)


def time_column(times: Times, zone: str | None) -> Any:
    """Return times (n,) as a column of a frame: with their time zone, and without the noise of float64."""
    if times.dtype.kind == "f":
        return np.array([float(f"{time:.{_DIGITS}g}") for time in times.tolist()])
    if zone is None or times.dtype.kind != "M":
        return times
    return pd.DatetimeIndex(times).tz_localize("UTC").tz_convert(tzinfo(zone))
