"""The last test rows of one series with forecasts side by side over them, as figures of a prompt and the dashboard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lstm_tune.data.time_labels import TimeStyle
from lstm_tune.data.windows import Positions, Windows
from lstm_tune.evaluation.conformal import level_name
from lstm_tune.evaluation.interval_score import Bands
from lstm_tune.evaluation.score import Forecaster, forecast_all
from lstm_tune.report.encoding import rounded_list
from lstm_tune.report.plot import Figure, figure, label, line
from lstm_tune.utils.escaping import printable

_ROWS = 240  # of the figure, at least two horizons
_DIGITS = 7  # of float32
_COLOURS = ("@forecast", "@worse", "@better")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LastRows:
    """The last test rows of the first target and series, R rows, in working units: original values minus `origin`.

    Attributes:
        labels: (R,) the rows' times.
        actual: (R,) NaN where no value was observed.
        forecasts: (R,) of each forecaster, by its name; NaN where none was made.
        reach: (R,) half the width of the first forecaster's intervals, by their levels, ascending.
        origin: to be added for original units.
        target: the column.
        series: the series; "": there is one.
        horizon: rows that one forecast covers.
    """

    labels: Sequence[str]
    actual: NDArray[np.float64]
    forecasts: dict[str, NDArray[np.float64]]
    reach: dict[str, NDArray[np.float64]]
    origin: float
    target: str
    series: str
    horizon: int


def last_rows(
    windows: Windows,
    positions: Positions,
    forecasters: Sequence[tuple[str, Forecaster]],
    bands: Bands | None = None,
) -> LastRows:
    """Forecast the last test rows, one horizon after the other.

    Args:
        windows: of all rows.
        positions: of the test windows.
        forecasters: to draw, with their names.
        bands: of the first one.
    """
    data, horizon = windows.data, windows.horizon
    channel, row = divmod(int(positions[:1]), windows.rows)
    series = int(np.searchsorted(data.offsets, row, side="right")) - 1
    own = positions.below(channel * windows.rows + data.offsets[series + 1])
    count = min(max(2, _ROWS // horizon), -(-own // horizon))
    chosen = positions[torch.arange(own - 1 - (count - 1) * horizon, own, horizon)].cpu()
    first, last = int(chosen[0]) % windows.rows, int(chosen[-1]) % windows.rows + horizon
    rows = (chosen.numpy()[:, None] % windows.rows + np.arange(horizon)).reshape(-1)

    def spread(made: Tensor) -> NDArray[np.float64]:
        found = np.full(last - first, np.nan)
        found[rows - first] = made.double().numpy().reshape(-1)
        return found

    reach = {}
    if bands is not None:
        units = bands.units(windows, chosen)[:, None]
        reach = {
            level_name(level): spread(half[channel] * units)
            for level, half in zip(bands.levels, bands.half_widths(), strict=True)
        }
    return LastRows(
        labels=TimeStyle.of(data.times, data.zone).labels(data.times[first:last]).tolist(),
        actual=np.where(data.observed[channel, first:last].numpy(), data.values[channel, first:last].numpy(), np.nan),
        forecasts={name: spread(forecast_all(network, windows, chosen)) for name, network in forecasters},
        reach=reach,
        origin=data.origin[channel],
        target=data.targets[channel],
        series=data.series[series],
        horizon=horizon,
    )


def forecast_figure(rows: LastRows) -> Figure:
    """Draw the actual values and the forecasts; all forecasts but the first appear on a click in the legend."""
    target = label(printable(rows.target, 60), 60)
    traces = [line(rows.labels, _raised(rows.actual, rows), "actual", "@muted", width=1.5)]
    for i, ((name, values), colour) in enumerate(zip(rows.forecasts.items(), _COLOURS, strict=False)):
        hidden = {"visible": "legendonly"} if i else {}
        traces.append(line(rows.labels, _raised(values, rows), name, colour, width=1.5) | hidden)
    return figure(traces, x={}, y={"title": target}, height=420)


def interval_figure(rows: LastRows) -> Figure:
    """Draw the actual values and the first forecast within its prediction intervals."""
    (name, forecast), *_ = rows.forecasts.items()
    target = label(printable(rows.target, 60), 60)
    traces = []
    for level, reach in reversed(rows.reach.items()):
        low, high = (_raised(forecast + side * reach, rows) for side in (-1, 1))
        edge = {"hoverinfo": "skip", "legendgroup": level}
        traces.append(line(rows.labels, low, "", "@band", width=0) | edge | {"showlegend": False})
        filled = {"fill": "tonexty", "fillcolor": "@band"}
        traces.append(line(rows.labels, high, f"{level}% interval", "@band", width=0) | edge | filled)
    traces.append(line(rows.labels, _raised(rows.actual, rows), "actual", "@muted", width=1.5))
    traces.append(line(rows.labels, _raised(forecast, rows), name, "@forecast", width=1.5))
    return figure(traces, x={}, y={"title": target}, height=420)


def residual_figure(rows: LastRows) -> Figure:
    """Draw what the first forecast misses: actual minus forecast."""
    target = label(printable(rows.target, 60), 60)
    missed = rounded_list(rows.actual - next(iter(rows.forecasts.values())), _DIGITS)
    trace = line(rows.labels, missed, "actual − forecast", "@forecast", width=1.5)
    return figure([trace], x={}, y={"title": f"actual − forecast ({target})", "zeroline": True}, height=420)


def title_of(rows: LastRows) -> str:
    """Return what the figure shows."""
    target, name = (label(printable(text, 60), 60) for text in (rows.target, rows.series))
    return f"{target}{f', {name}' if name else ''}: the last test rows, forecast {rows.horizon} at a time"


def _raised(values: NDArray[np.float64], rows: LastRows) -> list[float | None]:
    return [None if v is None else v + rows.origin for v in rounded_list(values, _DIGITS)]
