"""Real series that an installed package ships: `example:NAME`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lstm_tune.errors import DataError, UsageError
from lstm_tune.utils.text import did_you_mean


def _as_it_is(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


def _months_below_each_other(frame: pd.DataFrame) -> pd.DataFrame:
    """Turn one row a year, with a column for each month, into one row a month."""
    tall = frame.melt(id_vars="YEAR", var_name="month", value_name="temperature")
    dates = pd.to_datetime(tall["YEAR"].astype(str) + " " + tall["month"].str.title(), format="%Y %b")
    return pd.DataFrame({"date": dates, "temperature": tall["temperature"]}).sort_values("date", ignore_index=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A real series, in a CSV file of statsmodels."""

    says: str
    file: str  # below statsmodels/datasets
    target: str  # unless the user names another
    shape: Callable[[pd.DataFrame], pd.DataFrame] = _as_it_is

    def read(self) -> pd.DataFrame:
        """Return the series as a frame.

        Raises:
            DataError: statsmodels is not installed, or lacks the file.
        """
        spec = importlib.util.find_spec("statsmodels")  # finds the folder without the seconds of an import
        places = list(spec.submodule_search_locations or ()) if spec else []
        for place in places:
            file = Path(place, "datasets", self.file)
            if file.is_file():
                return self.shape(pd.read_csv(file, encoding="utf-8-sig"))
        raise DataError(f"the examples need statsmodels with datasets/{self.file}; pip install statsmodels")


_EXAMPLES = {
    "sunspots": Example(
        says="sunspot numbers, 1700 to 2008, yearly", file="sunspots/sunspots.csv", target="SUNACTIVITY"
    ),
    "co2": Example(says="CO2 over Mauna Loa, 1958 to 2001, weekly, with gaps", file="co2/co2.csv", target="co2"),
    "elnino": Example(
        says="sea surface temperature, 1950 to 2010, monthly",
        file="elnino/elnino.csv",
        target="temperature",
        shape=_months_below_each_other,
    ),
    "nile": Example(says="flow of the Nile, 1871 to 1970, yearly", file="nile/nile.csv", target="volume"),
    "macrodata": Example(says="US economy, 1959 to 2009, quarterly", file="macrodata/macrodata.csv", target="realgdp"),
    "elec_equip": Example(
        says="turnover of EU electrical equipment makers, 1995 to 2016, monthly",
        file="elec_equip/elec_equip.csv",
        target="STS.M.I7.W.TOVT.NS0016.4.000",
    ),
    "danish_data": Example(
        says="Danish money demand, 1974 to 1987, quarterly", file="danish_data/data.csv", target="lrm"
    ),
    "interest_inflation": Example(
        says="West German interest and inflation, 1972 to 1998, quarterly",
        file="interest_inflation/E6.csv",
        target="R",
    ),
    "copper": Example(
        says="world copper market, 1951 to 1975, yearly", file="copper/copper.csv", target="WORLDCONSUMPTION"
    ),
}


def examples() -> dict[str, Example]:
    """Return the examples by name."""
    return dict(_EXAMPLES)


def find_example(name: str) -> Example:
    """Return one example.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in _EXAMPLES:
        raise UsageError(f"unknown example {name!r}{did_you_mean(name, _EXAMPLES)}; known: {', '.join(_EXAMPLES)}")
    return _EXAMPLES[name]
