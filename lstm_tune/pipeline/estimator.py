"""A study as an estimator of scikit-learn; `lstm_tune.sklearn` makes it public."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, validate_data

from lstm_tune.errors import LstmTuneWarning
from lstm_tune.models.recursion import forecast_recursively
from lstm_tune.models.rows_ahead import rows_ahead
from lstm_tune.pipeline.options import LARGEST_SEED, TuneOptions
from lstm_tune.pipeline.tune import start
from lstm_tune.search.space import Space
from lstm_tune.storage.log import without_log
from lstm_tune.utils.decimals import widen
from lstm_tune.utils.text import counted

_DATED = (pd.DatetimeIndex, pd.PeriodIndex)


class LSTMTuneRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """The best LSTM for a series, found by a study, as a regressor of scikit-learn.

    Rows are in the order of time, at equal steps. `fit` tunes on them; `predict(X)` forecasts as many rows as X has,
    those that follow the rows of `fit`. X holds covariates that are known in advance, and may have no column at all.
    Beyond the horizon forecasts are made of forecasts, so a horizon of the size of the test folds is best.

    If X or y has an index of dates or periods, that is the time. An X with such an index may begin after a gap if it
    has no columns.

    Args:
        horizon: rows that the LSTM forecasts at once.
        calendar: whether hour, weekday and season are covariates, too; the rows must have times.
        holidays: country whose public holidays are covariates, too, such as "DE"; the rows must have times.
        season: rows in a season, or in each of several; by default they are found.
        split: see `lstm_tune.tune`. Its test rows are those of `result_.test`, not those of scikit-learn.
        folds: see `lstm_tune.tune`.
        metric: that trials are judged by, see `lstm_tune.tune`.
        level: of prediction intervals, in percent, for `model_.predict(frame, level=...)`.
        space: search space: a preset, a TOML file, a mapping or a `Space`.
        sampler: of Optuna, see `lstm_tune.tune`.
        pruner: of Optuna, see `lstm_tune.tune`.
        n_trials: trials of the study.
        timeout: seconds of the study, or a time such as "10m". With neither, 50 trials within 10 minutes.
        workers: processes that do the trials, or "auto".
        retrain_seeds: times that each winner is retrained; 1: the best trial alone.
        device: "auto", "cpu" or "cuda".
        refit: whether the winners are trained again on all rows of `fit` in the end, the study's test rows included.
        verbose: whether Optuna logs each trial.
        random_state: an integer makes fits repeat, to the bit with one worker; None, or a generator: a random seed.

    Attributes:
        model_: the `ForecastModel`.
        result_: the `Result` of the study, with its score on its own test rows. A pickle leaves it out.
        best_params_: {name: value} of the best trial.
        n_features_in_: columns of X.
        feature_names_in_: their names, if X was a frame with names.
    """

    def __init__(
        self,
        *,
        horizon: int = 1,
        calendar: bool = False,
        holidays: str | None = None,
        season: int | Sequence[int] = (),
        split: Sequence[Any] | str | None = None,
        folds: int = 3,
        metric: str = "mse",
        level: Sequence[float] | float = (),
        space: str | Mapping[str, Any] | Space = "default",
        sampler: str | BaseSampler = "tpe",
        pruner: str | BasePruner = "median",
        n_trials: int | None = None,
        timeout: float | str | None = None,
        workers: int | str = 1,
        retrain_seeds: int = 3,
        device: str = "auto",
        refit: bool = True,
        verbose: bool = False,
        random_state: Any = 0,
    ) -> None:
        self.horizon = horizon
        self.calendar = calendar
        self.holidays = holidays
        self.season = season
        self.split = split
        self.folds = folds
        self.metric = metric
        self.level = level
        self.space = space
        self.sampler = sampler
        self.pruner = pruner
        self.n_trials = n_trials
        self.timeout = timeout
        self.workers = workers
        self.retrain_seeds = retrain_seeds
        self.device = device
        self.refit = refit
        self.verbose = verbose
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Tune on rows in the order of time.

        Args:
            X: (n, F) covariates that are known in advance; F may be 0.
            y: (n,) or (n, C) targets; NaN: not observed.

        Raises:
            ValueError: X and y do not go together, or hold what is no number; X has gaps.
            DataError: the rows are too few, or their times cannot be used.
            UsageError: a parameter is wrong.
        """
        index = _dates_of(X, y)
        features = self._checked(X, ensure_min_samples=2)
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None: y is the series that is forecast")
        targets = check_array(y, dtype=np.float64, ensure_2d=False, ensure_all_finite="allow-nan", input_name="y")
        if not np.isfinite(targets).any():
            raise ValueError("y holds NaN alone: no value was observed")
        check_consistent_length(features, targets)
        self._flat = targets.ndim == 1
        self._history = _frame(features, targets.reshape(len(targets), -1), index)
        names = [*self._history.columns]
        n_targets = len(names) - features.shape[1]
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = int(check_random_state(seed).randint(LARGEST_SEED))
        options = TuneOptions(
            target=names[:n_targets],
            future=names[n_targets:],
            calendar=self.calendar,
            holidays=self.holidays,
            horizon=self.horizon,
            season=self.season,
            split=self.split,
            folds=self.folds,
            metric=self.metric,
            level=self.level,
            space=self.space,
            sampler=self.sampler,
            pruner=self.pruner,
            n_trials=self.n_trials,
            timeout=self.timeout,
            workers=self.workers,
            retrain_seeds=self.retrain_seeds,
            device=self.device,
            seed=seed,
        )
        with contextlib.nullcontext() if self.verbose else without_log(), _rows_in_order():
            self.result_ = start(self._history, options)  # in memory, whatever OPTUNA_STORAGE names: fits share nothing
            self.model_ = self.result_.model.refit(self._history) if self.refit else self.result_.model
        self.best_params_ = self.result_.best_params
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Forecast the rows that follow those of `fit`.

        Args:
            X: (n, F) the covariates of these rows, in the order of time.

        Returns:
            (n,), or (n, C) if y had columns.

        Raises:
            ValueError: X has other columns, gaps, or dates that do not follow those of `fit`.
            DataError: X leaves out rows, and so their covariates.
        """
        check_is_fitted(self)
        index = _dates_of(X)
        features = self._checked(X, reset=False)
        own = features.shape[1]
        known = self._history.index
        if isinstance(known, _DATED):
            index = self._following(len(features)) if index is None else index
            if not index[0] > known[-1]:
                raise ValueError(
                    f"X begins at {index[0]}, but predict forecasts what follows the rows of fit, which end at "
                    f"{known[-1]}; for forecasts of earlier rows use model_.backtest"
                )
        else:
            index = None
        targets = np.full((len(features), len(self._history.columns) - own), np.nan)
        ahead_frame = _frame(features, targets, index)
        frame = pd.concat([self._history, ahead_frame], ignore_index=index is None)
        with _rows_in_order():
            read = self.model_.read(frame, keep_ahead=True)
        observed = int(read.observed.any(dim=0).nonzero()[-1]) + 1
        ahead = rows_ahead(read, read.n_rows - observed, own)
        shape = self.model_.shape
        values = forecast_recursively(
            self.model_.network, ahead.series, ahead.future[0], ahead.times.shape[1], shape.horizon, shape.period
        )
        every = np.arange(read.n_rows) if read.placed is None else read.placed[0]
        chosen = every[-len(features) :] - observed
        columns = [widen(values[c].numpy(), origin)[chosen] for c, origin in enumerate(ahead.series.origin)]
        return columns[0] if self._flat else np.column_stack(columns)

    def _checked(self, X: Any, **rule: Any) -> NDArray[np.float64]:
        """Return the covariates (n, F), all of them numbers, since `predict` cannot do without one."""
        rule |= {"dtype": np.float64, "ensure_min_features": 0, "ensure_all_finite": False}
        features: NDArray[np.float64] = validate_data(self, _table(X), **rule)
        gaps = ~np.isfinite(features)
        if gaps.any():
            column = int(gaps.any(axis=0).argmax())
            name = getattr(self, "feature_names_in_", range(features.shape[1]))[column]
            raise ValueError(
                f"column {name!r} of X is NaN or infinite in {gaps[:, column].sum():,} of {counted(len(gaps), 'row')} "
                f"(first: row {gaps[:, column].argmax()}); fill them, such as by X.ffill(), or leave the column out"
            )
        return features

    def _following(self, rows: int) -> Any:
        """Return the times that follow those of `fit`."""
        series = self.model_.read(self._history)
        return pd.DatetimeIndex(series.extend_times(rows)[0])

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what no pickle can hold: the study."""
        return {name: value for name, value in super().__getstate__().items() if name != "result_"}

    def __sklearn_tags__(self) -> Any:
        """Say that several targets are fine, and that rows in random order cannot be forecast well."""
        tags = super().__sklearn_tags__()
        tags.target_tags.single_output = True
        tags.target_tags.multi_output = True
        tags.regressor_tags.poor_score = True
        return tags


@contextlib.contextmanager
def _rows_in_order() -> Iterator[None]:
    """Let no note ask for a time column meanwhile: rows without dates are in the order of time."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="no time column was found", category=LstmTuneWarning)
        yield


def _dates_of(*tables: Any) -> Any:
    """Return the first index that holds dates or periods; None: there is none."""
    indices = [getattr(table, "index", None) for table in tables]
    return next((index for index in indices if isinstance(index, _DATED)), None)


def _table(X: Any) -> Any:
    """Return X; a frame without columns as an array, since scikit-learn takes no such frame."""
    return np.empty(X.shape) if isinstance(X, pd.DataFrame) and not X.shape[1] else X


def _frame(features: NDArray[Any], targets: NDArray[Any], index: Any) -> pd.DataFrame:
    """Return targets y0, y1, … and covariates x0, x1, … as columns."""
    columns = {f"y{c}": targets[:, c] for c in range(targets.shape[1])}
    columns |= {f"x{f}": features[:, f] for f in range(features.shape[1])}
    return pd.DataFrame(columns, index=index)
