"""What each input of a model is worth: how much its MSE grows if the input is replaced by that of other times.

Permutation importance (Breiman 2001; Fisher, Rudin and Dominici 2019) of whole blocks: a window keeps all but one of
its inputs, and takes that one, all rows of it together, from a window at another time of the same series. Of the
lookback it takes the pattern and not the level: values are moved to the level of the window, so that a series whose
level wanders does not make every row seem indispensable.

Letters: n windows, X context, P past and F future covariates, B blocks of time, G groups (columns times series).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit
from torch import Tensor

from lstm_tune.data.split import Ranges
from lstm_tune.data.windows import Batch, Windows
from lstm_tune.evaluation.score import Forecaster, TargetScale
from lstm_tune.evaluation.significance import TimeBlocks, relative_change

Floats = NDArray[np.float64]

CALENDAR = "calendar"
HOLIDAYS = "holidays"
KINDS = ("past", "future", "calendar", "lookback")
_SHUFFLES = 5
_MOST_WINDOWS = 2_000  # of a block of rows
_CHUNK = 512  # windows at once: bounds memory
_FEW = 7  # rows: the newest ones that are looked at by themselves
_SURE = 0.99


@dataclass(frozen=True, kw_only=True, slots=True)
class Input:
    """A part of what a model sees.

    Attributes:
        name: of a column, "holidays", "calendar", or of a part of the lookback.
        kind: one of `KINDS`.
        first: first column, of past or future covariates; of the lookback the newest row, counted back from 0.
        end: the column, or row, after the last one.
    """

    name: str
    kind: str
    first: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Importance:
    """What an input is worth; the column names are those of AutoGluon.

    Attributes:
        input: which.
        importance: by what share the MSE grows without the input: 0.25 is 25% more.
        stdev: its standard deviation over the blocks of time; NaN: there is one block alone.
        p_value: of the hypothesis that it is not above 0 (one-sided t test over the blocks).
        n: blocks of time.
        p99_low: lower end of the 99% interval.
        p99_high: upper end.
    """

    input: Input
    importance: float
    stdev: float
    p_value: float
    n: int
    p99_low: float
    p99_high: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ScoredRows:
    """Rows on which inputs are replaced, and the model that is looked at there."""

    forecaster: Forecaster
    windows: Windows
    rows: Ranges  # whose windows are scored
    scale: TargetScale


def inputs_of(
    past: Sequence[str], future: Sequence[str], static: int, stamps: tuple[int, int], context: int, period: int
) -> list[Input]:
    """Return the inputs of a model: each covariate, holidays, the calendar, and the parts of the lookback.

    Static covariates are left out: other times have the same.

    Args:
        past: names of past covariates.
        future: names of future ones that are columns of the data.
        static: number of static ones, which follow these.
        stamps: columns of holidays and of the calendar, which follow these; 0: none.
        context: X, rows that the model looks back on.
        period: rows of a season; 1: none.
    """
    columns = [Input(name=name, kind="past", first=i, end=i + 1) for i, name in enumerate(past)]
    columns += [Input(name=name, kind="future", first=i, end=i + 1) for i, name in enumerate(future)]
    first = len(future) + static
    for name, width in zip((HOLIDAYS, CALENDAR), stamps, strict=True):
        if width:
            columns.append(Input(name=name, kind="calendar", first=first, end=first + width))
        first += width
    season = max(_FEW, period)
    borders = [("newest row", 0, 1), (f"rows 2 to {_FEW}", 1, _FEW)]
    borders += [(f"rows {_FEW + 1} to {season} (one season)", _FEW, season)] if season > _FEW else []
    borders += [("older rows", season, context)]
    parts = [(name, first, min(end, context)) for name, first, end in borders]
    return columns + [Input(name=n, kind="lookback", first=a, end=b) for n, a, b in parts if b > a]


def input_importance(inputs: Sequence[Input], scored: Sequence[ScoredRows], period: int) -> list[Importance]:
    """Return what each input is worth, in the order of the inputs.

    A window takes an input from another one of the same column and series, up to the end of the scored rows, drawn at
    random, five times over.

    Args:
        inputs: of the model.
        scored: rows, each with a model that was not fitted on them, or with the one model to look at.
        period: rows of a season; 1: none.
    """
    own, counts, blocks = [], [], []
    replaced: dict[Input, list[Floats]] = {one: [] for one in inputs}
    for part in scored:
        positions = part.windows.sample(
            part.windows.positions(part.rows, part.forecaster.context, reach_back=True), _MOST_WINDOWS
        )
        if not len(positions):
            continue
        errors, count = _errors(part, positions, None, positions)
        own.append(errors)
        counts.append(count)
        blocks.append(TimeBlocks.of(part.windows, positions, part.rows, period))
        donors = _donors(part, positions)
        for one in inputs:
            replaced[one].append(np.mean([_errors(part, positions, one, d)[0] for d in donors], axis=0))
    together = TimeBlocks.join(blocks)
    before, count = np.concatenate(own), np.concatenate(counts)
    return [_importance(one, np.concatenate(errors), before, count, together) for one, errors in replaced.items()]


def _importance(one: Input, errors: Floats, before: Floats, count: Floats, blocks: TimeBlocks) -> Importance:
    change, error, n = relative_change(errors, before, count, blocks)
    low, high, p = np.nan, np.nan, np.nan
    if n > 1:
        reach = float(stdtrit(n - 1, (1 + _SURE) / 2)) * error
        low, high = change - reach, change + reach
        p = float(stdtr(n - 1, -change / error)) if error > 0 else float(change <= 0)
    return Importance(
        input=one,
        importance=change,
        stdev=error * n**0.5 if n > 1 else np.nan,
        p_value=p,
        n=n,
        p99_low=low,
        p99_high=high,
    )


def _donors(part: ScoredRows, positions: Tensor) -> list[Tensor]:
    """Return, for each shuffle, the windows (n,) of the same column and series that an input is taken from."""
    windows, data = part.windows, part.windows.data
    generator = torch.Generator().manual_seed(0)
    before = tuple((start, end) for start, (_, end) in zip(data.offsets, part.rows, strict=False))
    every = windows.positions(before, part.forecaster.context, reach_back=True)[:].cpu()
    place = positions.cpu()
    groups = _group(windows, place)
    pools = _group(windows, every)
    found = [place.clone() for _ in range(_SHUFFLES)]
    for group in torch.unique(groups):
        mine, pool = (groups == group).nonzero()[:, 0], every[pools == group]
        for one in found if len(pool) else ():
            one[mine] = pool[torch.randint(len(pool), (len(mine),), generator=generator)]
    return [one.to(windows.device) for one in found]


def _group(windows: Windows, positions: Tensor) -> Tensor:
    """Return the number of the column and series (n,) of windows."""
    channel = torch.div(positions, windows.rows, rounding_mode="floor")
    series = torch.searchsorted(torch.tensor(windows.data.offsets), positions - channel * windows.rows, right=True) - 1
    return channel * windows.data.n_series + series


@torch.inference_mode()
def _errors(part: ScoredRows, positions: Tensor, one: Input | None, donors: Tensor) -> tuple[Floats, Floats]:
    """Return the squared scaled errors (n,) of windows, one input taken from the donors, and their observed targets."""
    windows, context = part.windows, part.forecaster.context
    sd = torch.tensor(part.scale.groups(windows.data.n_series)[1], device=windows.device)
    errors, counts = [], []
    for start in range(0, len(positions), _CHUNK):
        batch = windows.gather(positions[start : start + _CHUNK], context)
        target = batch.target.double()
        if one is not None:
            batch = _take(batch, windows.gather(donors[start : start + _CHUNK], context), one)
        seen = torch.ones_like(target) if batch.observed is None else batch.observed.double()
        error = (part.forecaster(batch).double() - target) * seen
        errors.append((error.square().sum(1) / sd[batch.group] ** 2).cpu())
        counts.append(seen.sum(1).cpu())
    return torch.cat(errors).numpy(), torch.cat(counts).numpy()


def _take(batch: Batch, other: Batch, one: Input) -> Batch:
    """Return the windows with one input of other windows."""
    if one.kind == "lookback":
        rows = slice(batch.history.shape[1] - one.end, batch.history.shape[1] - one.first)
        history = batch.history.clone()
        history[:, rows] = _moved(other.history, batch.history)[:, rows]
        return replace(batch, history=history)
    name = "past" if one.kind == "past" else "future"
    columns = getattr(batch, name).clone()
    columns[:, :, one.first : one.end] = getattr(other, name)[:, :, one.first : one.end]
    return replace(batch, **{name: columns})


def _moved(history: Tensor, to: Tensor) -> Tensor:
    """Return histories (n, X) moved to the mean of others: by a factor if both are above 0, so that they stay so."""
    mean, wanted = history.mean(1, keepdim=True), to.mean(1, keepdim=True)
    positive = (history > 0).all(1, keepdim=True) & (to > 0).all(1, keepdim=True)
    return torch.where(positive, history * (wanted / torch.where(positive, mean, 1.0)), history + (wanted - mean))


def importance_frame(found: Sequence[Importance]) -> pd.DataFrame:
    """Return importances as a table, by the names of the inputs: covariates first, those first that matter most."""
    covariates = sorted((f for f in found if f.input.kind != "lookback"), key=lambda f: -f.importance)
    ranked = [*covariates, *(f for f in found if f.input.kind == "lookback")]
    columns = ("importance", "stdev", "p_value", "n", "p99_low", "p99_high")
    return pd.DataFrame(
        {column: [getattr(f, column) for f in ranked] for column in columns},
        index=pd.Index([f.input.name for f in ranked], name="input"),
    )
