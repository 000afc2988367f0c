"""Public holidays of a country, from the package `holidays`: known in advance for any day."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from types import ModuleType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lstm_tune.data.even_times import EvenTimes, Times
from lstm_tune.data.frequency import DAY, parse_freq
from lstm_tune.errors import UsageError
from lstm_tune.utils.text import did_you_mean

_DAYS_OFF = {"": 0, "_before": 1, "_after": -1}  # days from the row to the holiday that its column marks


def holiday_names(country: str | None) -> tuple[str, ...]:
    """Return the names of the columns of `holiday_features`."""
    return () if country is None else tuple(f"holiday_{country}{when}" for when in _DAYS_OFF)


def check_country(country: str | None) -> None:
    """Refuse what is no country, or no part of one.

    Raises:
        UsageError: no such country, or the package is missing.
    """
    if country is not None:
        _holidays(country, range(0))


def holiday_features(
    times: Times | EvenTimes, freq: str | None, zone: str | None, country: str | None
) -> NDArray[np.float32]:
    """Return whether the day of each row is a public holiday, the day before one, and the day after one.

    Args:
        times: (N,) datetime64[ns].
        freq: pandas offset alias, or None.
        zone: in which days begin, if the times are in UTC; None: the times are local.
        country: two letters, with a part of it behind a dash: "DE", "DE-BY", "US-CA". None: no holidays.

    Returns:
        (N, 3) of 0 and 1; (N, 0) without a country.

    Raises:
        UsageError: no such country, rows without time stamps or further apart than a day, or the package is missing.
    """
    if country is None:
        return np.empty((len(times), 0), dtype=np.float32)
    step = None if freq is None else parse_freq(freq)
    if step is None or step.unit == "month" or (step.unit == "fixed" and step.size > DAY):
        kind = "irregular or missing time stamps" if freq is None else f"frequency {freq!r}"
        raise UsageError(f"holidays need regular time stamps of a day or less, not {kind}; leave holidays out")
    stamps = np.asarray(times)
    if zone is not None:
        stamps = pd.DatetimeIndex(stamps).tz_localize("UTC").tz_convert(zone).tz_localize(None).to_numpy()
    days = stamps.astype("datetime64[D]")
    free = _free_days(country, days) if len(days) else days
    near = [np.isin(days + np.timedelta64(off, "D"), free) for off in _DAYS_OFF.values()]
    return np.stack(near, axis=1).astype(np.float32)


def _free_days(country: str, days: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    """Return the holidays (n,) of the years of the days, and of the years beside them."""
    first, last = (int(str(day)[:4]) for day in (days.min(), days.max()))
    return np.array(sorted(_holidays(country, range(first - 1, last + 2))), dtype="datetime64[D]")


def _holidays(country: str, years: range) -> Iterable[date]:
    name, dash, part = country.partition("-")
    package = _package()
    if dash and not part:
        raise _unknown(country, name, package)
    try:
        return package.country_holidays(name, subdiv=part or None, years=years)  # type: ignore[no-any-return]
    except NotImplementedError:  # the error by which `holidays` says that it does not know the country, or the part
        raise _unknown(country, name, package) from None


def _unknown(country: str, name: str, package: ModuleType) -> UsageError:
    """Return the error that says which countries, or parts of one, there are."""
    known = package.list_supported_countries(include_aliases=False)
    hint = f"; its parts are {', '.join(known[name])}" if known.get(name) else did_you_mean(country.upper(), known)
    return UsageError(f"holidays must be a country such as DE, DE-BY or US-CA, but is {country!r}{hint}")


def _package() -> ModuleType:
    try:
        import holidays
    except ModuleNotFoundError:
        raise UsageError("holidays need the package holidays: pip install 'lstm-tune[holidays]'") from None
    return holidays
