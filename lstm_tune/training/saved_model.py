"""The model that a study leaves behind: saved without pickle, loaded with checks, fed with frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lstm_tune.data.even_times import Times
from lstm_tune.data.load import load_series
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split_rule import SplitRule
from lstm_tune.data.time_zones import tzinfo
from lstm_tune.data.windows import Windows
from lstm_tune.errors import DataError, LstmTuneError, RunError
from lstm_tune.evaluation.score import TargetScale
from lstm_tune.evaluation.test_score import ComparedScore
from lstm_tune.models.data_spec import DataSpec
from lstm_tune.models.forecaster import LSTMForecaster, MeanForecaster
from lstm_tune.models.model_config import ModelConfig
from lstm_tune.models.model_files import CONFIG, WEIGHTS, read_config, read_weights, write_model
from lstm_tune.models.preprocessing import LOG_FLOOR, NO_LOG_FLOOR, Shape
from lstm_tune.models.recipe import Recipe
from lstm_tune.models.rows_ahead import batch_ahead, rows_ahead
from lstm_tune.models.trained_rows import TrainedRows
from lstm_tune.training.model_scores import ScoredWindows, score_model
from lstm_tune.training.refit import every_row, refit_network
from lstm_tune.utils.decimals import widen
from lstm_tune.utils.notebook import card, lines, table
from lstm_tune.utils.notes import warn
from lstm_tune.utils.process import available_cores
from lstm_tune.utils.text import counted


class ForecastModel:
    """A trained ensemble with what it needs to read a frame and to answer in the frame's own units.

    Attributes:
        spec: the columns it was made for.
        shape: horizon, channels, covariates, period.
        scale: mean and standard deviation of the train rows, for scaled scores.
        network: maps a batch to its forecast, (B, H).
        trained: the rows that it was trained on; None: not known.
        recipe: how its networks were trained; None: not known.
    """

    def __init__(
        self,
        network: MeanForecaster,
        shape: Shape,
        spec: DataSpec,
        scale: TargetScale,
        trained: TrainedRows | None = None,
        recipe: Recipe | None = None,
    ) -> None:
        self.network = network
        self.shape = shape
        self.spec = spec
        self.scale = scale
        self.trained = trained
        self.recipe = recipe

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
        spec = self.spec
        covariates = [*spec.past, *spec.future, *(["the calendar"] if spec.calendar else [])]
        return {
            "forecasts": ", ".join(spec.targets),
            "ahead": counted(self.horizon, "row") + (f" of frequency {spec.freq}" if spec.freq else ""),
            "needs": f"{counted(self.lookback, 'row')}{' with ' if covariates else ''}{', '.join(covariates)}",
            "members": counted(len(self.network.members), "network"),
            "see": ".predict(frame), .evaluate(frame), .save(folder)",
        }

    def read(
        self,
        data: Any,
        *,
        time: str | None = None,
        id: str | Sequence[str] | None = None,
        decimal: str | None = None,
        thousands: str | None = None,
        split: SplitRule | None = None,
        keep_ahead: bool = False,
    ) -> SeriesSet:
        """Load data as `load_series` does, with the columns and units of this model.

        The data are read as those were that the model was tuned on: on the same grid, and with the same decimal mark
        if a file leaves that open. They may be few, and constant.

        Args:
            data: a frame, path, array, …, or series that are loaded already.
            time: column of the time, if it is not the one that the model was tuned with.
            id: column, or columns, that name the series, if they are not those that the model was tuned with.
            decimal: decimal mark of numbers in text.
            thousands: separator of thousands in text.
            split: of the rows, if they are those of the study; None: no row decides more than another.
            keep_ahead: whether rows at the end without targets are kept.

        Raises:
            DataError: a column is missing, or the frequency is another.
        """
        spec = self.spec
        if isinstance(data, SeriesSet):
            series = data
        else:
            named = not isinstance(data, (np.ndarray, pd.Series, list, tuple, Tensor))
            series = load_series(
                data,
                target=spec.targets if named else None,
                time=time,
                id=spec.id if id is None else id,
                past=spec.past,
                future=spec.future,
                calendar=spec.calendar,
                decimal=decimal,
                thousands=thousands,
                split=split,
                known=spec.known,
                keep_ahead=keep_ahead,
            )
            warn(series.notes)
        if len(series.targets) != len(spec.targets):
            raise DataError(
                f"the model forecasts {len(spec.targets)} columns ({', '.join(spec.targets)}), but the data "
                f"have {len(series.targets)} ({', '.join(series.targets)})"
            )
        if spec.freq is not None and series.freq is not None and series.freq != spec.freq:
            raise DataError(
                f"the model was trained on rows of frequency {spec.freq!r}, but these have {series.freq!r}; "
                f"resample them first"
            )
        return series.with_origin(spec.origin, spec.covariate_origin)

    def predict(
        self,
        data: Any,
        *,
        time: str | None = None,
        id: str | Sequence[str] | None = None,
        decimal: str | None = None,
        thousands: str | None = None,
    ) -> pd.DataFrame:
        """Forecast the rows that follow the last observed row of each series.

        A series that is too short is continued into the past. What was assumed, and which series cannot be forecast,
        becomes an `LstmTuneWarning`.

        Args:
            data: a frame, path, array, … with the columns that the model was trained on. Rows at the end without
                targets are those to forecast; known-future covariates must be in them.
            time: see `read`.
            id: see `read`.
            decimal: see `read`.
            thousands: see `read`.

        Returns:
            One row for each series and step: `time`, `series`, `step` (1 to H) and one forecast column for each
            target, in original units.

        Raises:
            DataError: nothing can be forecast, or a column is missing.
        """
        read = self.read(data, time=time, id=id, decimal=decimal, thousands=thousands, keep_ahead=True)
        ahead = rows_ahead(read, self.horizon, len(self.spec.future))
        series = ahead.series
        warn((*ahead.notes, *self._short(series)))
        columns: dict[str, Any] = {
            "time": _as_column(ahead.times.reshape(-1), series.zone),
            "series": np.repeat(np.array(series.series, dtype=object), self.horizon),
            "step": np.tile(np.arange(1, self.horizon + 1), series.n_series),
        }
        self.network.eval()
        for c, target in enumerate(self.spec.targets):
            with torch.inference_mode():
                forecast = self.network(batch_ahead(ahead, c, self.lookback, self.shape.period))
            columns[target] = widen(forecast.numpy(), self.spec.origin[c]).reshape(-1)
        frame = pd.DataFrame(columns)
        self._refuse_infinite(frame)
        return frame

    def _refuse_infinite(self, forecast: pd.DataFrame) -> None:
        """Refuse a forecast that is no number; the network has met values far outside of all that it was trained on."""
        wrong = ~np.isfinite(forecast[list(self.spec.targets)].to_numpy(dtype=np.float64)).all(axis=1)
        if wrong.any():
            name = forecast["series"][wrong].iloc[0]
            raise DataError(
                f"the forecast{f' of series {name!r}' if name else ''} is no finite number: the last {self.lookback} "
                f"rows hold values far outside of all that it was trained on; correct them, or leave them empty"
            )

    def _short(self, series: SeriesSet) -> tuple[str, ...]:
        """Return a sentence for each series with fewer rows than the model looks back on."""
        rows = zip(series.series, np.diff(series.offsets).tolist(), strict=True)
        return tuple(
            (f"series {name!r} has" if name else "the data have")
            + f" {n} rows, but the model looks back on {self.lookback}: they were continued into the past"
            for name, n in rows
            if n < self.lookback
        )

    def evaluate(self, data: Any, *, against: Any = None, **reading: Any) -> dict[str, ComparedScore]:
        """Score the model, and the naive forecasts that need no fitting, on the windows that the data hold.

        Before a window are the rows that the model looks back on, and a whole season, so that the seasonal naive
        forecast is the one of the study. If the data hold no such window, forecasts that need more rows are left out.
        If windows lie in rows that the model was trained on, an `LstmTuneWarning` says so.

        Args:
            data: a frame, path, array, …, or series that are loaded already.
            against: forecasts of other models, a path or a frame: time (or `ds`), `step` or `cutoff`, `unique_id` if
                there are several series, and one column for each model; see `read_given`. All are scored on the windows
                that these cover.
            reading: `time`, `id`, `decimal`, `thousands`, see `read`.

        Returns:
            {"model", the name of a baseline, or a column of `against`: score}, all on the same windows; a score is what
            `Result.test` is, with the `skill` of the model over it and its 95% interval.

        Raises:
            DataError: too few rows for a single window, or the forecasts of `against` cannot be used.
        """
        series = self.read(data, **reading)
        scored = ScoredWindows.of(self.network, self.shape, Windows(series, self.horizon))
        if against is not None:
            scored = scored.beside(against)
        if self.trained is not None:
            warn(self.trained.note(scored.windows, scored.positions, self.scale))
        return score_model(self.network, self.shape, self.scale, self.spec.targets, scored)

    def refit(
        self,
        data: Any,
        *,
        on_model: Callable[[int, int], None] = lambda done, asked: None,
        **reading: Any,
    ) -> ForecastModel:
        """Train the same networks again on all rows of the data, without a search, and return the new model.

        Configurations, epochs, seeds and weights stay as they are. On the rows that this model was trained on, the new
        one has the same weights to the bit. The scale of scores stays, too, so that both models' scores compare.

        Args:
            data: a frame, path, array, …, with the columns that the model was tuned on.
            on_model: called with (networks done, networks asked).
            reading: `time`, `id`, `decimal`, `thousands`, see `read`.

        Raises:
            DataError: the data cannot be used, or have too few rows.
            RunError: the model was saved by a version that did not keep how it was trained.
            StudyError: every network diverged.
        """
        series = self.read(data, **reading)
        rows = every_row(series)
        refitted = refit_network(
            self.network,
            self.known_recipe(),
            self.shape,
            Windows(series, self.horizon),
            rows,
            threads=available_cores(),
            on_model=on_model,
        )
        warn(refitted.notes)
        trained = TrainedRows.of(series, rows, self.scale)
        return ForecastModel(refitted.network, self.shape, self.spec, self.scale, trained, refitted.recipe)

    def known_recipe(self) -> Recipe:
        """Return how the networks were trained.

        Raises:
            RunError: it is not known.
        """
        if self.recipe is None:
            raise RunError(
                "the model was saved by a version that did not keep how it was trained, so it cannot be trained "
                "again; run tune again"
            )
        return self.recipe

    def save(self, folder: str | Path) -> None:
        """Write `weights.safetensors`, `config.json` and their `manifest.json` into a folder, whole or not at all."""
        members = [m for m in self.network.members if isinstance(m, LSTMForecaster)]
        config = ModelConfig(
            members=tuple(m.config for m in members),
            weights=self.network.weights,
            shape=self.shape,
            spec=self.spec,
            scale=self.scale,
            trained=self.trained,
            recipe=self.recipe,
        )
        write_model(Path(folder), config.to_json(), self.network.state_dict())

    @classmethod
    def load(cls, folder: str | Path) -> ForecastModel:
        """Read a model that `save` wrote.

        Raises:
            RunError: a file is missing, damaged, of another schema, or does not belong to the other.
        """
        folder = Path(folder)
        raw = read_config(folder)
        try:
            config = ModelConfig.from_json(raw)
            network = config.outline()
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RuntimeError, LstmTuneError) as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise RunError(f"{folder / CONFIG} is damaged ({reason}); restore it or run tune again") from None
        shapes = {name: tuple(t.shape) for name, t in network.state_dict().items()}
        floors = {name: torch.full(shape, NO_LOG_FLOOR) for name, shape in shapes.items() if name.endswith(LOG_FLOOR)}
        tensors = floors | read_weights(folder, shapes, optional=floors)
        _check_finite(folder, tensors)
        # Copied into memory aligned as torch aligns it: the file's own alignment changes the last bit of a product.
        network.load_state_dict({name: tensor.clone() for name, tensor in tensors.items()}, assign=True)
        return cls(network.eval(), config.shape, config.spec, config.scale, config.trained, config.recipe)


def _check_finite(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse weights that are no numbers, and scales that nothing can be divided by.

    Raises:
        RunError: names the weight.
    """
    for name, tensor in tensors.items():
        kind = name.rpartition(".")[2]
        bad = tensor.isnan() if kind in ("clip_low", "clip_high", "log_ceiling") else ~tensor.isfinite()
        if kind in ("scale", "covariate_scale"):
            bad |= tensor <= 0
        if bool(bad.any()):
            raise RunError(
                f"{folder / WEIGHTS} is damaged: {name} holds {float(tensor[bad].reshape(-1)[0])}; "
                "restore it or run tune again"
            )


def _as_column(times: Times, zone: str | None) -> Any:
    """Return times (n,) as a column of a frame: with their time zone, and without the noise of float64."""
    if times.dtype.kind == "f":
        return np.array([float(f"{time:.10g}") for time in times.tolist()])
    if zone is None or times.dtype.kind != "M":
        return times
    return pd.DatetimeIndex(times).tz_localize("UTC").tz_convert(tzinfo(zone))
