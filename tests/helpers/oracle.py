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
import oracle_smoothing as smoothing
import pytest
from oracle_data import (
    Array,
    Rows,
    Table,
    Window,
    history_of,
    observed_values,
    own_values,
    rows_before,
    split_of,
    target_of,
    windows_of,
)
from oracle_model import SavedModel, forecast, load_model
from oracle_weights import error_products, stacked

CLOSE = 3e-4  # relative: the package computes in float32
SIMPLE = ("persistence", "seasonal_naive", "ridge", "ets")
BASELINES = (*SIMPLE, "combination")
_SAMPLED = 96  # windows of a block, on whose errors weights are found


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
    seed: int = 0  # that was asked for
    levels: Sequence[int] = ()  # of prediction intervals

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

    @cached_property
    def own(self) -> Array:
        """Mean and standard deviation of each target column's and series' observed train rows, (2, C · S)."""
        groups = range(self.channels * len(self.table.series))
        seen = [own_values(self.table, self.parts["train"], g) for g in groups]
        return np.array([[x.mean() for x in seen], [x.std() for x in seen]])

    @property
    def channels(self) -> int:
        """Number of target columns."""
        return len(self.table.targets)

    @cached_property
    def context(self) -> int:
        """Rows that the longest member looks back on."""
        return max(self.model.context_of(m.params) for m in self.model.members)

    @cached_property
    def test(self) -> list[Window]:
        """The test windows, in the order of `forecast.csv`."""
        return list(windows_of(self.table, self.parts["test"], self.horizon, 0, reach_back=True))

    @cached_property
    def test_times(self) -> Array:
        """Rows since the test rows began; of several series, how many different stamps of windows are earlier."""
        of, first = self.table.series, [a for a, _ in self.parts["test"]]
        if len(of) == 1 or np.issubdtype(of[0].times.dtype, np.integer):
            return np.array([w.row - first[w.series] for w in self.test])
        return np.unique([of[w.series].times[w.row] for w in self.test], return_inverse=True)[1]

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
        for group in range(self.channels * len(self.table.series)):
            index = [i for i, w in enumerate(windows) if self.table.group(w) == group]
            if index:
                context = max(model.context_of(m.params) for m in model.members)
                seen = self.seen_by([windows[i] for i in index], context)
                result[index] = forecast(model, *seen, group)
        return result

    def seen_by(self, windows: Sequence[Window], context: int) -> tuple[Array, Array, Array]:
        """Return histories (n, X), past (n, X, P) and future covariates (n, X + H, F) of some windows."""
        of = self.table.series
        history = np.stack([history_of(self.table, w, context) for w in windows])
        before = [rows_before(self.table, w, context) for w in windows]
        past = np.stack([of[w.series].past[rows] for w, rows in zip(windows, before, strict=True)])
        ahead = [rows + list(range(w.row, w.row + self.horizon)) for w, rows in zip(windows, before, strict=True)]
        future = np.stack([of[w.series].future[rows] for w, rows in zip(windows, ahead, strict=True)])
        return history, past, future

    def baseline(self, name: str, windows: Sequence[Window], fit: Sequence[Rows]) -> Array:
        """Return the forecasts (n, H) of a baseline that is fitted on the rows `fit`."""
        period = self.period or 1
        if name == "persistence":
            return np.stack([np.repeat(history_of(self.table, w, 1), self.horizon) for w in windows])
        if name == "seasonal_naive":
            return simple.seasonal(np.stack([history_of(self.table, w, period) for w in windows]), period, self.horizon)
        if name == "ets":
            return self._smoothing(windows, fit)
        if name == "combination":
            weights = self.combination
            return np.sum([weights[part] * self.baseline(part, windows, fit) for part in SIMPLE], axis=0)
        context = self.longest_lookback
        key = "ridge", *fit
        if key not in self._fitted:
            self._fitted[key] = self._ridge(fit, context)
        weight, bias = self._fitted[key]
        result = []
        for w in windows:
            history, sd = history_of(self.table, w, context), self.own[1][self.table.group(w)]
            result.append(history[-1] + sd * (weight @ ((history - history[-1]) / sd) + bias))
        return np.stack(result)

    @property
    def longest_lookback(self) -> int:
        """Rows that the fitted baselines look back on, at most."""
        return simple.ridge_lookback(self.shortest_fit, self.horizon, self.period)

    def _smoothing(self, windows: Sequence[Window], fit: Sequence[Rows]) -> Array:
        """Forecast by exponential smoothing of the values, or of their logarithms if those err less on `fit`."""
        key = "ets", *fit
        if key not in self._fitted:
            tried = [False, True] if not self.model.origin.any() and self._bounds(fit)[:, 0].min() > 0 else [False]
            models = {log: smoothing.fit(self._series_of(fit, log), self.period) for log in tried}
            inner = list(windows_of(self.table, fit, self.horizon, self.longest_lookback, reach_back=False))
            scores = {
                log: Errors.of(self, inner, self._smooth(models[log], log, inner, fit)).mse_scaled
                for log in (tried if len(tried) > 1 else ())
            }
            log = min(tried, key=lambda log: scores.get(log, 0.0))
            self._fitted[key] = models[log], log
        return self._smooth(*self._fitted[key], windows, fit)

    @cached_property
    def _fitted(self) -> dict[Any, Any]:
        return {}

    def _bounds(self, fit: Sequence[Rows]) -> Array:
        """Return the least and the largest observed value of each target and series, (C · S, 2)."""
        seen = [own_values(self.table, fit, g) for g in range(self.channels * len(self.table.series))]
        return np.array([(x.min(), x.max()) for x in seen])

    def _series_of(self, fit: Sequence[Rows], log: bool) -> list[Array]:
        """Return each target of each series, NaN where it was not observed, brought to spread 1."""
        found = []
        for c in range(self.channels):
            for series, (a, b) in zip(self.table.series, fit, strict=True):
                seen, values = series.seen[c, a:b], series.values[c, a:b] - self.model.origin[c]
                values = np.where(seen, np.log(values) if log else values, np.nan)
                found.append(values / (np.nanstd(values) or 1.0))
        return found

    def _smooth(self, models: Any, log: bool, windows: Sequence[Window], fit: Sequence[Rows]) -> Array:
        context = min(self.longest_lookback, max(336, 4 * (self.period or 1)))
        history = np.stack([history_of(self.table, w, context) for w in windows])
        if not log:
            last = history[:, -1:]
            return last + smoothing.forecast(models, history - last, self.horizon)
        low, high = self._bounds(fit)[[self.table.group(w) for w in windows]].T[:, :, None]
        ahead = np.exp(smoothing.forecast(models, np.log(np.maximum(history, low / 10)), self.horizon))
        return np.minimum(ahead, high * np.maximum(np.exp(3), high / low))

    def _ridge(self, fit: Sequence[Rows], context: int) -> tuple[Array, Array]:
        x, y, usable = [], [], []
        for w in windows_of(self.table, fit, self.horizon, context, reach_back=False):
            history, (target, seen) = history_of(self.table, w, context), target_of(self.table, w, self.horizon)
            sd = self.own[1][self.table.group(w)]
            x.append((history - history[-1]) / sd)
            y.append((target - history[-1]) / sd)
            usable.append(seen.all())
        return simple.fit_ridge(np.array(x), np.array(y), np.array(usable))

    @cached_property
    def shortest_fit(self) -> int:
        """Rows of the stretch that a fold of a trial fits on, in the shortest fold; the median of several series."""
        each = [[b - a for a, b in self.fold_rows(fold)[0]] for fold in range(self.folds)]
        return min(int(np.median(lengths)) for lengths in each)

    # ---- the validation blocks

    def fold_rows(self, fold: int) -> tuple[list[Rows], list[Rows]]:
        """Return the rows that a fold fits on, and those that it scores, of each series."""
        fit, score = [], []
        for (start, end), (first, last) in self._train_and_val:
            border = end - fold * (last - first)
            fit.append((start, border))
            score.append((border, border + last - first))
        return fit, score

    def fold_windows(self, fold: int) -> list[Window]:
        """Return the windows that a fold is scored on."""
        return list(windows_of(self.table, self.fold_rows(fold)[1], self.horizon, 0, reach_back=True))

    def sampled(self, fold: int) -> list[Window]:
        """Return the windows of a fold on whose errors weights are found: evenly spaced ones of each target."""
        windows = self.fold_windows(fold)
        if len(windows) <= _SAMPLED:
            return windows
        if len(self.table.series) > 1:
            return self._sampled_of_series(windows)
        each = [[w for w in windows if w.channel == c] for c in range(self.channels)]
        most = _SAMPLED // self.channels
        spaced = [np.linspace(0, len(own) - 1, min(most, len(own)), dtype=np.float32).astype(int) for own in each]
        return [own[i] for own, places in zip(each, spaced, strict=True) for i in places]

    def _sampled_of_series(self, windows: list[Window]) -> list[Window]:
        """Return evenly spaced windows of each target and series, as many of each."""
        found = []
        for c in range(self.channels):
            having = {w.series for w in windows if w.channel == c}
            for s in sorted(having):
                own = [w for w in windows if (w.channel, w.series) == (c, s)]
                most = min(len(own), _SAMPLED // self.channels // len(having))
                found += [own[i * (len(own) - 1) // max(1, most - 1)] for i in range(most)]
        return found

    def sampled_errors(self, fold: int, ahead: Array) -> Array:
        """Return the scaled errors (n · H,) of forecasts of a fold's sampled windows; 0 where nothing was observed."""
        assert self.horizon <= 6  # else some steps alone are sampled
        found = Errors.of(self, self.sampled(fold), ahead)
        return np.nan_to_num((ahead - found.actual) / self.own[1][found.group, None]).reshape(-1)

    @cached_property
    def fold_units(self) -> list[float]:
        """The scaled MSE that counts as 1 on each fold: that of the best simple forecast, fitted on its rows."""
        units = []
        for fold in range(self.folds):
            windows, (fit, _) = self.fold_windows(fold), self.fold_rows(fold)
            units.append(min(Errors.of(self, windows, self.baseline(n, windows, fit)).mse_scaled for n in SIMPLE))
        return units

    @property
    def independent_windows(self) -> float:
        """Windows of the validation rows that do not overlap."""
        return sum(b - a for a, b in self.parts["val"]) / self.horizon

    @cached_property
    def combination(self) -> dict[str, float]:
        """Weights of the simple forecasts in their mean: least squares, drawn to inverse squared errors."""
        blocks = []
        for fold in range(self.folds):
            windows, (fit, _) = self.sampled(fold), self.fold_rows(fold)
            blocks.append(np.array([self.sampled_errors(fold, self.baseline(n, windows, fit)) for n in SIMPLE]))
        products = error_products(blocks, self.fold_units).mean(0)
        prior = 1 / np.maximum(products.diagonal(), 1e-12) ** 2
        weights = stacked(products, prior / prior.sum(), self.independent_windows * self.folds)
        return dict(zip(SIMPLE, weights.tolist(), strict=True))

    @property
    def _train_and_val(self) -> Iterable[tuple[Rows, Rows]]:
        return zip(self.parts["train"], self.parts["val"], strict=True)


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Forecasts of some windows beside their targets; NaN where a target was not observed."""

    channel: Array  # (n,)
    group: Array  # (n,) of target column and series
    ahead: Array  # (n, H)
    actual: Array  # (n, H), NaN where not observed
    sd: Array  # (C,)
    own_sd: Array  # (C · S,)

    @classmethod
    def of(cls, run: Finished, windows: Sequence[Window], ahead: Array) -> Errors:
        """Put forecasts (n, H) and targets together."""
        pairs = [target_of(run.table, w, run.horizon) for w in windows]
        actual = np.array([np.where(seen, target, np.nan) for target, seen in pairs])
        return cls(
            channel=np.array([w.channel for w in windows]),
            group=np.array([run.table.group(w) for w in windows]),
            ahead=ahead,
            actual=actual,
            sd=run.sd,
            own_sd=run.own[1],
        )

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
        """Mean over the target columns and series of the MSE over the variance of the train rows of each."""
        squares = (self.ahead - self.actual) ** 2
        each = [[np.nanmean(squares[self.group == g]) / self.own_sd[g] ** 2 for g in of] for of in self._groups()]
        return float(np.mean([np.mean(column) for column in each]))

    def _groups(self) -> list[list[int]]:
        """Return the groups of each column that hold a scored target."""
        there = np.isfinite(self.actual).any(axis=1)
        return [sorted(set(self.group[there & (self.channel == c)].tolist())) for c in range(len(self.sd))]

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
        squares = ((self.ahead - self.actual) / self.own_sd[self.group, None]) ** 2
        return np.nansum(squares, axis=1), np.isfinite(squares).sum(axis=1)


def same(found: Any, expected: Any, what: str, rel: float = CLOSE, floor: float = 1e-9) -> None:
    """Compare two numbers, or all numbers of two lists."""
    assert found == pytest.approx(expected, rel=rel, abs=floor), (
        f"{what}: the folder says {found}, the oracle {expected}"
    )


def per_target(run: Finished, values: Array) -> Any:
    """Return the number of one target, or {target: number}."""
    return float(values[0]) if run.channels == 1 else dict(zip(run.table.targets, values.tolist(), strict=True))


def numbers_of(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], float]:
    """Return every number of a record by its path of keys."""
    if isinstance(value, dict):
        return {p: n for key, inner in value.items() for p, n in numbers_of(inner, (*path, key)).items()}
    if isinstance(value, list):
        return numbers_of({str(i): inner for i, inner in enumerate(value)}, path)
    return {path: value} if isinstance(value, (int, float)) else {}
