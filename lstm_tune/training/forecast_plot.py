"""The last rows of a series and the forecast that follows them, as a plotly figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lstm_tune.data.series import SeriesSet
from lstm_tune.data.time_labels import time_column
from lstm_tune.errors import UsageError
from lstm_tune.utils.decimals import widen
from lstm_tune.utils.escaping import printable
from lstm_tune.utils.text import did_you_mean, listed

if TYPE_CHECKING:
    import plotly.graph_objects

_LEAST_ROWS, _HORIZONS = 60, 6  # of history
_MARGIN = {"t": 50, "b": 40, "l": 50, "r": 20}
_ACTUAL, _FORECAST, _SHADE = "#5c6773", "#0072b2", "rgba(0,114,178,{:.2f})"


def forecast_plot(
    data: SeriesSet, forecast: pd.DataFrame, column: str, channel: int, name: str | None
) -> plotly.graph_objects.Figure:
    """Draw one target of one series. Forecast and intervals begin at the last observed value.

    Args:
        data: the history; rows without an observed value are gaps.
        forecast: as `ForecastModel.predict` returns it.
        column: that holds the forecast, and names its intervals.
        channel: number of the target.
        name: of the series; None: the first one that was forecast.

    Raises:
        UsageError: there is no such series, or it was not forecast.
    """
    import plotly.graph_objects as go

    known = list(dict.fromkeys(forecast["series"]))
    name = known[0] if name is None else name
    if name not in known:
        raise UsageError(f"no series {name!r} was forecast{did_you_mean(name, known)}; there are {listed(known, 10)}")
    ahead = forecast[forecast["series"] == name]
    start, end = data.offsets[data.series.index(name) :][:2]
    last = start + int(data.observed[channel, start:end].nonzero()[-1]) + 1
    rows = slice(max(start, last - max(_LEAST_ROWS, _HORIZONS * len(ahead))), last)
    seen = data.observed[channel, rows].numpy()
    values = np.where(seen, widen(data.values[channel, rows].numpy(), data.origin[channel]), np.nan)
    figure = go.Figure()
    times = time_column(np.asarray(data.times[rows]), data.zone)
    figure.add_scatter(x=times, y=values, mode="lines", name="observed", line={"color": _ACTUAL})
    levels = [c.rpartition("-")[2] for c in ahead.columns if c.startswith(f"{column}-lo-")]
    from_last = [times[-1], *ahead["time"]]  # so that a single step is a line, too

    def path(name: str) -> list[float]:
        return [values[-1], *ahead[name]]

    for i, level in enumerate(sorted(levels, key=float, reverse=True)):
        low, high = (path(f"{column}-{side}-{level}") for side in ("lo", "hi"))
        edge = {"x": from_last, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
        figure.add_scatter(y=low, showlegend=False, **edge)
        figure.add_scatter(y=high, fill="tonexty", fillcolor=_SHADE.format(0.15 + 0.1 * i), name=f"{level}%", **edge)
    figure.add_scatter(x=from_last, y=path(column), mode="lines", name="forecast", line={"color": _FORECAST})
    title = " ".join(filter(None, (printable(str(name)), printable(data.targets[channel]))))
    return figure.update_layout(template="plotly_white", title={"text": _escaped(title)}, height=340, margin=_MARGIN)


def _escaped(text: str) -> str:
    """Return a name that plotly shows as it is: it reads tags."""
    import html

    return html.escape(text[:80], quote=False)
