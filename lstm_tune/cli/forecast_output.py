"""Forecasts as text on stdout or as a file, in the format that the file's name asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lstm_tune.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".tsv", ".parquet", ".feather")


def check_output(path: Path | None) -> None:
    """Refuse a file that cannot be written, before anything is computed.

    Raises:
        UsageError: its name ends in none of `SUFFIXES`, or its folder is not there.
    """
    if path is None:
        return
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"cannot write {str(path)!r}: --out must name a file in a folder that exists")
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"the file of --out must end with {', '.join(SUFFIXES)}, but is {str(path)!r}")


def write_forecast(forecast: pd.DataFrame, columns: Sequence[str], path: Path) -> None:
    """Write a forecast to a file whose name was checked.

    Raises:
        UsageError: it cannot be written.
    """
    from lstm_tune.utils.atomic_files import atomic_write

    frame = _without_empty_series(forecast)
    writers: dict[str, Callable[[Path], object]] = {
        ".csv": lambda beside: beside.write_text(to_text(forecast, columns), encoding="utf-8"),
        ".tsv": lambda beside: beside.write_text(to_text(forecast, columns, "\t"), encoding="utf-8"),
        ".parquet": lambda beside: frame.to_parquet(beside, index=False),
        ".feather": lambda beside: frame.to_feather(beside),
    }
    try:
        with atomic_write(path) as beside:
            writers[path.suffix.lower()](beside)
    except OSError as error:
        raise UsageError(f"cannot write {str(path)!r}: {error.strerror or error}; choose another --out") from None


def to_text(forecast: pd.DataFrame, columns: Sequence[str], separator: str = ",") -> str:
    """Return a forecast as CSV, with all its digits, and with no text that a spreadsheet takes for a formula."""
    from lstm_tune.utils.decimals import decimal_texts
    from lstm_tune.utils.escaping import cell

    frame = _without_empty_series(forecast).copy()
    for name in frame.columns.intersection(["series", "unique_id"]):
        frame[name] = frame[name].map(cell)
    for column in columns:
        frame[column] = decimal_texts(frame[column])
    return frame.rename(columns=cell).to_csv(index=False, sep=separator)


def _without_empty_series(forecast: pd.DataFrame) -> pd.DataFrame:
    return forecast if any(forecast.get("series", [True])) else forecast.drop(columns="series")
