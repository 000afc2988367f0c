"""The last rows of each series, and what is known of those that follow: what a forecast of the future sees."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lstm_tune.data.calendar_features import calendar_features
from lstm_tune.data.even_times import Times
from lstm_tune.data.holidays import holiday_features
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.time_labels import TimeStyle
from lstm_tune.data.windows import Batch, continued_rows
from lstm_tune.errors import DataError
from lstm_tune.utils.text import counted


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Ahead:
    """The series that can be forecast, cut after their last observed row, and the rows to forecast.

    Letters: S series, H horizon, F future covariates (holidays and the calendar included).
    """

    series: SeriesSet
    times: Times  # (S, H)
    future: Tensor  # (S, H, F)
    notes: tuple[str, ...]


def rows_ahead(data: SeriesSet, horizon: int, own: int) -> Ahead:
    """Cut each series after its last observed target, and find what is known of the `horizon` rows after that.

    The future covariates of these rows must be there, every one of them: a plan with a hole is no plan. More rows than
    the horizon may be there; series may have different numbers of them. A series without its plan is left out.

    Args:
        data: loaded with `keep_ahead`.
        horizon: H, rows to forecast.
        own: future covariates that change from row to row and are columns of the data; static ones, holidays
            and the calendar follow them.

    Raises:
        DataError: no series is left; the text says why.
    """
    observed = data.observed.any(dim=0)
    bounds = list(itertools.pairwise(data.offsets))
    ends = [start + int(observed[start:end].nonzero()[-1]) + 1 for start, end in bounds]
    reasons = {}
    for s, (last, (_, end)) in enumerate(zip(ends, bounds, strict=True)):
        reason = _hole(data, last, end, horizon, own)
        if reason:
            reasons[s] = reason
    if len(reasons) == data.n_series:
        named = f"series {data.series[0]!r}: " if data.series[0] else ""
        raise DataError(f"{named}{reasons[0]}; add rows with these values and empty targets")
    notes = tuple(f"series {data.series[s]!r} was not forecast: {reason}" for s, reason in reasons.items())
    kept = [s for s in range(data.n_series) if s not in reasons]
    cut = data.head(ends).only(kept)
    times = cut.extend_times(horizon)
    plan = [data.future[ends[s] : ends[s] + horizon, :own] for s in kept]
    columns = torch.stack(plan) if own else torch.zeros(*times.shape, 0)
    newest = torch.tensor(cut.offsets[1:]) - 1
    static = cut.future[newest, own : own + len(cut.static_names)][:, None].expand(-1, horizon, -1)
    return Ahead(series=cut, times=times, future=_with_calendar(cut, times, [columns, static]), notes=notes)


def _hole(data: SeriesSet, last: int, end: int, horizon: int, own: int) -> str:
    """Return why the plan of a series, rows [last, end), does not cover the horizon; "": it does."""
    if not own:
        return ""
    names = ", ".join(data.future_names[:own])
    if end - last < horizon:
        need = counted(horizon, "row")
        return f"the forecast needs {need} of known {names} after the last target, but there are {end - last}"
    if data.future_seen is None:
        return ""
    missing = (~data.future_seen[last : last + horizon, :own]).nonzero()
    if not len(missing):
        return ""
    row, column = missing[0].tolist()
    at = data.times[last + row : last + row + 1]
    label = TimeStyle.of(at, data.zone).labels(at)[0]
    return f"{data.future_names[column]} is missing at {label}, and at {len(missing)} places of the rows to forecast"


def _with_calendar(data: SeriesSet, times: Times, columns: list[Tensor]) -> Tensor:
    """Return future covariates (S, H, F): the columns, each (S, H, n), holidays and calendar of the stamps."""
    if data.holidays is not None:
        free = holiday_features(times.reshape(-1), data.freq, data.zone, data.holidays)
        columns = [*columns, torch.from_numpy(free.reshape(*times.shape, -1))]
    if data.calendar:
        features = np.stack([calendar_features(stamps, data.freq)[0] for stamps in times])
        columns = [*columns, torch.from_numpy(features)]
    return torch.cat(columns, dim=2)


def batch_ahead(ahead: Ahead, channel: int, context: int, period: int, chosen: Tensor | None = None) -> Batch:
    """Return the window before the rows to forecast of each series: B = S windows, X = `context` rows.

    A series with fewer rows is continued into the past; see `continued_rows`.

    Args:
        ahead: the series.
        channel: column of the targets.
        context: rows that the model looks back on.
        period: rows in a season; 1: there is none.
        chosen: numbers of the series (B,); None: all.
    """
    data = ahead.series
    chosen = torch.arange(data.n_series) if chosen is None else chosen
    offsets = torch.tensor(data.offsets)
    rows = continued_rows(offsets[chosen], offsets[chosen + 1], context, period)
    return Batch(
        history=data.values[channel][rows],
        target=torch.zeros(len(chosen), ahead.times.shape[1]),
        observed=None,
        past=data.past[rows],
        future=torch.cat([data.future[rows], ahead.future[chosen]], dim=1),
        channel=torch.full((len(chosen),), channel),
        group=channel * data.n_series + chosen,
    )
