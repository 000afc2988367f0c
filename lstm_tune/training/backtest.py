"""Backtest: forecasts from several cutoffs, each made from the rows up to it alone, with and without refitting.

Letters: S series, C target columns, H horizon, K cutoffs, n windows (one for each column, series and cutoff).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lstm_tune.data.refill import head_refilled
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.time_labels import time_column
from lstm_tune.data.windows import Windows
from lstm_tune.errors import DataError
from lstm_tune.evaluation.given_forecasts import GivenForecaster
from lstm_tune.evaluation.score import Forecaster, Score, TargetScale, score
from lstm_tune.evaluation.significance import Comparison, TimeBlocks, compare
from lstm_tune.models.baselines import fit_baselines
from lstm_tune.models.forecaster import MeanForecaster
from lstm_tune.models.own_series import for_series
from lstm_tune.models.preprocessing import Shape
from lstm_tune.models.recipe import Recipe
from lstm_tune.models.rows_ahead import Ahead, batch_ahead
from lstm_tune.training.refit import every_row, refit_network
from lstm_tune.utils.decimals import widen
from lstm_tune.utils.text import counted

LSTM, NEVER = "LSTM", "LSTM-never"
# Names of the forecasts without an LSTM, as columns.
COLUMNS = {
    "ridge": "Ridge",
    "seasonal_naive": "SeasonalNaive",
    "persistence": "Persistence",
    "ets": "ETS",
    "combination": "Combination",
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Backtest:
    """Forecasts from several cutoffs, and what they cost.

    Attributes:
        frame: in long form: `unique_id`, `ds`, `cutoff`, `y`, and a column for each forecast, in original units.
        positions: of the windows (n,).
        scores: {column: score} over all windows.
        per_cutoff: {column: scaled MSE (K,) of each cutoff}, the earliest first; NaN: nothing was observed.
        gain: the MSE with refitting over that without, with its interval; None: nothing was refitted.
        better: cutoffs at which the refitted model was better; None: nothing was refitted.
        refits: times that the model was trained again.
        notes: sentences on what was left out.
    """

    frame: pd.DataFrame
    positions: Tensor
    scores: Mapping[str, Score]
    per_cutoff: Mapping[str, tuple[float, ...]]
    gain: Comparison | None
    better: int | None
    refits: int
    notes: tuple[str, ...]


def run_backtest(
    network: MeanForecaster,
    recipe: Recipe | None,
    shape: Shape,
    scale: TargetScale,
    known: Sequence[str],
    data: SeriesSet,
    *,
    n_windows: int,
    step_size: int,
    refit: int,
    threads: int = 1,
    on_window: Callable[[int, int], None] = lambda done, asked: None,
) -> Backtest:
    """Forecast from the last cutoffs of each series, seeing the rows up to the cutoff alone.

    Args:
        network: the model as it is.
        recipe: how to train it again; not needed without refits.
        shape: horizon, covariates, season.
        scale: of the scores.
        known: names of the series that the model was trained on, if there were several.
        data: all rows.
        n_windows: K, cutoffs of each series.
        step_size: rows from one cutoff to the next.
        refit: cutoffs from one refit to the next; 0: the model stays as it is.
        threads: that share a refit.
        on_window: called with (cutoffs done, cutoffs asked).

    Raises:
        DataError: too few rows for the earliest cutoff.
        StudyError: a refit failed.
    """
    horizon = shape.horizon
    ends = _ends(data, horizon, n_windows, step_size)
    current, trained, fitted = network, known, dict[str, Forecaster]()
    of_simple: tuple[str, ...] = ()
    cells: dict[str, list[Tensor]] = {}
    positions: list[int] = []
    cutoffs: list[int] = []
    notes: list[str] = []
    refits = 0
    for k in range(n_windows):
        chosen = [s for s in range(data.n_series) if ends[s][k] is not None]
        rows = [int(ends[s][k] or 0) for s in range(data.n_series)]
        seen = head_refilled(data, [end or start + 1 for end, start in zip(rows, data.offsets, strict=False)], chosen)
        due = bool(refit) and k % refit == 0
        if not k or due or seen.series != of_simple:
            windows = Windows(seen, horizon, period=shape.period)
            fitted = _fit_simple(windows, shape, scale.for_series(known, seen))
            of_simple = seen.series
            if due:
                assert recipe is not None
                own = replace(shape, series=seen.n_series) if shape.series > 1 else shape
                again = refit_network(network, recipe, own, windows, every_row(seen), threads=threads)
                current, trained, refits = again.network, seen.series, refits + 1
                notes += again.notes
        never = {NEVER: for_series(network, known, seen)} if refit else {}
        forecasters = {LSTM: for_series(current, trained, seen), **never, **fitted}
        at = [rows[s] for s in chosen]
        positions += [c * data.n_rows + row for c in range(data.n_channels) for row in at]
        cutoffs += [k] * len(at) * data.n_channels
        for name, forecast in _forecast(forecasters, _ahead(data, seen, at, horizon), shape.period).items():
            cells.setdefault(name, []).append(forecast)
        on_window(k + 1, n_windows)
    notes += _too_short(ends)
    made = {name: torch.cat(parts) for name, parts in cells.items()}
    return _judge(
        data,
        made,
        np.array(positions),
        np.array(cutoffs),
        shape,
        scale.for_series(known, data),
        step_size,
        refits,
        tuple(notes),
    )


def _ends(data: SeriesSet, horizon: int, n_windows: int, step_size: int) -> list[list[int | None]]:
    """Return, for each series and cutoff, the absolute row after the cutoff; None: the series is too short for it."""
    first = horizon + (n_windows - 1) * step_size
    found = [
        [end if (end := stop - first + k * step_size) > start + 1 else None for k in range(n_windows)]
        for start, stop in itertools.pairwise(data.offsets)
    ]
    if all(ends[0] is None for ends in found):
        most = max(b - a for a, b in itertools.pairwise(data.offsets))
        raise DataError(
            f"{counted(n_windows, 'window')}, {counted(step_size, 'row')} apart and {counted(horizon, 'row')} ahead: "
            f"this needs more than {counted(first + 1, 'row')}, but the longest series has {most}; ask for fewer "
            f"windows or a smaller step"
        )
    return found


def _too_short(ends: Sequence[Sequence[int | None]]) -> list[str]:
    """Return a note if some series have no forecast from the earliest cutoff."""
    short = sum(end[0] is None for end in ends)
    rest = "and are scored from later ones, if at all; ask for fewer windows to score all series alike"
    return [f"{short:,} of {len(ends):,} series are too short for the earliest cutoff {rest}"] if short else []


def _fit_simple(windows: Windows, shape: Shape, scale: TargetScale) -> dict[str, Forecaster]:
    """Return the forecasts that need no LSTM, by the names of their columns, fitted on all rows of some windows."""
    period = shape.period if shape.period > 1 else None
    rows = every_row(windows.data)
    fitted = fit_baselines(windows, rows, period=period, max_lookback=shape.smoothing, scale=scale)
    names = [*(n for n in COLUMNS if n in fitted), *(n for n in fitted if n not in COLUMNS)]
    return {COLUMNS.get(name, name): fitted[name] for name in names}


def _ahead(data: SeriesSet, seen: SeriesSet, rows: Sequence[int], horizon: int) -> Ahead:
    """Return the series up to their cutoffs with what is known of the rows after these."""
    after = [slice(row, row + horizon) for row in rows]
    return Ahead(
        series=seen,
        times=np.stack([np.asarray(data.times[a]) for a in after]),
        future=torch.stack([data.future[a] for a in after]),
        notes=(),
    )


@torch.inference_mode()
def _forecast(forecasters: Mapping[str, Forecaster], ahead: Ahead, period: int) -> dict[str, Tensor]:
    """Return what each forecasts after the cutoffs, (n, H): all series of the first target, then of the next."""
    channels = range(ahead.series.n_channels)
    return {
        name: torch.cat([forecaster(batch_ahead(ahead, c, forecaster.context, period)) for c in channels])
        for name, forecaster in forecasters.items()
    }


def _judge(
    data: SeriesSet,
    made: Mapping[str, Tensor],
    positions: np.ndarray,
    cutoffs: np.ndarray,
    shape: Shape,
    scale: TargetScale,
    step_size: int,
    refits: int,
    notes: tuple[str, ...],
) -> Backtest:
    """Put forecasts (n, H) by their names in the order of their windows, and score them.

    Args:
        data: all rows.
        made: the forecasts.
        positions: of their windows (n,).
        cutoffs: number of the cutoff (n,) of each.
        shape: horizon and season.
        scale: of the scores.
        step_size: rows from one cutoff to the next.
        refits: that were made.
        notes: on what was left out.
    """
    order = np.argsort(positions, kind="stable")
    positions, cutoffs = positions[order], cutoffs[order]
    windows, places = Windows(data, shape.horizon), torch.from_numpy(positions)
    made = {name: forecast[torch.from_numpy(order)] for name, forecast in made.items()}
    scores = {name: score(GivenForecaster(f), windows, places, scale) for name, f in made.items()}
    count = scores[LSTM].window_count
    counts = np.bincount(cutoffs, count)
    with np.errstate(invalid="ignore"):
        per_cutoff = {
            name: tuple((np.bincount(cutoffs, one.window_error) / counts).tolist()) for name, one in scores.items()
        }
    gain = better = None
    if refits:
        # Forecasts from cutoffs a horizon apart share no target.
        channel, row = np.divmod(positions, data.n_rows)
        group = channel * data.n_series + np.searchsorted(np.array(data.offsets), row, side="right") - 1
        blocks = TimeBlocks.cut(cutoffs * step_size, shape.horizon, group, windows.groups)
        gain = compare(scores[LSTM].window_error, scores[NEVER].window_error, count, blocks)
        better = sum(a < b for a, b in zip(per_cutoff[LSTM], per_cutoff[NEVER], strict=True))
    return Backtest(
        frame=long_frame(data, made, positions, shape.horizon),
        positions=places,
        scores=scores,
        per_cutoff=per_cutoff,
        gain=gain,
        better=better,
        refits=refits,
        notes=notes,
    )


def long_frame(data: SeriesSet, made: Mapping[str, Tensor], positions: np.ndarray, horizon: int) -> pd.DataFrame:
    """Return forecasts (n, H) by their names, of windows at positions (n,), in long form; see `Backtest.frame`."""
    channel, row = np.divmod(positions, data.n_rows)
    series = np.searchsorted(np.array(data.offsets), row, side="right") - 1
    names = [_unique_id(data, int(c), int(s)) for c, s in zip(channel, series, strict=True)]
    rows = row[:, None] + np.arange(horizon)
    origin = np.array(data.origin)[channel, None]
    seen = data.observed.numpy()[channel[:, None], rows]
    actual = np.where(seen, widen(data.values.numpy()[channel[:, None], rows], origin), np.nan)
    return pd.DataFrame(
        {
            "unique_id": np.repeat(np.array(names, dtype=object), horizon),
            "ds": time_column(np.asarray(data.times[rows.reshape(-1)]), data.zone),
            "cutoff": time_column(np.asarray(data.times[np.repeat(row - 1, horizon)]), data.zone),
            "y": actual.reshape(-1),
        }
        | {name: widen(forecast.numpy(), origin).reshape(-1) for name, forecast in made.items()}
    )


def _unique_id(data: SeriesSet, channel: int, series: int) -> str:
    """Return the name of a target of a series: the series', the target's, or both if there are several targets."""
    target = data.targets[channel]
    return " ".join(filter(None, (data.series[series], target if data.n_channels > 1 else ""))) or target
