"""What follows the last row of each series, as a frame in original units."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lstm_tune.data.series import SeriesSet
from lstm_tune.data.time_labels import time_column
from lstm_tune.errors import DataError
from lstm_tune.evaluation.conformal import Intervals, Placed, bounds, scales_of
from lstm_tune.evaluation.recent_change import RecentChange
from lstm_tune.evaluation.score import TargetScale
from lstm_tune.models.forecaster import MeanForecaster
from lstm_tune.models.rows_ahead import Ahead, batch_ahead
from lstm_tune.utils.decimals import widen
from lstm_tune.utils.text import counted

_AT_ONCE = 1024  # series: bounds memory
_NAMED = 3  # series, in a sentence


def forecast_ahead(
    network: MeanForecaster,
    ahead: Ahead,
    targets: Sequence[str],
    period: int,
    *,
    scale: TargetScale,
    intervals: Intervals | None = None,
    levels: Sequence[float] = (),
) -> pd.DataFrame:
    """Forecast the rows that follow each series.

    Args:
        network: the model.
        ahead: the series, and what is known of the rows after them.
        targets: names of the columns that hold the forecasts, see `DataSpec.forecast_columns`.
        period: rows in a season; 1: there is none.
        scale: of these series.
        intervals: around the forecasts.
        levels: of the intervals that are wanted, in percent.

    Returns:
        One row for each series and step: `time`, `series`, `step` (1 to H) and a column for each target, followed by
        `TARGET-lo-80`, `TARGET-hi-80`, … for each level.

    Raises:
        DataError: a forecast is no finite number.
    """
    series, horizon = ahead.series, ahead.times.shape[1]
    columns: dict[str, Any] = {
        "time": time_column(ahead.times.reshape(-1), series.zone),
        "series": np.repeat(np.array(series.series, dtype=object), horizon),
        "step": np.tile(np.arange(1, horizon + 1), series.n_series),
    }
    network.eval()
    for c, target in enumerate(targets):
        with torch.inference_mode():
            some = torch.split(torch.arange(series.n_series), _AT_ONCE)
            parts = [network(batch_ahead(ahead, c, network.context, period, chosen)) for chosen in some]
        columns[target] = widen(torch.cat(parts).numpy(), series.origin[c]).reshape(-1)
        for level in levels if intervals is not None else ():
            assert intervals is not None
            reach = intervals.half_width(level)[c].double() * _units(series, period, intervals, scale, c)[:, None]
            columns |= bounds(columns[target], reach.numpy().reshape(-1), target, level)
    frame = pd.DataFrame(columns)
    wrong = ~np.isfinite(frame[list(targets)].to_numpy(dtype=np.float64)).all(axis=1)
    if wrong.any():  # the network has met values far outside of all that it was trained on
        name = frame["series"][wrong].iloc[0]
        raise DataError(
            f"the forecast{f' of series {name!r}' if name else ''} is no finite number: the last {network.context} "
            f"rows hold values far outside of all that it was trained on; correct them, or leave them empty"
        )
    return frame


def _units(series: SeriesSet, period: int, intervals: Intervals, scale: TargetScale, channel: int) -> Tensor:
    """Return what the widths of the intervals of a target are multiplied by, (S,)."""
    scales = torch.ones(series.n_channels, series.n_series, dtype=torch.float64)
    if intervals.own_scale:
        spread = scale.groups(series.n_series)[1].reshape(scales.shape)
        scales = scales_of(series, tuple(itertools.pairwise(series.offsets)), period, spread)
    start, end = (torch.tensor(rows) for rows in (series.offsets[:-1], series.offsets[1:]))
    channels = torch.full_like(end, channel)
    change = RecentChange(series, period).before(channels, end, start)
    return intervals.units(Placed(channels, scales[channel], change))


def short_series(series: SeriesSet, lookback: int) -> tuple[str, ...]:
    """Return a sentence on series with fewer rows than a model looks back on."""
    rows = np.diff(series.offsets)
    short = [series.series[s] for s in np.flatnonzero(rows < lookback)]
    if not short:
        return ()
    if len(short) == 1:
        which = f"series {short[0]!r} has" if short[0] else "the data have"
        many = f"{counted(int(rows.min()), 'row')}, but the model looks back on {lookback}"
        return (f"{which} {many}: they were continued into the past",)
    shown = ", ".join(map(repr, short[:_NAMED])) + (", …" if len(short) > _NAMED else "")
    return (
        f"{len(short):,} of {series.n_series:,} series have fewer rows than the {lookback} that the model looks back "
        f"on ({shown}): they were continued into the past",
    )
