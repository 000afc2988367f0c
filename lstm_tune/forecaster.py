"""The model that a study leaves behind: saved without pickle, loaded with checks, fed with frames."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lstm_tune.baselines import Persistence, SeasonalNaive
from lstm_tune.calendar import calendar_features
from lstm_tune.config import Config
from lstm_tune.errors import DataError, RunError, UsageError
from lstm_tune.evaluate import Forecaster, Score, TargetScale, forecast_all, score
from lstm_tune.files import make_folder, read_json, replacing, write_json
from lstm_tune.loader import load_series, split_known_future
from lstm_tune.model import LSTMForecaster, MeanForecaster, Shape
from lstm_tune.series import SeriesSet
from lstm_tune.windows import Windows

SCHEMA = 1
WEIGHTS = "weights.safetensors"
CONFIG = "config.json"
_MAX_MEMBERS = 1000


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
            )
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
            forecast = forecast_all(self.network, windows, starts + c * windows.rows).double()
            columns[target] = (forecast + self.spec.origin[c]).reshape(-1).numpy()
        return pd.DataFrame(columns)

    def evaluate(self, data: Any) -> dict[str, Score]:
        """Score the model, and the naive forecasts that need no fitting, on every window that the data hold.

        Returns:
            {"model" | "persistence" | "seasonal_naive": score}, all on the same windows.

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
        forecasters: dict[str, Forecaster] = {
            "model": self.network,
            "persistence": Persistence(horizon=self.horizon),
            "seasonal_naive": SeasonalNaive(horizon=self.horizon, context=period),
        }
        return {name: score(f, windows, positions, self.scale) for name, f in forecasters.items()}

    def save(self, folder: str | Path) -> None:
        """Write `weights.safetensors` and `config.json` into a folder, each whole or not at all."""
        folder = Path(folder)
        make_folder(folder)
        tensors = {
            name: tensor.detach().cpu().contiguous().clone() for name, tensor in self.network.state_dict().items()
        }
        with replacing(folder / WEIGHTS) as beside:
            save_file(tensors, beside)
            digest = hashlib.sha256(beside.read_bytes()).hexdigest()
        members = [m for m in self.network.members if isinstance(m, LSTMForecaster)]
        write_json(
            folder / CONFIG,
            {
                "schema": SCHEMA,
                "weights_sha256": digest,
                "members": [m.config.params() for m in members],
                "weights": list(self.network.weights),
                "shape": dataclasses.asdict(self.shape),
                "data": dataclasses.asdict(self.spec),
                "scale": dataclasses.asdict(self.scale),
            },
        )

    @classmethod
    def load(cls, folder: str | Path) -> ForecastModel:
        """Read a model that `save` wrote.

        Raises:
            RunError: a file is missing, damaged, of another schema, or does not belong to the other.
        """
        folder = Path(folder)
        raw = read_json(folder / CONFIG, SCHEMA)
        weights = folder / WEIGHTS
        try:
            digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        except OSError as error:
            raise RunError(f"{weights} cannot be read ({error.strerror}); restore it or run tune again") from None
        if digest != raw.get("weights_sha256"):
            raise RunError(f"{weights} is damaged or not the one that {CONFIG} describes; restore it or run tune again")
        try:
            shape = Shape(**raw["shape"])
            fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw["data"].items()}
            spec = DataSpec(**fields)
            scale = TargetScale(**{k: tuple(v) for k, v in raw["scale"].items()})
            configs = [Config.from_params(p) for p in raw["members"]]
            if not 1 <= len(configs) <= _MAX_MEMBERS:
                raise ValueError(f"{len(configs)} members")
            tensors = load_file(weights)
            shares = [float(w) for w in raw["weights"]]
            if len(shares) != len(configs) or not all(0 < w <= 1 for w in shares):
                raise ValueError("the weights of the members do not fit them")
            network = _build(configs, shares, shape, tensors)
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError, UsageError, SafetensorError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise RunError(f"{folder / CONFIG} is damaged ({reason}); restore it or run tune again") from None
        return cls(network, shape, spec, scale)


def _build(
    configs: Sequence[Config], shares: Sequence[float], shape: Shape, tensors: dict[str, Tensor]
) -> MeanForecaster:
    """Build the ensemble around the loaded tensors; sizes are compared before memory is taken."""
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        network = MeanForecaster([LSTMForecaster(c, shape) for c in configs], shares)
    expected = network.state_dict()
    if expected.keys() != tensors.keys():
        raise ValueError("the weights do not fit the configuration")
    for name, tensor in expected.items():
        if tensor.shape != tensors[name].shape or tensors[name].dtype != torch.float32:
            raise ValueError(f"weight {name} has shape {tuple(tensors[name].shape)}, expected {tuple(tensor.shape)}")
    # Copied into memory aligned as torch aligns it: the file's own alignment changes the last bit of a product.
    network.load_state_dict({name: tensor.clone() for name, tensor in tensors.items()}, assign=True)
    return network.eval()


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
