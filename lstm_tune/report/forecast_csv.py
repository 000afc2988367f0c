"""forecast.csv, read back in one pass that keeps what the report shows, however long the file is.

`W` windows of a series, `H` horizon.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from lstm_tune.errors import RunError
from lstm_tune.report.encoding import evenly

_COLUMNS = {
    "time": pa.string(),
    "series": pa.dictionary(pa.int32(), pa.string()),
    "step": pa.int32(),
    "actual": pa.float64(),
    "forecast": pa.float64(),
}
_BLOCK = 16 * 2**20  # bytes that are read at once


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SeriesForecast:
    """The test windows of one series (or of one target of it)."""

    name: str
    windows: int  # in the file
    index: NDArray[np.int64]  # (K,) which of them are kept: evenly spaced, the first among them
    times: list[list[str]]  # (K, H) labels
    actual: NDArray[np.float64]  # (K, H); NaN where the value was not observed
    forecast: NDArray[np.float64]  # (K, H)
    first_residual: NDArray[np.float64]  # (W,) actual minus forecast, one step ahead, of every window in order
    mse: float  # over every window and step
    mse_of_mean: float  # what forecasting the scored values' own mean would cost
    bias: float  # mean of actual minus forecast


@dataclass(slots=True)
class _Building:
    """A series while its rows come in."""

    windows: int = 0
    index: list[int] = field(default_factory=list)
    times: list[list[str]] = field(default_factory=list)
    actual: list[NDArray[np.float64]] = field(default_factory=list)
    forecast: list[NDArray[np.float64]] = field(default_factory=list)
    first: list[NDArray[np.float64]] = field(default_factory=list)
    # of the scored rows: number, sums of the residual and its square, and count, mean and M2 of the actual values
    count: int = 0
    residual: float = 0.0
    squares: float = 0.0
    mean: float = 0.0
    spread: float = 0.0

    def add(self, actual: NDArray[np.float64], forecast: NDArray[np.float64]) -> None:
        """Take up windows (n, H): their errors alone."""
        error = actual - forecast
        seen = ~np.isnan(error)
        self.first.append(error[:, 0])
        self.windows += len(error)
        n = int(seen.sum())
        if not n:
            return
        self.residual += float(error[seen].sum())
        self.squares += float((error[seen] ** 2).sum())
        values = actual[seen]
        gap, total = float(values.mean()) - self.mean, self.count + n  # merged as Chan, Golub and LeVeque (1983) do
        self.spread += float(((values - values.mean()) ** 2).sum()) + gap**2 * self.count * n / total
        self.mean += gap * n / total
        self.count = total


def read_forecast(path: Path, horizon: int, windows: int, most: int) -> list[SeriesForecast]:
    """Read forecast.csv.

    Args:
        path: of the file.
        horizon: rows of each window.
        windows: that the file holds, as result.json says.
        most: values to keep in all; windows are left out evenly, but each series keeps one.

    Raises:
        RunError: missing, damaged, or of another number of windows.
    """
    kept = set(evenly(windows, max(1, most // horizon)).tolist())
    series: dict[str, _Building] = {}
    at = 0
    for names, codes, times, actual, forecast in _windows(path, horizon):
        breaks = np.flatnonzero(np.diff(codes)) + 1
        edges = [0, *breaks.tolist(), len(codes)]
        for a, b in itertools.pairwise(edges):
            if a == b:
                continue
            name = names[codes[a]]
            one = series.setdefault(name, _Building())
            for i in range(a, b):
                if at + i in kept or (i == a and not one.windows):
                    one.index.append(one.windows + i - a)
                    one.times.append(times[i * horizon : (i + 1) * horizon].to_pylist())
                    one.actual.append(actual[i])
                    one.forecast.append(forecast[i])
            one.add(actual[a:b], forecast[a:b])
        at += len(codes)
    if at != windows:
        raise RunError(f"{path} holds {at} test windows, but result.json says {windows}; run tune again")
    return [
        SeriesForecast(
            name=name,
            windows=one.windows,
            index=np.array(one.index),
            times=one.times,
            actual=np.array(one.actual),
            forecast=np.array(one.forecast),
            first_residual=np.concatenate(one.first),
            mse=one.squares / one.count if one.count else float("nan"),
            mse_of_mean=one.spread / one.count if one.count else float("nan"),
            bias=one.residual / one.count if one.count else float("nan"),
        )
        for name, one in series.items()
    ]


def _windows(path: Path, horizon: int) -> Iterator[tuple[list[str], NDArray[Any], Any, Any, Any]]:
    """Yield whole windows: names, (n,) codes of names, n·H times, (n, H) actual and forecast values."""
    try:
        reader = pyarrow.csv.open_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(block_size=_BLOCK),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=_COLUMNS, include_columns=list(_COLUMNS), strings_can_be_null=False
            ),
        )
        rest: pa.Table | None = None
        for batch in reader:
            table = pa.Table.from_batches([batch])
            table = table if rest is None else pa.concat_tables([rest, table])
            whole = len(table) // horizon
            rest = table.slice(whole * horizon)
            if whole:
                yield _unpacked(table.slice(0, whole * horizon), horizon, path)
    except FileNotFoundError:
        raise RunError(f"{path} is missing; run tune again") from None
    except (OSError, pa.ArrowInvalid, pa.ArrowKeyError, UnicodeDecodeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise RunError(f"{path} is damaged or cannot be read ({reason}); run tune again") from None
    if rest is not None and len(rest):
        raise RunError(f"{path} is damaged: its last window lacks rows; run tune again")


def _unpacked(table: pa.Table, horizon: int, path: Path) -> tuple[list[str], NDArray[Any], Any, Any, Any]:
    named = table["series"].unify_dictionaries().combine_chunks()
    named = named.chunk(0) if isinstance(named, pa.ChunkedArray) else named
    codes = named.indices.to_numpy(zero_copy_only=False).reshape(-1, horizon)
    steps = table["step"].to_numpy().reshape(-1, horizon)
    if (steps != np.arange(1, horizon + 1)).any() or (codes != codes[:, :1]).any():
        raise RunError(f"{path} is damaged: its steps do not run from 1 to {horizon}; run tune again")
    actual = table["actual"].to_numpy().astype(np.float64).reshape(-1, horizon)
    forecast = table["forecast"].to_numpy().astype(np.float64).reshape(-1, horizon)
    return named.dictionary.to_pylist(), codes[:, 0], table["time"], actual, forecast
