"""Intervals of a model: its networks are trained once more on the rows before each validation block, and forecast it.

The networks that are kept have seen the validation blocks, so their errors there say nothing about new rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from lstm_tune.data.folds import rolling_folds
from lstm_tune.data.split import Segment, Split
from lstm_tune.data.windows import Windows
from lstm_tune.errors import UsageError
from lstm_tune.evaluation.conformal import ErrorPool, Intervals, check_levels, pooled_scales
from lstm_tune.evaluation.recent_change import RecentChange
from lstm_tune.evaluation.score import Forecaster
from lstm_tune.models.forecaster import LSTMForecaster, MeanForecaster
from lstm_tune.models.preprocessing import Shape
from lstm_tune.models.recipe import Recipe
from lstm_tune.training.data_limits import usable_folds
from lstm_tune.training.refit import Refitted, every_row, refit_network
from lstm_tune.utils.process import available_cores

LSTM = "model"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Calibration:
    """The intervals of the model and, by the same method, of the forecasts without an LSTM."""

    model: Intervals
    simple: Mapping[str, Intervals]


def calibrate(
    network: MeanForecaster,
    recipe: Recipe,
    shape: Shape,
    windows: Windows,
    segments: Sequence[Segment],
    *,
    fit_simple: Callable[[Segment], Mapping[str, Forecaster]] = lambda segment: {},
    threads: int = 1,
    on_fold: Callable[[int, int], None] = lambda done, asked: None,
) -> Calibration:
    """Train a model's networks, of its first seed, on the rows before each block, and keep how far they are off in it.

    Args:
        network: the model.
        recipe: how it was trained.
        shape: horizon and season.
        windows: of the rows that the model is trained on; no later ones.
        segments: rows to fit on and rows to forecast, the newest first.
        fit_simple: returns other forecasters, by their names, fitted on the rows of a segment.
        threads: that share the training.
        on_fold: called with (blocks done, blocks asked).

    Raises:
        DataError: too few rows before a block.
        StudyError: every network diverged.
    """
    several = windows.data.n_series > 1
    pools: dict[str, ErrorPool] = {}
    share, change = _share(segments[0]), RecentChange(windows.data, shape.period)
    on_fold(0, len(segments))
    for done, segment in enumerate(segments, 1):
        refitted = refit_before(segment, network, recipe, shape, windows, threads)
        positions = windows.positions(segment.score, 0, reach_back=True)
        scales = pooled_scales(windows.data, segment.fit, shape.period)
        for name, forecaster in {LSTM: refitted, **fit_simple(segment)}.items():
            pool = pools.setdefault(name, ErrorPool(own_scale=several, folds=len(segments), share=share))
            pool.add(forecaster, windows, positions, scales, change)
        on_fold(done, len(segments))
    found = {name: pool.intervals() for name, pool in pools.items()}
    return Calibration(model=found.pop(LSTM), simple=found)


def refit_before(
    segment: Segment, network: MeanForecaster, recipe: Recipe, shape: Shape, windows: Windows, threads: int
) -> MeanForecaster:
    """Return a model's networks, of its first seed, trained on the rows before a block alone.

    Raises:
        DataError: too few rows.
        StudyError: every network diverged.
    """
    first = recipe.networks[0].seed
    chosen = [i for i, one in enumerate(recipe.networks) if one.seed == first]
    networks = [model for model in network.members if isinstance(model, LSTMForecaster)]
    alone = MeanForecaster([networks[i] for i in chosen], [network.weights[i] for i in chosen])
    recipe = replace(recipe, networks=tuple(recipe.networks[i] for i in chosen))
    refitted = refit_network(alone, recipe, shape, windows, segment.fit, threads=threads).network
    return refitted.to(windows.device)


def _share(segment: Segment) -> float:
    """Return the share of the rows that the newest block takes, of the rows up to its end."""
    block = sum(b - a for a, b in segment.score)
    return block / (block + sum(b - a for a, b in segment.fit))


def recalibrate(refitted: Refitted, shape: Shape, windows: Windows, before: Intervals) -> Intervals:
    """Return the intervals of a model that was trained again, from blocks at the end of its new rows.

    Args:
        refitted: the model.
        shape: horizon and season.
        windows: of the rows that it was trained on.
        before: its intervals before.
    """
    blocks, threads = _blocks_of(windows, before), available_cores() if windows.device.type == "cpu" else 1
    return calibrate(refitted.network, refitted.recipe, shape, windows, blocks, threads=threads).model


def _blocks_of(windows: Windows, intervals: Intervals) -> tuple[Segment, ...]:
    """Return the blocks at the end of new rows that take the same share of them as those of the study.

    Series that are too short for a block are left out.
    """
    train, val = [], []
    for start, end in every_row(windows.data):
        border = end - max(round((end - start) * intervals.share), windows.horizon)
        border = border if border - start > windows.horizon + 1 else end
        train.append((start, border))
        val.append((border, end))
    split = Split(train=tuple(train), val=tuple(val), test=tuple((end, end) for _, end in val))
    segments = rolling_folds(windows.data, split, intervals.folds, windows.horizon)
    return usable_folds(windows, segments)[0]


def check_windows(levels: Sequence[float], windows: Windows, segments: Sequence[Segment], period: int) -> None:
    """Refuse levels that the validation blocks cannot give, before anything is trained.

    Raises:
        UsageError: names the level, and how many rows would do.
    """
    total, rows = 0, sum(b - a for a, b in segments[0].score)
    for segment in segments:
        counts = windows.counts(windows.positions(segment.score, 0, reach_back=True))
        pooled = pooled_scales(windows.data, segment.fit, period).isfinite()
        total += int(torch.where(pooled, counts.cpu(), 0).sum(1).min())
    for level in levels:
        try:
            check_levels((level,), total)
        except UsageError as error:
            short = -(-(int(level / (100 - level)) + 1 - total) // len(segments))
            reason = str(error).partition(";")[0]
            raise UsageError(
                f"{reason}; give {rows + short:,} validation rows or more (there are {rows:,}), or ask for less"
            ) from None
