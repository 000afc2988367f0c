"""The model that a study leaves behind: saved without pickle, loaded with checks, fed with frames."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lstm_tune.config import Config
from lstm_tune.data.calendar_features import calendar_features
from lstm_tune.data.load import load_series, split_known_future
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.windows import Windows
from lstm_tune.errors import DataError, LstmTuneError, RunError
from lstm_tune.evaluation.score import Forecaster, Score, TargetScale, forecast_all, score
from lstm_tune.models.baselines import naive_baselines
from lstm_tune.models.forecaster import LSTMForecaster, MeanForecaster
from lstm_tune.models.model_files import CONFIG, read_config, read_weights, write_model
from lstm_tune.models.preprocessing import Shape
from lstm_tune.utils.decimals import widen
from lstm_tune.utils.notes import warn

_MOST_MEMBERS = 1000
_LARGEST = 10**7  # rows, columns or steps that a saved model may name


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSpec:
    """The columns that a model was made for, and the units that its tensors are in."""

    targets: tuple[str, ...]
    past: tuple[str, ...]
    future: tuple[str, ...]  # without the calendar's
    calendar: bool
    time: str | None
    id: str | None
    freq: str | None
    origin: tuple[float, ...]  # subtracted from each target before it becomes float32

    @classmethod
    def of(cls, data: SeriesSet) -> DataSpec:
        """Describe a set of series."""
        own = len(data.future_names) - (_calendar_width(data) if data.calendar else 0)
        return cls(
            targets=data.targets,
            past=data.past_names,
            future=data.future_names[:own],
            calendar=data.calendar,
            time=data.time_name,
            id=data.id_name,
            freq=data.freq,
            origin=data.origin,
        )


class ForecastModel:
    """A trained ensemble with what it needs to read a frame and to answer in the frame's own units.

    Attributes:
        spec: the columns it was made for.
        shape: horizon, channels, covariates, period.
        scale: mean and standard deviation of the train rows, for scaled scores.
        network: maps a batch to its forecast, (B, H).
    """

    def __init__(self, network: MeanForecaster, shape: Shape, spec: DataSpec, scale: TargetScale) -> None:
        self.network = network
        self.shape = shape
        self.spec = spec
        self.scale = scale

    @property
    def horizon(self) -> int:
        """Rows that one forecast covers."""
        return self.shape.horizon

    @property
    def lookback(self) -> int:
        """Rows that the model must see before it can forecast."""
        return self.network.context

    def read(self, data: Any) -> SeriesSet:
        """Load data as `load_series` does, with the columns and units of this model.

        Raises:
            DataError: a column is missing, or the frequency is another.
        """
        if isinstance(data, SeriesSet):
            series = data
        else:
            spec = self.spec
            frame_time = spec.time if _has_column(data, spec.time) else None
            series = load_series(
                data,
                target=spec.targets if _has_column(data, spec.targets[0]) else None,
                time=frame_time,
                id=spec.id,
                past=spec.past,
                future=spec.future,
                calendar=spec.calendar,
                origin=spec.origin,
            )
            warn(series.notes)
        if len(series.targets) != len(self.spec.targets):
            raise DataError(
                f"the model forecasts {len(self.spec.targets)} columns ({', '.join(self.spec.targets)}), but the data "
                f"have {len(series.targets)} ({', '.join(series.targets)})"
            )
        if self.spec.freq is not None and series.freq is not None and series.freq != self.spec.freq:
            raise DataError(
                f"the model was trained on rows of frequency {self.spec.freq!r}, but these have {series.freq!r}; "
                f"resample them first"
            )
        shift = torch.tensor(series.origin, dtype=torch.float64) - torch.tensor(self.spec.origin, dtype=torch.float64)
        if bool((shift != 0).any()):
            values = (series.values.double() + shift[:, None]).float()
            series = dataclasses.replace(series, values=values, origin=self.spec.origin)
        return series

    def predict(self, data: Any) -> pd.DataFrame:
        """Forecast the rows that follow the last row of each series.

        Args:
            data: a frame, path, array, … with the columns that the model was trained on; with known-future covariates
                the rows to forecast stand at the end, their targets empty.

        Returns:
            One row for each series and step: `time`, `series`, `step` (1 to H) and one forecast column for each
            target, in original units.

        Raises:
            DataError: fewer rows than the model looks back on, or a column is missing.
        """
        series = self.read(data)
        known = None
        if self.spec.future:
            series, known = split_known_future(series)
            if known.shape[1] < self.horizon:
                raise DataError(
                    f"the forecast needs {self.horizon} rows of known {', '.join(self.spec.future)} after the last "
                    f"target, but there are {known.shape[1]}; add rows with empty targets"
                )
        rows = [b - a for a, b in zip(series.offsets, series.offsets[1:], strict=False)]
        for name, n in zip(series.series, rows, strict=True):
            if n < self.lookback:
                which = f"series {name!r} has" if name else "there are"
                raise DataError(f"the model looks back on {self.lookback} rows, but {which} {n}; give it more rows")
        times = series.extend_times(self.horizon)
        extended = _extend(series, self.horizon, times, known)
        windows = Windows(extended, self.horizon)
        starts = torch.tensor([b - self.horizon for b in extended.offsets[1:]])
        columns: dict[str, Any] = {
            "time": times.reshape(-1),
            "series": np.repeat(np.array(series.series, dtype=object), self.horizon),
            "step": np.tile(np.arange(1, self.horizon + 1), len(rows)),
        }
        for c, target in enumerate(series.targets):
            forecast = forecast_all(self.network, windows, starts + c * windows.rows)
            columns[target] = widen(forecast.numpy(), self.spec.origin[c]).reshape(-1)
        return pd.DataFrame(columns)

    def evaluate(self, data: Any) -> dict[str, Score]:
        """Score the model, and the naive forecasts that need no fitting, on every window that the data hold.

        Returns:
            {"model", or the name of a baseline: score}, all on the same windows.

        Raises:
            DataError: too few rows for a single window.
        """
        series = self.read(data)
        windows = Windows(series, self.horizon)
        ranges = tuple(zip(series.offsets, series.offsets[1:], strict=False))
        positions = windows.positions(ranges, self.lookback, reach_back=True)
        if not len(positions):
            raise DataError(
                f"a window takes {self.lookback} rows to look back on and {self.horizon} to score, but the longest "
                f"series has {max(b - a for a, b in ranges)}; give it more rows"
            )
        period = min(self.shape.period, self.lookback)
        forecasters: dict[str, Forecaster] = {"model": self.network, **naive_baselines(self.horizon, period)}
        return {name: score(f, windows, positions, self.scale) for name, f in forecasters.items()}

    def save(self, folder: str | Path) -> None:
        """Write `weights.safetensors`, `config.json` and their `manifest.json` into a folder, whole or not at all."""
        members = [m for m in self.network.members if isinstance(m, LSTMForecaster)]
        config = {
            "members": [m.config.params() for m in members],
            "weights": list(self.network.weights),
            "shape": dataclasses.asdict(self.shape),
            "data": dataclasses.asdict(self.spec),
            "scale": dataclasses.asdict(self.scale),
        }
        write_model(Path(folder), config, self.network.state_dict())

    @classmethod
    def load(cls, folder: str | Path) -> ForecastModel:
        """Read a model that `save` wrote.

        Raises:
            RunError: a file is missing, damaged, of another schema, or does not belong to the other.
        """
        folder = Path(folder)
        raw = read_config(folder)
        try:
            shape = _read_shape(raw["shape"])
            spec = _read_spec(raw["data"], shape)
            scale = TargetScale(
                mean=_numbers(raw["scale"]["mean"], shape.channels), sd=_numbers(raw["scale"]["sd"], shape.channels)
            )
            configs = [_read_config(params) for params in _bounded(raw["members"], _MOST_MEMBERS, "members")]
            shares = _numbers(raw["weights"], len(configs))
            if not all(0 < w <= 1 for w in shares):
                raise ValueError("the weights of the members must be above 0 and at most 1")
            network = _outline(configs, shares, shape)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RuntimeError, LstmTuneError) as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise RunError(f"{folder / CONFIG} is damaged ({reason}); restore it or run tune again") from None
        tensors = read_weights(folder, {name: tuple(t.shape) for name, t in network.state_dict().items()})
        # Copied into memory aligned as torch aligns it: the file's own alignment changes the last bit of a product.
        network.load_state_dict({name: tensor.clone() for name, tensor in tensors.items()}, assign=True)
        return cls(network.eval(), shape, spec, scale)


def _outline(configs: Sequence[Config], shares: Sequence[float], shape: Shape) -> MeanForecaster:
    """Return the ensemble without memory for its weights: shapes alone."""
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        return MeanForecaster([LSTMForecaster(c, shape) for c in configs], shares)


def _read_shape(raw: Mapping[str, Any]) -> Shape:
    shape = Shape(**raw)
    for name, value in dataclasses.asdict(shape).items():
        least = 0 if name in ("past", "future") else 1
        if type(value) is not int or not least <= value <= _LARGEST:
            raise ValueError(f"shape: {name} must be a whole number from {least} to {_LARGEST:,}, but is {value!r}")
    return shape


def _read_config(params: Mapping[str, Any]) -> Config:
    config = Config.from_params(params)
    for name in ("lookback", "patch"):  # the rules of a search leave them to the data
        if getattr(config, name) > _LARGEST:
            raise ValueError(f"{name} must be at most {_LARGEST:,}, but is {getattr(config, name)}")
    return config


def _read_spec(raw: Mapping[str, Any], shape: Shape) -> DataSpec:
    names = {key: _bounded(raw[key], _LARGEST, key, least=0) for key in ("targets", "past", "future")}
    words = [raw[key] for key in ("time", "id", "freq") if raw[key] is not None]
    if not all(isinstance(word, str) for word in (*words, *(name for key in names for name in names[key]))):
        raise ValueError("data: the names of columns must be text")
    if type(raw["calendar"]) is not bool:
        raise ValueError("data: calendar must be true or false")
    own = calendar_features(np.zeros(1, dtype="datetime64[ns]"), raw["freq"])[1] if raw["calendar"] else ()
    counted = (shape.channels, shape.past, shape.future - len(own))
    if counted != tuple(len(names[key]) for key in names):
        raise ValueError("data: the columns do not fit the shape")
    spec = DataSpec(
        targets=tuple(names["targets"]),
        past=tuple(names["past"]),
        future=tuple(names["future"]),
        calendar=raw["calendar"],
        time=raw["time"],
        id=raw["id"],
        freq=raw["freq"],
        origin=_numbers(raw["origin"], shape.channels),
    )
    if raw.keys() != dataclasses.asdict(spec).keys():
        raise ValueError("data: it names something unknown")
    return spec


def _bounded(values: Any, most: int, name: str, least: int = 1) -> list[Any]:
    if not isinstance(values, list) or not least <= len(values) <= most:
        raise ValueError(f"{name} must be a list of {least} to {most:,}")
    return values


def _numbers(values: Any, count: int) -> tuple[float, ...]:
    """Return a list of finite numbers as a tuple."""
    if not isinstance(values, list) or len(values) != count:
        raise ValueError(f"a list must hold {count} numbers")
    if not all(type(v) in (int, float) and math.isfinite(v) for v in values):
        raise ValueError("a list must hold finite numbers")
    return tuple(float(v) for v in values)


def _has_column(data: Any, name: str | None) -> bool:
    """Return whether a frame holds a column; files are assumed to."""
    if isinstance(data, pd.DataFrame):
        return name in data.columns
    return not isinstance(data, (np.ndarray, pd.Series, list, tuple, Tensor))


def _calendar_width(data: SeriesSet) -> int:
    return len(calendar_features(np.asarray(data.times[:1]), data.freq)[1])


def _extend(data: SeriesSet, steps: int, times: np.ndarray, known: Tensor | None) -> SeriesSet:
    """Append `steps` unobserved rows to each series: values repeated, covariates known (S, K, F) or of the calendar."""
    values, observed, past, future, stamps, offsets = [], [], [], [], [], [0]
    own = data.future.shape[1] - (_calendar_width(data) if data.calendar else 0)
    for s, (a, b) in enumerate(zip(data.offsets, data.offsets[1:], strict=False)):
        values += [data.values[:, a:b], data.values[:, b - 1 : b].expand(-1, steps)]
        observed += [data.observed[:, a:b], torch.zeros(data.n_channels, steps, dtype=torch.bool)]
        past += [data.past[a:b], data.past[b - 1 : b].expand(steps, -1)]
        ahead = data.future[b - 1 : b].expand(steps, -1).clone()
        if known is not None:
            ahead[:, :own] = known[s, :steps, :own]
        if data.calendar:
            ahead[:, own:] = torch.from_numpy(calendar_features(times[s], data.freq)[0])
        future += [data.future[a:b], ahead]
        stamps += [data.times[a:b], times[s]]
        offsets.append(offsets[-1] + b - a + steps)
    return dataclasses.replace(
        data,
        values=torch.cat(values, dim=1),
        observed=torch.cat(observed, dim=1),
        past=torch.cat(past),
        future=torch.cat(future),
        times=np.concatenate(stamps),
        offsets=tuple(offsets),
    )
