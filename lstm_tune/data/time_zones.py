"""Time zones: local stamps with an offset, as instants in UTC that are printed in their zone."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_DAYLIGHT_SAVING = (  # one zone for each rule in common use, tried in this order
    *("Europe/Berlin", "Europe/London", "Europe/Helsinki", "America/New_York", "America/Chicago", "America/Denver"),
    *("America/Los_Angeles", "America/Halifax", "America/Santiago", "Australia/Sydney", "Australia/Adelaide"),
    *("Pacific/Auckland", "Asia/Jerusalem", "Europe/Lisbon", "Africa/Casablanca"),
)


def zone_of(local: pd.DatetimeIndex, offset: NDArray[Any]) -> str | None:
    """Return the time zone of stamps that carry offsets: "UTC", a fixed one such as "+01:00", or a name of IANA.

    Args:
        local: (N,) stamps as written.
        offset: (N,) differences of local time to UTC.

    Returns:
        None: the offsets change, and no known zone changes so.
    """
    distinct = np.unique(offset)
    if len(distinct) == 1:
        minutes = int(distinct[0] / np.timedelta64(1, "m"))
        return (
            "UTC" if minutes == 0 else f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
        )
    utc = (local - pd.TimedeltaIndex(offset)).tz_localize("UTC")
    for name in _DAYLIGHT_SAVING:
        try:
            there = utc.tz_convert(name).tz_localize(None)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OverflowError):
            continue
        if bool((there == local).all()):
            return name
    return None


def tzinfo(zone: str) -> dt.tzinfo | str:
    """Return what pandas takes for a zone of `zone_of`."""
    if zone[0] not in "+-":
        return zone
    size = dt.timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
    return dt.timezone(size if zone[0] == "+" else -size)


def shares_a_clock(local: pd.DatetimeIndex) -> bool:
    """Return whether all stamps (N,) of a day or more apart have the same time of day."""
    clock = local - local.normalize()
    return bool((clock == clock[0]).all()) if len(local) else False
