"""Every number of a run folder, recomputed from the frame and the saved weights by a second, independent program.

It shares no code with the package: it reads the frame by pandas, the weights by hand, and does the rest in NumPy and
loops. The modules `oracle_…` beside it hold the parts; each `check_…` of `oracle_checks`, `oracle_trials` and
`oracle_statistics` compares one part of the folder and fails with the name of the number that differs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import oracle_baselines as simple
import pytest
from oracle_data import Array, Rows, Table, Window, history_of, observed_values, split_of, target_of, windows_of
from oracle_model import SavedModel, context_of, forecast, load_model

CLOSE = 3e-4  # relative: the package computes in float32
NAIVE = ("persistence", "seasonal_naive")


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A run folder, the table that it was made from, and how it was asked for."""

    folder: Path
    table: Table
    study: optuna.Study
    split: Sequence[float] | str
    folds: int = 1
    period: int | None = 7  # the season that is in the data
    frame_rows: int = 0  # rows of the frame; 0: as many as the table has

    @cached_property
    def record(self) -> dict[str, Any]:
        """What `result.json` holds."""
        record: dict[str, Any] = json.loads((self.folder / "result.json").read_text())
        return record

    @cached_property
    def model(self) -> SavedModel:
        """The saved model."""
        return load_model(self.folder / "model")

    @property
    def horizon(self) -> int:
        """Rows of a forecast."""
        return self.model.horizon

    @cached_property
    def parts(self) -> dict[str, list[Rows]]:
        """Rows of "train", "val", "test" and "fit" (train and validation) of each series."""
        cut = [split_of(series, self.table, self.split) for series in self.table.series]
        train, val, test = ([c[i] for c in cut] for i in range(3))
        return {
            "train": train,
            "val": val,
            "test": test,
            "fit": [(a[0], b[1]) for a, b in zip(train, val, strict=True)],
        }

    @cached_property
    def sd(self) -> Array:
        """Standard deviation of each target's observed train rows."""
        return np.array([observed_values(self.table, self.parts["train"], c).std() for c in range(self.channels)])

    @property
    def channels(self) -> int:
        """Number of target columns."""
        return len(self.table.targets)

    @cached_property
    def context(self) -> int:
        """Rows that the longest member looks back on."""
        return max(context_of(m.params, self.model.period) for m in self.model.members)

    @cached_property
    def test(self) -> list[Window]:
        """The test windows, in the order of `forecast.csv`."""
        return list(windows_of(self.table, self.parts["test"], self.horizon, 0, reach_back=True))

    @cached_property
    def test_times(self) -> Array:
        """Time of the first target of each test window in steps of the grid; rows since the test rows began."""
        of, first = self.table.series, [a for a, _ in self.parts["test"]]
        if np.issubdtype(of[0].times.dtype, np.integer):
            return np.array([w.row - first[w.series] for w in self.test])
        step = of[0].times[1] - of[0].times[0]
        return np.array([int((of[w.series].times[w.row] - of[0].times[0]) // step) for w in self.test])

    def tested(self, ahead: Array) -> Errors:
        """Compare forecasts (n, H) of the test windows with the targets."""
        return Errors.of(self, self.test, ahead)

    @cached_property
    def ahead(self) -> Array:
        """The ensemble's forecasts (n, H) of the test windows."""
        return self.forecast_of(self.model, self.test)

    def forecast_of(self, model: SavedModel, windows: Sequence[Window]) -> Array:
        """Return a model's forecasts (n, H) of some windows."""
        result = np.empty((len(windows), self.horizon))
        for channel in range(self.channels):
            index = [i for i, w in enumerate(windows) if w.channel == channel]
            if index:
                seen = self.seen_by([windows[i] for i in index], self.context)
                result[index] = forecast(model, *seen, channel)
        return result

    def seen_by(self, windows: Sequence[Window], context: int) -> tuple[Array, Array, Array]:
        """Return histories (n, X), past (n, X, P) and future covariates (n, X + H, F) of some windows."""
        of = self.table.series
        history = np.stack([history_of(self.table, w, context) for w in windows])
        past = np.stack([of[w.series].past[w.row - context : w.row] for w in windows])
        future = np.stack([of[w.series].future[w.row - context : w.row + self.horizon] for w in windows])
        return history, past, future

    def baseline(self, name: str, windows: Sequence[Window], fit: Sequence[Rows], shortest: int) -> Array:
        """Return the forecasts (n, H) of a baseline that is fitted on the rows `fit`."""
        period = self.period or 1
        if name == "persistence":
            return np.stack([np.repeat(history_of(self.table, w, 1), self.horizon) for w in windows])
        if name == "seasonal_naive":
            return simple.seasonal(np.stack([history_of(self.table, w, period) for w in windows]), period, self.horizon)
        context = simple.ridge_lookback(shortest, self.horizon, self.period)
        weight, bias = self._ridge(fit, context)
        result = []
        for w in windows:
            history, sd = history_of(self.table, w, context), self.sd[w.channel]
            result.append(history[-1] + sd * (weight @ ((history - history[-1]) / sd) + bias))
        return np.stack(result)

    def _ridge(self, fit: Sequence[Rows], context: int) -> tuple[Array, Array]:
        x, y, usable = [], [], []
        for w in windows_of(self.table, fit, self.horizon, context, reach_back=False):
            history, (target, seen) = history_of(self.table, w, context), target_of(self.table, w, self.horizon)
            x.append((history - history[-1]) / self.sd[w.channel])
            y.append((target - history[-1]) / self.sd[w.channel])
            usable.append(seen.all())
        return simple.fit_ridge(np.array(x), np.array(y), np.array(usable))

    @cached_property
    def shortest_fit(self) -> int:
        """Rows of the shortest stretch that a fold of a trial fits on."""
        return min(b - a - (self.folds - 1) * (d - c) for (a, b), (c, d) in self._train_and_val)

    @property
    def _train_and_val(self) -> Iterable[tuple[Rows, Rows]]:
        return zip(self.parts["train"], self.parts["val"], strict=True)


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Forecasts of some windows beside their targets; NaN where a target was not observed."""

    channel: Array  # (n,)
    ahead: Array  # (n, H)
    actual: Array  # (n, H), NaN where not observed
    sd: Array  # (C,)

    @classmethod
    def of(cls, run: Finished, windows: Sequence[Window], ahead: Array) -> Errors:
        """Put forecasts (n, H) and targets together."""
        pairs = [target_of(run.table, w, run.horizon) for w in windows]
        actual = np.array([np.where(seen, target, np.nan) for target, seen in pairs])
        return cls(channel=np.array([w.channel for w in windows]), ahead=ahead, actual=actual, sd=run.sd)

    def each(self, take: Any) -> Array:
        """Return take(errors, actual values) of each target column's observed targets."""
        found = []
        for c in range(len(self.sd)):
            there = (self.channel == c)[:, None] & np.isfinite(self.actual)
            found.append(take(self.ahead[there] - self.actual[there], self.actual[there]))
        return np.array(found)

    @property
    def mse(self) -> Array:
        """Of each target column, in its own units squared."""
        return self.each(lambda error, actual: np.mean(error**2))

    @property
    def mse_scaled(self) -> float:
        """Mean over the target columns of the MSE over the variance of the train rows."""
        return float(np.mean(self.mse / self.sd**2))

    @property
    def per_step(self) -> Array:
        """MSE of each step: in own units of one target, scaled and averaged of several."""
        steps = []
        for c in range(len(self.sd)):
            here = self.channel == c
            steps.append(np.nanmean((self.ahead[here] - self.actual[here]) ** 2, axis=0))
        return np.array(steps[0] if len(steps) == 1 else np.mean(np.array(steps) / self.sd[:, None] ** 2, axis=0))

    @property
    def window_sums(self) -> tuple[Array, Array]:
        """Sum of squared scaled errors of each window, and the observed targets behind it."""
        squares = ((self.ahead - self.actual) / self.sd[self.channel, None]) ** 2
        return np.nansum(squares, axis=1), np.isfinite(squares).sum(axis=1)


def same(found: Any, expected: Any, what: str, rel: float = CLOSE, floor: float = 1e-9) -> None:
    """Compare two numbers, or all numbers of two lists."""
    assert found == pytest.approx(expected, rel=rel, abs=floor), (
        f"{what}: the folder says {found}, the oracle {expected}"
    )


def per_target(run: Finished, values: Array) -> Any:
    """Return the number of one target, or {target: number}."""
    return float(values[0]) if run.channels == 1 else dict(zip(run.table.targets, values.tolist(), strict=True))
