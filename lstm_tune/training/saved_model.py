"""The model that a study leaves behind: saved without pickle, loaded with checks, fed with frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lstm_tune.data.series import SeriesSet
from lstm_tune.data.windows import Windows
from lstm_tune.errors import UsageError
from lstm_tune.evaluation.conformal import Intervals, check_levels
from lstm_tune.evaluation.input_importance import Input, ScoredRows, importance_frame, input_importance, inputs_of
from lstm_tune.evaluation.metrics import Floats
from lstm_tune.evaluation.score import TargetScale
from lstm_tune.evaluation.test_score import ComparedScore
from lstm_tune.models.data_spec import DataSpec
from lstm_tune.models.forecast_ahead import forecast_ahead, short_series
from lstm_tune.models.forecaster import LSTMForecaster, MeanForecaster
from lstm_tune.models.model_config import ModelConfig
from lstm_tune.models.model_files import write_model
from lstm_tune.models.onnx_file import write_onnx
from lstm_tune.models.own_series import describe_unseen, for_series, with_series
from lstm_tune.models.preprocessing import Shape
from lstm_tune.models.raw_module import RawForecaster
from lstm_tune.models.recipe import Recipe, known_recipe
from lstm_tune.models.restore import restore, stored
from lstm_tune.models.rows_ahead import rows_ahead
from lstm_tune.models.trained_rows import TrainedRows
from lstm_tune.training.backtest import Backtest, run_backtest
from lstm_tune.training.calibration import recalibrate
from lstm_tune.training.device import pick_device
from lstm_tune.training.forecast_plot import forecast_plot
from lstm_tune.training.model_card import model_facts
from lstm_tune.training.model_scores import ScoredWindows, rows_to_fit, score_model
from lstm_tune.training.refit import every_row, refit_network
from lstm_tune.utils import arguments
from lstm_tune.utils.notebook import card, lines, table
from lstm_tune.utils.notes import warn
from lstm_tune.utils.process import available_cores

if TYPE_CHECKING:
    import plotly.graph_objects


@dataclass(repr=False, eq=False)
class ForecastModel:
    """A trained ensemble with what it needs to read a frame and to answer in the frame's own units.

    Attributes:
        spec: the columns it was made for.
        shape: horizon, channels, covariates, period.
        scale: mean and standard deviation of the train rows, for scaled scores.
        network: maps a batch to its forecast, (B, H).
        trained: the rows that it was trained on; None: not known.
        recipe: how its networks were trained; None: not known.
        naive: errors of the seasonal naive forecast over the train rows of each series, for MASE and RMSSE.
        intervals: how far its forecasts may be off; None: they were not calibrated.
        watch: returns sentences on why data that are forecast or scored show it to be out of date.
    """

    network: MeanForecaster
    shape: Shape
    spec: DataSpec
    scale: TargetScale
    trained: TrainedRows | None = None
    recipe: Recipe | None = None
    naive: Mapping[str, tuple[Floats, Floats]] = field(default_factory=dict)
    intervals: Intervals | None = None
    watch: Callable[[SeriesSet], tuple[str, ...]] | None = field(default=None, init=False)

    @property
    def horizon(self) -> int:
        """Rows that one forecast covers."""
        return self.shape.horizon

    @property
    def lookback(self) -> int:
        """Rows that the model must see before it can forecast."""
        return self.network.context

    def __repr__(self) -> str:
        """Return what it forecasts, how far ahead, and what it must be given."""
        return lines("ForecastModel", self._facts())

    def _repr_html_(self) -> str:
        return card("ForecastModel", table(["", ""], [*self._facts().items()], side="left"))

    def _facts(self) -> dict[str, str]:
        return model_facts(self.spec, self.horizon, self.lookback, len(self.network.members))

    @property
    def module(self) -> RawForecaster:
        """The model as a plain `nn.Module`, raw values in and raw values out; see its `forward`."""
        return RawForecaster(self.network, self.shape, self.spec).eval()

    def to_onnx(self, path: str | Path) -> None:
        """Write `module` as an ONNX file, which runs without torch; its errors are those of `write_onnx`."""
        write_onnx(self.module, self.spec, arguments.path("path", path))

    def read(self, data: Any, **reading: Any) -> SeriesSet:
        """Load data as `load_series` does, with the columns and units of this model.

        The data are read as those were that the model was tuned on: on the same grid, and with the same decimal mark
        if a file leaves that open. They may be few, and constant.

        Args:
            data: a frame, path, array, …, or series that are loaded already.
            reading: `time` and `id`, columns that are not named as in the data of `tune`; `decimal` and `thousands`,
                marks of numbers in text; `split` and `keep_ahead`, see `DataSpec.read`.

        Raises:
            DataError: a column is missing, or the frequency is another.
        """
        return self.spec.read(data, **reading)

    def predict(self, data: Any, *, level: float | Sequence[float] = (), **reading: Any) -> pd.DataFrame:
        """Forecast the rows that follow the last observed row of each series.

        A series that is too short is continued into the past. An `LstmTuneWarning` says so, and also if the model seems
        to be out of date.

        Args:
            data: a frame, path, array, … with the model's columns. Rows at the end without targets are those to
                forecast; known-future covariates must be in them.
            level: of prediction intervals, in percent, such as [80, 95]; the model must have been tuned with `level`.
            reading: `time`, `id`, `decimal`, `thousands`, see `read`.

        Returns:
            One row for each series and step: `time`, `series`, `step` (1 to H) and a column for each target, named as
            `DataSpec.forecast_columns` says. With `level` the ends of the intervals follow, `y-lo-80`, `y-hi-80`, ….

        Raises:
            DataError: nothing can be forecast, or a column is missing.
            UsageError: the model has no intervals, or none of this level.
        """
        levels = arguments.levels("level", level)
        if levels:
            check_levels(levels, self.known_intervals().windows)
        read = self.read(data, **reading, keep_ahead=True)
        ahead = rows_ahead(read, self.horizon, len(self.spec.future))
        network, scale = self.for_data(ahead.series)
        unseen = describe_unseen(self.network, self.spec.series, ahead.series)
        warn(
            (
                *ahead.notes,
                *short_series(ahead.series, self.lookback),
                *unseen,
                *(self.watch(read) if self.watch else ()),
            )
        )
        columns, period = self.spec.forecast_columns, self.shape.period
        return forecast_ahead(network, ahead, columns, period, scale=scale, intervals=self.intervals, levels=levels)

    def plot(
        self, data: Any, *, target: str | None = None, series: str | None = None, level: Any = (), **reading: Any
    ) -> plotly.graph_objects.Figure:
        """Return a plotly figure of the last rows of a target of a series, by default the first ones, and `predict`.

        Raises:
            UsageError: there is no such target or series.
        """
        read = self.read(data, **reading, keep_ahead=True)
        channel = 0 if target is None else arguments.place("target", target, self.spec.targets)
        forecast = self.predict(read, level=level)
        return forecast_plot(read, forecast, self.spec.forecast_columns[channel], channel, series)

    def for_data(self, series: SeriesSet) -> tuple[MeanForecaster, TargetScale]:
        """Return the network, and the scale of scores, for the series of other data, each scaled by itself."""
        return for_series(self.network, self.spec.series, series), self.scale.for_series(self.spec.series, series)

    def evaluate(self, data: Any, *, against: Any = None, **reading: Any) -> dict[str, ComparedScore]:
        """Score the model, and the forecasts that need no LSTM, on the windows that the data hold.

        Before a window are the rows that the model looks back on, and a whole season; if the data hold no such window,
        naive forecasts that need more rows are left out. Ridge regression, exponential smoothing and their mean with
        the naive ones are fitted on the rows that the model was trained on; if the data lack one of these, or hold
        other values, they are left out. An `LstmTuneWarning` tells of scored windows in these rows, or an old model.

        Args:
            data: a frame, path, array, …, or series that are loaded already.
            against: forecasts of other models, a path or a frame, see `read_given`; all are scored on their windows.
            reading: `time`, `id`, `decimal`, `thousands`, see `read`.

        Returns:
            {"model", the name of a baseline, or a column of `against`: score}; a score is what `Result.test` is, with
            the `skill` of the model over it and its 95% interval.

        Raises:
            DataError: too few rows for a single window, or the forecasts of `against` cannot be used.
        """
        series = self.read(data, **reading)
        warn(self.watch(series) if self.watch else ())
        network, scale = self.for_data(series)
        windows = Windows(series, self.horizon, period=self.shape.period)
        rows = rows_to_fit(self.trained, self.recipe, series, self.spec.series, self.scale)
        scored = ScoredWindows.of(network, self.shape, windows).with_fitted(rows, self.recipe, self.shape, scale)
        if against is not None:
            scored = scored.beside(against)
        if self.trained is not None:
            warn(self.trained.note(scored.windows, scored.positions, self.scale))
        return score_model(network, self.shape, scale, self.spec.targets, scored, self.naive)

    @property
    def inputs(self) -> list[Input]:
        """What it sees: each covariate, holidays, the calendar, and the parts of the lookback."""
        spec = self.spec
        static, stamps = len(spec.static), spec.stamp_widths
        return inputs_of(spec.past, spec.future, static, stamps, self.lookback, self.shape.period)

    def feature_importance(self, data: Any, **reading: Any) -> pd.DataFrame:
        """Measure what each input is worth: how much the MSE grows if it is replaced by that of other times.

        Args:
            data: a frame, path, array, …, or series that are loaded already.
            reading: `time`, `id`, `decimal`, `thousands`, see `read`.

        Returns:
            A row for each input, with the columns of AutoGluon's table; see `Importance`. 0.25: the MSE is 25% higher.

        Raises:
            DataError: too few rows for a single window.
        """
        series = self.read(data, **reading)
        network, scale = self.for_data(series)
        windows, rows = Windows(series, self.horizon, period=self.shape.period), every_row(series)
        scored = ScoredWindows.of(network, self.shape, windows)
        if self.trained is not None:
            warn(self.trained.note(windows, scored.positions, self.scale))
        part = ScoredRows(forecaster=network, windows=windows, rows=rows, scale=scale)
        return importance_frame(input_importance(self.inputs, [part], self.shape.period))

    def refit(
        self,
        data: Any,
        *,
        device: str = "auto",
        on_model: Callable[[int, int], None] = lambda done, asked: None,
        **reading: Any,
    ) -> ForecastModel:
        """Train the same networks again on all rows of the data, without a search, and return the new model.

        On the rows and the device that this one was trained on, it has the same weights to the bit.

        Args:
            data: a frame, path, array, …, with the columns that the model was tuned on.
            device: "auto", "cpu" or "cuda", as for `tune`.
            on_model: called with (networks done, networks asked).
            reading: `time`, `id`, `decimal`, `thousands`, see `read`.

        Raises:
            DataError: the data cannot be used, or have too few rows.
            UsageError: the device is not there.
            RunError: the model does not know how it was trained.
            StudyError: every network diverged.
        """
        series = self.read(data, **reading)
        shape, spec = with_series(self.shape, self.spec, series)
        windows, rows = Windows(series, self.horizon, pick_device(device), shape.period), every_row(series)
        recipe, threads = self.known_recipe(), available_cores() if windows.device.type == "cpu" else 1
        refitted = refit_network(self.network, recipe, shape, windows, rows, threads=threads, on_model=on_model)
        warn(refitted.notes)
        trained = TrainedRows.of(series, rows, self.scale)
        intervals = None if self.intervals is None else recalibrate(refitted, shape, windows, self.intervals)
        parts = shape, spec, self.scale.for_series(self.spec.series, series), trained, refitted.recipe
        return ForecastModel(refitted.network, *parts, self.naive, intervals)

    def backtest(
        self,
        data: Any,
        *,
        n_windows: int = 5,
        step_size: int | None = None,
        refit: bool | int = 1,
        on_window: Callable[[int, int], None] = lambda done, asked: None,
        **reading: Any,
    ) -> Backtest:
        """Forecast from the last cutoffs of each series, each time from the rows up to the cutoff alone.

        The simple forecasts are fitted again when the model is; see `run_backtest` for the rest.

        Args:
            data: a frame, path, array, …, with the columns that the model was tuned on.
            n_windows: cutoffs of each series.
            step_size: rows from one cutoff to the next; None: the horizon.
            refit: cutoffs from one refit to the next; True: 1; False or 0: the model stays as it is.
            on_window: called with (cutoffs done, cutoffs asked).
            reading: `time`, `id`, `decimal`, `thousands`, see `read`.

        Raises:
            DataError: the data cannot be used, or have too few rows.
            UsageError: an argument is wrong.
            RunError: the model was saved by a version that did not keep how it was trained.
        """
        step = self.horizon if step_size is None else arguments.whole("step_size", step_size, 1)
        n_windows = arguments.whole("n_windows", n_windows, 1)
        every = int(refit) if isinstance(refit, bool) else arguments.whole("refit", refit, 0)
        series = self.read(data, **reading)
        recipe, cores = self.known_recipe() if every else None, available_cores()
        parts = self.network, recipe, self.shape, self.scale, self.spec.series, series
        found = run_backtest(
            *parts, n_windows=n_windows, step_size=step, refit=every, threads=cores, on_window=on_window
        )
        warn(found.notes)
        if self.trained is not None:
            warn(self.trained.note(Windows(series, self.horizon), found.positions, self.scale))
        return found

    def cross_validation(self, data: Any, **options: Any) -> pd.DataFrame:
        """Return the frame of `backtest`, which takes the same arguments: forecasts in long form, in original units."""
        return self.backtest(data, **options).frame

    def known_intervals(self) -> Intervals:
        """Return the intervals, or raise a `UsageError` if there are none."""
        if self.intervals is None:
            raise UsageError("the model has no prediction intervals; run tune with a level, such as 80,95")
        return self.intervals

    def known_recipe(self) -> Recipe:
        """Return how the networks were trained, or raise a `RunError` if it is not known."""
        return known_recipe(self.recipe)

    def save(self, folder: str | Path) -> None:
        """Write `weights.safetensors`, `config.json` and their `manifest.json` into a folder, whole or not at all."""
        record, widths = stored(self.intervals)
        config = ModelConfig(
            members=tuple(m.config for m in self.network.members if isinstance(m, LSTMForecaster)),
            weights=self.network.weights,
            shape=self.shape,
            spec=self.spec,
            scale=self.scale,
            trained=self.trained,
            recipe=self.recipe,
            naive=self.naive,
            intervals=record,
        )
        write_model(Path(folder), config.to_json(), self.network.state_dict() | widths)

    @classmethod
    def load(cls, folder: str | Path) -> ForecastModel:
        """Read a model that `save` wrote.

        Raises:
            RunError: a file is missing, damaged, of another schema, or does not belong to the other.
        """
        c, network, intervals = restore(Path(folder))
        return cls(network, c.shape, c.spec, c.scale, c.trained, c.recipe, c.naive, intervals)
