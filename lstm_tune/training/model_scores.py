"""The scores of a saved model, and of the forecasts that need no LSTM, on rows that it is given."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Ranges
from lstm_tune.data.windows import Positions, Windows
from lstm_tune.errors import DataError
from lstm_tune.evaluation.given_forecasts import GivenForecasts, read_given
from lstm_tune.evaluation.metrics import Floats, NaiveErrors
from lstm_tune.evaluation.score import Forecaster, Score, TargetScale, score
from lstm_tune.evaluation.significance import TimeBlocks, compare, interval
from lstm_tune.evaluation.test_score import ComparedScore, TestScore
from lstm_tune.evaluation.wild_values import describe_wild_values
from lstm_tune.models.baselines import combine, fit_baselines, naive_baselines
from lstm_tune.models.forecaster import MeanForecaster
from lstm_tune.models.preprocessing import Shape
from lstm_tune.models.recipe import Recipe
from lstm_tune.models.trained_rows import TrainedRows
from lstm_tune.training.refit import every_row
from lstm_tune.utils.notes import warn
from lstm_tune.utils.text import counted


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ScoredWindows:
    """The windows that a model is scored on, and the simple forecasts that can be scored on the same ones."""

    windows: Windows
    positions: Positions | Tensor
    naive: dict[str, Forecaster]
    fitted: Mapping[str, Forecaster] = dataclasses.field(default_factory=dict)  # on the rows of the training
    given: GivenForecasts | None = None  # of somebody else, on the same windows

    @classmethod
    def of(cls, network: MeanForecaster, shape: Shape, windows: Windows) -> ScoredWindows:
        """Return all windows that have enough rows before them for the model and for every naive forecast.

        If there is none, the naive forecasts that need more rows than the model are left out.

        Raises:
            DataError: too few rows for a single window.
        """
        rows = every_row(windows.data)
        naive = naive_baselines(shape.horizon, shape.period)
        longest = max([network.context, *(f.context for f in naive.values())])
        positions = windows.positions(rows, longest, reach_back=True)
        if not len(positions):
            positions = windows.positions(rows, network.context, reach_back=True)
            naive = {name: f for name, f in naive.items() if f.context <= network.context}
        if not len(positions):
            raise DataError(
                f"a window takes {counted(network.context, 'row')} to look back on and {shape.horizon} to score, but "
                f"the longest series has {max(b - a for a, b in rows)}; give it more rows"
            )
        return cls(windows=windows, positions=positions, naive=naive)

    def with_fitted(self, rows: Ranges | str, recipe: Recipe | None, shape: Shape, scale: TargetScale) -> ScoredWindows:
        """Return the same windows with the simple forecasts that are fitted as those of the study were.

        Args:
            rows: of each series that the model was trained on, as `rows_to_fit` says; a text: nothing is fitted.
            recipe: how they are fitted.
            shape: season.
            scale: of the scores.
        """
        simple = recipe.simple if recipe is not None else None
        if isinstance(rows, str) or simple is None:
            return self
        period, known = shape.period if shape.period > 1 else None, naive_baselines(shape.horizon, shape.period)
        fitted = fit_baselines(self.windows, rows, period=period, max_lookback=simple.lookback, scale=scale)
        if simple.weights and simple.weights.keys() <= fitted.keys():
            fitted["combination"] = combine(fitted, simple.weights)
        return dataclasses.replace(self, fitted={name: f for name, f in fitted.items() if name not in known})

    def beside(self, source: Any) -> ScoredWindows:
        """Return those of the windows that somebody else's forecasts cover, with these; see `read_given`.

        Raises:
            DataError: the forecasts cannot be used, or cover no window.
        """
        assert isinstance(self.positions, Positions)
        given = read_given(source, self.windows, self.positions)
        if not given.complete:
            warn([f"{given.path} covers {len(given.positions):,} of {given.of:,} windows: all are scored on these"])
        return dataclasses.replace(self, positions=given.positions, given=given)


def rows_to_fit(
    trained: TrainedRows | None, recipe: Recipe | None, data: SeriesSet, known: Sequence[str], scale: TargetScale
) -> Ranges | str:
    """Return the rows that the simple forecasts are fitted on, those of the training; or a clause: why there are none.

    Args:
        trained: the rows that the model was trained on.
        recipe: how it was trained.
        data: that are scored.
        known: names of the series that the model was trained on, if there were several.
        scale: of the model.
    """
    if trained is None or not trained.sums or recipe is None or recipe.simple is None:
        return "the model was saved by an earlier version; run tune again"
    rows = trained.unchanged(data, known, scale)
    if rows is None:
        return "the data do not hold all rows that the model was trained on, unchanged; give it these rows, too"
    return rows


def score_model(
    network: MeanForecaster,
    shape: Shape,
    scale: TargetScale,
    targets: tuple[str, ...],
    scored: ScoredWindows,
    known: Mapping[str, tuple[Floats, Floats]],
) -> dict[str, ComparedScore]:
    """Score a model, the simple forecasts and those that were given on the same windows, and compare it with each.

    Args:
        network: the model.
        shape: horizon and season.
        scale: of its train rows.
        targets: names of the columns that it forecasts.
        scored: the windows.
        known: errors of the seasonal naive forecast over the train rows, by series.
    """
    windows = scored.windows.continued()  # a fitted forecast may look further back than the first window allows
    naive = NaiveErrors.for_series(known, windows.data.series, windows.channels)
    given = scored.given
    others: dict[str, Forecaster] = {**scored.naive, **scored.fitted, **(given.forecasters() if given else {})}
    found = {
        name: score(f, windows, scored.positions, scale, naive=naive)
        for name, f in {"model": network, **others}.items()
    }
    own = found["model"]
    blank = [t for t, mse in zip(windows.data.targets, own.mse, strict=True) if np.isnan(mse)]
    warn(f"target {target!r} has no value in the scored rows, so it has no score" for target in blank)
    if blank:
        found = {name: _over_scored_targets(one, scale) for name, one in found.items()}
    warn(describe_wild_values(windows.data, every_row(windows.data), scale, "value"))
    blocks = TimeBlocks.of(windows, scored.positions, every_row(windows.data), shape.period)
    scores = {}
    for name, one in found.items():
        beside = None if name == "model" else compare(own.window_error, one.window_error, own.window_count, blocks)
        scores[name] = ComparedScore.beside(TestScore.of(one, targets, scale.sd, interval(one, blocks, scale)), beside)
    return scores


def _over_scored_targets(found: Score, scale: TargetScale) -> Score:
    """Return a score whose mean over the targets leaves out those without a scored value."""
    sd = scale.groups(found.series_mse.shape[1])[1].reshape(found.series_mse.shape)
    scored = ~np.isnan(found.mse)
    columns = np.nanmean(found.series_mse[scored] / np.square(sd[scored]), axis=1)
    return dataclasses.replace(found, mse_scaled=float(columns.mean()))
