"""The forecasts that the report draws: some windows of some series, and what follows the last row of the data.

All arrays are float32 in the model's working units: original values minus `origin`. H is the horizon.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lstm_tune.data.windows import Positions, Windows
from lstm_tune.errors import LstmTuneError
from lstm_tune.evaluation.conformal import level_name
from lstm_tune.evaluation.interval_score import Bands
from lstm_tune.evaluation.score import Forecaster, forecast_all
from lstm_tune.report.encoding import encode_times, evenly, pack, rounded_list
from lstm_tune.report.forecast_csv import SeriesErrors, actual_values
from lstm_tune.training.saved_model import ForecastModel

LEAST_SERIES, MOST_SERIES = 100, 500  # whose forecasts can be looked at, if there are more
_SERIES_BYTES = 850_000  # of the page for them, if each has one window, about
HARDEST = 24  # that are named by their error
VALUES = (60_000, 40_000)  # of forecasts that are kept: of a single series, of many
_LONGEST = 60_000  # actual values that are kept of all series
_LEAST_RESIDUALS = 8  # for an autocorrelation
_MOST_LAGS = (400, 60)  # of up to 20 series, of more


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Forecasters:
    """What is drawn beside the actual values."""

    model: ForecastModel
    simple: Forecaster | None  # the baseline of the least test MSE
    simple_name: str
    bands: Bands | None = None  # prediction intervals of the model


def forecasts_record(
    forecasters: Forecasters,
    windows: Windows,
    positions: Positions,
    errors: Sequence[SeriesErrors],
    period: int | None,
) -> dict[str, Any]:
    """Return what `report.json` keeps of the test forecasts.

    Args:
        forecasters: to draw.
        windows: of all rows.
        positions: of the test windows.
        errors: of all windows, as `write_forecast` returns them.
        period: rows in a season; None: there is none.
    """
    horizon = windows.horizon
    hardest = sorted((e for e in errors if math.isfinite(e.ratio)), key=lambda e: -e.ratio)[:HARDEST]
    bands = forecasters.bands
    shown = _chosen(errors, hardest, _selectable(horizon, 0 if bands is None else len(bands.levels)))
    budget = max(1, VALUES[0 if len(errors) == 1 else 1] // horizon)
    every = sum(e.windows for e in shown)
    whole = sum(_span(windows, positions, e) for e in shown) <= _LONGEST
    ahead, reason = _ahead(forecasters, windows)
    kept = [evenly(one.windows, max(1, budget * one.windows // every)) for one in shown]
    chosen = [positions[torch.from_numpy(one.start + index)].cpu() for one, index in zip(shown, kept, strict=True)]
    drawn = [forecasters.model.network] + ([forecasters.simple] if forecasters.simple is not None else [])
    lines = [torch.split(forecast_all(f, windows, torch.cat(chosen)), [len(c) for c in chosen]) for f in drawn]
    axes: list[dict[str, Any]] = []
    series = []
    for one, at, *forecasts in zip(shown, chosen, *lines, strict=True):
        record = _windows_record(windows, at, [f.numpy() for f in forecasts], bands, axes, whole=whole)
        lags = _lags(one.windows, period, len(shown))
        record |= {
            "name": one.name,
            "windows": one.windows,
            "kept": len(at),
            "mse": one.mse,
            "bias": one.bias,
            "correlation": autocorrelation(one.first_residual, lags),
        }
        if (one.channel, one.series) in ahead:
            record["ahead"] = ahead[one.channel, one.series]
        series.append(record)
    return {
        "horizon": horizon,
        "period": period,
        "simple": forecasters.simple_name if forecasters.simple is not None else None,
        "of": len(errors),
        "windows": sum(e.windows for e in errors),
        "no_ahead": reason,
        "hardest": [{"name": e.name, "windows": e.windows, "mse": e.mse, "ratio": e.ratio} for e in hardest],
        "axes": axes,
        "series": series,
    }


def _selectable(horizon: int, levels: int) -> int:
    """Return how many series the page has room for: each takes about 450 bytes, and 5.3 for each of its numbers.

    These are actual values of three horizons, two forecasts and the one ahead, and two numbers a step for each level.
    """
    numbers = horizon * (6 + 2 * levels)
    return max(LEAST_SERIES, min(MOST_SERIES, int(_SERIES_BYTES / (450 + 5.3 * numbers))))


def _chosen(errors: Sequence[SeriesErrors], hardest: Sequence[SeriesErrors], most: int) -> list[SeriesErrors]:
    """Return the series to show, in their order: all, or the hardest and evenly spaced others."""
    if len(errors) <= most:
        return list(errors)
    named = {id(one) for one in hardest}
    others = [one for one in errors if id(one) not in named]
    kept = named | {id(others[i]) for i in evenly(len(others), most - len(named))}
    return [one for one in errors if id(one) in kept]


def _span(windows: Windows, positions: Positions, one: SeriesErrors) -> int:
    """Return how many rows the test windows of a series cover, with the rows before them that are drawn."""
    ends = positions[torch.tensor([one.start, one.start + one.windows - 1])]
    return int(ends[1] - ends[0]) + windows.horizon + _before(windows.horizon)


def _before(horizon: int) -> int:
    """Return how many rows before a window are drawn."""
    return max(2 * horizon, 24)


def _windows_record(
    windows: Windows,
    positions: torch.Tensor,
    forecasts: Sequence[NDArray[np.float32]],
    bands: Bands | None,
    axes: list[dict[str, Any]],
    *,
    whole: bool,
) -> dict[str, Any]:
    """Return the windows of one series at `positions` (k,): actual values, forecasts, residuals.

    Actual values are those at `axis` (T,). Window j begins at `starts[j]` of these, and its forecast is
    `forecast[j * H : (j + 1) * H]`. Rows are missing before those that `breaks` names. The interval of a level reaches
    from its forecast by `reach[level][step] * width[j]`.

    Args:
        windows: of all rows.
        positions: in ascending order.
        forecasts: (k, H) of the model, and of the simple forecast if there is one.
        bands: prediction intervals of the model.
        axes: of all series so far; series of the same times share one.
        whole: whether to keep every row between the windows, and some before the first.
    """
    data, horizon = windows.data, windows.horizon
    channel = int(positions[0]) // windows.rows
    first = (positions % windows.rows).numpy()
    if whole:
        begin = data.offsets[int(np.searchsorted(data.offsets, first[0], side="right")) - 1]
        rows = np.arange(max(begin, int(first[0]) - _before(horizon)), int(first[-1]) + horizon)
    else:
        rows = np.unique(first[:, None] + np.arange(horizon))
    actual = np.where(data.observed[channel, rows].numpy(), data.values[channel, rows].numpy(), np.nan)
    forecast = forecasts[0]
    record = {
        "axis": _share(axes, encode_times(data.times[rows])),
        "origin": data.origin[channel],
        "actual": pack(actual),
        "breaks": (np.flatnonzero(np.diff(rows) > 1) + 1).tolist(),
        "starts": pack(np.searchsorted(rows, first), "i4"),
        "forecast": pack(forecast.reshape(-1)),
        "bins": distribution(actual_values(windows, positions) - forecast),
    }
    if len(forecasts) > 1:
        record["simple"] = pack(forecasts[1].reshape(-1))
    if bands is not None:
        half = bands.half_widths()[:, channel]
        record["reach"] = {level_name(level): pack(one) for level, one in zip(bands.levels, half, strict=True)}
        record["width"] = pack(bands.units(windows, positions))
    return record


def _ahead(forecasters: Forecasters, windows: Windows) -> tuple[dict[tuple[int, int], dict[str, Any]], str | None]:
    """Return the forecast of what follows the data by target and series, or why there is none."""
    data, model, bands = windows.data, forecasters.model, forecasters.bands
    levels = () if bands is None else bands.levels
    try:
        frame = model.predict(data, level=levels) if levels else model.predict(data)
    except LstmTuneError as error:
        return {}, str(error)
    place = {name: s for s, name in enumerate(data.series)}
    ahead = data.extend_times(model.horizon)
    found = {}
    for name, rows in frame.groupby("series", sort=False):
        times = encode_times(ahead[place[str(name)]])
        for channel, column in enumerate(model.spec.forecast_columns):
            values = rows[column].to_numpy() - data.origin[channel]
            one = {"times": times, "values": pack(values)}
            if levels:
                ends = {n: rows[f"{column}-hi-{n}"].to_numpy() for n in map(level_name, levels)}
                one["reach"] = {n: pack(end - rows[column].to_numpy()) for n, end in ends.items()}
            found[channel, place[str(name)]] = one
    return found, None


def autocorrelation(residuals: NDArray[np.floating[Any]], lags: int) -> dict[str, Any] | None:
    """Return the autocorrelation of residuals (W,) at 1 to `lags`, and the 95% band of white noise around 0.

    Missing values are left out of the sums. None: there is nothing to correlate.
    """
    seen = ~np.isnan(residuals)
    count = int(seen.sum())
    if count < _LEAST_RESIDUALS or lags < 1:
        return None
    known = residuals.astype(np.float64)
    centred = np.where(seen, known - known[seen].mean(), 0.0)
    power = float(centred @ centred)
    if power <= 0:
        return None
    values = [float(centred[:-k] @ centred[k:]) / power for k in range(1, lags + 1)]
    return {"values": rounded_list(values, 4), "band": float(f"{1.96 / math.sqrt(count):.4g}")}


def distribution(residuals: NDArray[np.float64]) -> dict[str, Any] | None:
    """Return a histogram of residuals (any shape), with their mean and standard deviation; None if all are equal."""
    seen = residuals[~np.isnan(residuals)]
    if len(seen) < 2 or float(np.ptp(seen)) <= 1e-9 * float(np.abs(seen).max()):
        return None  # equal but for rounding
    counts, edges = np.histogram(seen, bins=int(min(60, max(8, math.sqrt(len(seen))))))
    return {
        "counts": counts.tolist(),
        "low": float(f"{edges[0]:.7g}"),
        "high": float(f"{edges[-1]:.7g}"),
        "mean": float(f"{seen.mean():.6g}"),
        "sd": float(f"{seen.std():.6g}"),
    }


def _lags(windows: int, period: int | None, series: int) -> int:
    wanted = max(24, 2 * period + 2 if period else 0)
    return min(wanted, windows // 3, _MOST_LAGS[0 if series <= 20 else 1])


def _share(axes: list[dict[str, Any]], axis: dict[str, Any]) -> int:
    """Return the place of an axis among those of all series; a new one is added."""
    if axis not in axes:
        axes.append(axis)
    return axes.index(axis)
