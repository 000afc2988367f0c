"""A frame as the laws see it: series on an even grid, their holes, their split, their windows. NumPy and loops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

Array = np.ndarray[Any, Any]
Rows = tuple[int, int]  # [first, end)


@dataclass(frozen=True, kw_only=True, slots=True)
class OneSeries:
    """A series of n rows on its grid; holes hold the last value before them."""

    name: str
    times: Array  # (n,) datetime64, or row numbers
    values: Array  # (C, n)
    seen: Array  # (C, n) False where the value was filled in
    past: Array  # (n, P)
    future: Array  # (n, F)
    placed: Array  # (r,) the row on the grid of each row of the frame

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """All series of a frame, sorted by name."""

    series: tuple[OneSeries, ...]
    targets: tuple[str, ...]
    missing: dict[str, int]  # per target: values missing in the frame
    period: int = 7  # rows in the season by which short series are continued into the past

    def group(self, window: Window) -> int:
        """Return the number of a window's target column and series: that of the column, if there is one series."""
        return window.channel * len(self.series) + window.series


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """One window of one target column: where its first target stands, and what may be looked at."""

    channel: int
    series: int
    row: int  # of the first target, in its series


def read_table(
    frame: pd.DataFrame,
    *,
    target: str | Sequence[str] = "y",
    id: str | None = None,
    past: Sequence[str] = (),
    future: Sequence[str] = (),
    static: Sequence[str] = (),
    calendar: bool = False,
    time: str = "date",
    freq: str = "D",
) -> Table:
    """Lay a frame on its grid, series by series; the names are those of `tune`.

    Words become their places, from 1, in the sorted words of their column: each of them is in the train rows.
    """
    frame = frame.copy()
    for name in (*past, *future, *static):
        if frame[name].dtype == object or str(frame[name].dtype) in ("str", "string"):
            frame[name] = frame[name].map({word: i + 1 for i, word in enumerate(sorted(set(frame[name])))})
    targets = [target] if isinstance(target, str) else list(target)
    groups = [("", frame)] if id is None else sorted((str(key), part) for key, part in frame.groupby(id))
    series = []
    for name, part in groups:
        rows = part.set_index(pd.to_datetime(part[time])).sort_index() if time in part else part
        placed = np.arange(len(rows))
        if time in part:
            rows.index = rows.index.round(freq)
            placed = ((rows.index - rows.index[0]) // pd.Timedelta(1, freq)).to_numpy()
            rows = rows[~rows.index.duplicated()]
            rows = rows.reindex(pd.date_range(rows.index[0], rows.index[-1], freq=freq))
        known = rows[targets].notna().to_numpy().T
        times = rows.index.to_numpy().astype("datetime64[s]") if time in part else np.arange(len(rows))
        ahead = _filled(rows, (*future, *static))
        if calendar:
            ahead = np.concatenate([ahead, _daily_calendar(times)], axis=1)
        series.append(
            OneSeries(
                name=name,
                times=times,
                values=_filled(rows, targets).T,
                seen=known,
                past=_filled(rows, past),
                future=ahead,
                placed=placed,
            )
        )
    return Table(series=tuple(series), targets=tuple(targets), missing={t: int(frame[t].isna().sum()) for t in targets})


def _filled(rows: pd.DataFrame, names: Sequence[str]) -> Array:
    """Return some columns (n, K), holes filled with the last value before them, leading ones with the first."""
    return rows[list(names)].astype(float).ffill().bfill().to_numpy()


def _daily_calendar(times: Array) -> Array:
    """Return sine and cosine of the place in the week and in the year, (n, 4), for rows of whole days."""
    stamps = pd.DatetimeIndex(times)
    turns = [stamps.day_of_week.to_numpy() / 7, (stamps.day_of_year.to_numpy() - 1) / 365.25]
    return np.stack([wave(2 * np.pi * turn) for turn in turns for wave in (np.sin, np.cos)], axis=1)


def split_of(series: OneSeries, table: Table, split: Sequence[float] | str) -> tuple[Rows, Rows, Rows]:
    """Return train, validation and test rows of a series, counted in its rows in the frame.

    Several dated series are cut at the same dates if fractions are asked for. Rows of the grid that the frame lacks
    belong to the part of the row after them.
    """
    rows = len(series.placed)
    dates = sorted(series.times[series.placed])
    if isinstance(split, str) and split.startswith("last:"):
        n_val, n_test = (int(part) for part in split[5:].split(","))
        ends = [rows - n_val - n_test, rows - n_test, rows]
    elif isinstance(split, str):
        ends = [*(sum(date < np.datetime64(part) for date in dates) for part in split.split(",")), rows]
    elif all(float(part).is_integer() for part in split):
        ends = np.cumsum([int(part) for part in split]).tolist()
    elif len(table.series) > 1 and series.times.dtype.kind == "M":
        every = sorted({date for one in table.series for date in one.times[one.placed]})
        at = [every[round(len(every) * share)] for share in (split[0], split[0] + split[1])]
        ends = [*(sum(date < border for date in dates) for border in at), rows]
    else:
        n_train = round(rows * split[0])
        ends = [n_train, n_train + round(rows * split[1]), rows]
    a, b, c = (len(series) if count >= rows else int(series.placed[count - 1]) + 1 for count in ends)
    return (0, a), (a, b), (b, c)


def windows_of(table: Table, rows: Sequence[Rows], horizon: int, context: int, *, reach_back: bool) -> Iterator[Window]:
    """Yield the windows whose targets lie in `rows` (one range a series) and hold one observed value at least.

    `reach_back`: whether what is looked at may lie before the range, as it may for scored rows. Of several series, a
    short one makes do with fewer rows: with half of those to fit on, or with what leaves room for one window to score.
    """
    for channel in range(len(table.targets)):
        for s, (series, (first, end)) in enumerate(zip(table.series, rows, strict=True)):
            needed = context
            if len(table.series) > 1 and (context or reach_back):
                most = end - horizon if reach_back else (end - first - horizon) // 2
                needed = max(1, min(context, most))
            for row in range(first, end - horizon + 1):
                if row - needed < (0 if reach_back else first):
                    continue
                if series.seen[channel, row : row + horizon].any():
                    yield Window(channel=channel, series=s, row=row)


def rows_before(table: Table, window: Window, context: int) -> list[int]:
    """Return the `context` rows before a window's first target; before its series, the oldest season comes again."""
    row = window.row
    season = table.period if row >= table.period else 1
    return [r if r >= 0 else r % season for r in range(row - context, row)]


def history_of(table: Table, window: Window, context: int) -> Array:
    """Return the `context` values before a window's first target."""
    return table.series[window.series].values[window.channel, rows_before(table, window, context)]


def target_of(table: Table, window: Window, horizon: int) -> tuple[Array, Array]:
    """Return a window's targets (H,), and which of them were observed."""
    series, rows = table.series[window.series], slice(window.row, window.row + horizon)
    return series.values[window.channel, rows], series.seen[window.channel, rows]


def observed_values(table: Table, rows: Sequence[Rows], channel: int) -> Array:
    """Return the observed values of a target column in some rows of all series."""
    return np.concatenate([own_values(table, rows, channel * len(table.series) + s) for s in range(len(table.series))])


def own_values(table: Table, rows: Sequence[Rows], group: int) -> Array:
    """Return the observed values of one target column and series, see `Table.group`, in its rows."""
    channel, number = divmod(group, len(table.series))
    series, (a, b) = table.series[number], rows[number]
    return series.values[channel, a:b][series.seen[channel, a:b]]
