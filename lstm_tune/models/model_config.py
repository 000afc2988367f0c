"""The `config.json` of a saved model: what its weights are the weights of, checked when it is read."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from lstm_tune.config import Config
from lstm_tune.evaluation.metrics import Floats
from lstm_tune.evaluation.score import TargetScale
from lstm_tune.models.checked import Checked
from lstm_tune.models.data_spec import DataSpec
from lstm_tune.models.forecaster import LSTMForecaster, MeanForecaster
from lstm_tune.models.preprocessing import Shape
from lstm_tune.models.recipe import Recipe
from lstm_tune.models.trained_rows import TrainedRows

_MOST_MEMBERS = 1000
_LARGEST = 10**7  # rows, columns or steps that a saved model may name


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """Everything of a saved model but its weights.

    Raises:
        ValueError: the parts do not fit each other.
    """

    members: tuple[Config, ...]
    weights: tuple[float, ...]  # of the members
    shape: Shape
    spec: DataSpec
    scale: TargetScale
    trained: TrainedRows | None  # None: not known
    recipe: Recipe | None  # None: not known
    naive: Mapping[str, tuple[Floats, Floats]] = field(default_factory=dict)  # of the train rows, {series: (C,) each}
    intervals: Mapping[str, Any] | None = None  # all of `Intervals` but the widths, which are among the weights

    def __post_init__(self) -> None:
        """Check that all parts speak of the same columns and members."""
        spec, shape = self.spec, self.shape
        own = len(spec.static) + sum(spec.stamp_widths)
        if (shape.channels, shape.past, shape.future - own) != (len(spec.targets), len(spec.past), len(spec.future)):
            raise ValueError("data: the columns do not fit the shape")
        words = [spec.categories.get(name) for name in (*spec.past, *spec.future, *spec.static)]
        sizes = tuple(0 if one is None else len(one) + 1 for one in words) if spec.categories else ()
        if shape.categories != sizes + (0,) * (shape.past + shape.future - len(sizes)) * bool(sizes):
            raise ValueError("data: the categories do not fit the shape")
        if {len(self.scale.mean), len(self.scale.sd)} != {shape.channels}:
            raise ValueError(f"scale: mean and sd must hold {shape.channels} numbers")
        own = shape.channels * shape.series if shape.series > 1 else 0
        if {len(self.scale.own_mean), len(self.scale.own_sd)} != {own} or (own and len(spec.series) != shape.series):
            raise ValueError(f"scale: there must be one for each of the {shape.series} series of the data")
        if len(self.weights) != len(self.members) or not all(0 < weight <= 1 for weight in self.weights):
            raise ValueError("weights must hold a number above 0 and at most 1 for each member")
        if self.recipe is not None and len(self.recipe.networks) != len(self.members):
            raise ValueError("recipe must hold an entry for each member")

    def outline(self) -> MeanForecaster:
        """Return the ensemble without memory for its weights: shapes alone."""
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            return MeanForecaster([LSTMForecaster(config, self.shape) for config in self.members], self.weights)

    def to_json(self) -> dict[str, Any]:
        """Return the configuration as plain JSON."""
        return {
            "members": [config.params() for config in self.members],
            "weights": list(self.weights),
            "shape": dataclasses.asdict(self.shape),
            "data": self.spec.to_json(),
            "scale": {name: numbers for name, numbers in dataclasses.asdict(self.scale).items() if numbers},
            "trained": None if self.trained is None else self.trained.to_json(),
            "recipe": None if self.recipe is None else self.recipe.to_json(),
            "naive_errors": {
                name: [[x if math.isfinite(x) else None for x in part.tolist()] for part in both]
                for name, both in self.naive.items()
            },
            "intervals": None if self.intervals is None else dict(self.intervals),
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> ModelConfig:
        """Read what `to_json` wrote, in this version or an earlier one.

        Raises:
            ValueError, KeyError, TypeError: it is something else.
        """
        given, scale = Checked(raw, "model"), Checked(raw["scale"], "scale")
        return cls(
            members=tuple(_read_config(params) for params in given.tables("members", _MOST_MEMBERS)),
            weights=given.numbers("weights"),
            shape=_read_shape(raw["shape"]),
            spec=DataSpec.from_json(raw["data"]),
            scale=TargetScale(
                mean=scale.numbers("mean"),
                sd=scale.numbers("sd", positive=True),
                own_mean=scale.numbers("own_mean", default=[]),
                own_sd=scale.numbers("own_sd", positive=True, default=[]),
            ),
            trained=TrainedRows.from_json(raw.get("trained")),
            recipe=Recipe.from_json(raw.get("recipe")),
            intervals=_read_intervals(raw.get("intervals")),
            naive=_read_naive(given.table("naive_errors"), len(raw["data"]["targets"])),
        )


def _read_naive(raw: Mapping[str, Any], channels: int) -> dict[str, tuple[Floats, Floats]]:
    """Read the errors of the seasonal naive forecast over the train rows of each series."""
    found = {}
    for name, both in raw.items():
        parts = [np.array(part, dtype=np.float64) for part in both]  # None is NaN
        if [part.shape for part in parts] != [(channels,)] * 2 or any((part < 0).any() for part in parts):
            raise ValueError(f"naive_errors: {name!r} must have twice {channels} numbers of 0 or more, or null")
        found[name] = (parts[0], parts[1])
    return found


def _read_intervals(raw: Any) -> dict[str, Any] | None:
    if raw is None:
        return None
    given = Checked(raw, "intervals")
    counts = {name: raw[name] for name in ("windows", "folds")}
    if not all(type(count) is int and 1 <= count <= _LARGEST**2 for count in counts.values()):
        raise ValueError("intervals: windows and folds must be whole numbers from 1 on")
    levels, share = given.numbers("levels", positive=True), given.number("share")
    if len(levels) > _MOST_MEMBERS or share is None:
        raise ValueError("intervals: too many levels, or no share")
    usual = given.numbers("usual", positive=True, default=[])  # an earlier version had none
    record = {"levels": list(levels), "own_scale": given.flag("own_scale"), "share": share, "usual": list(usual)}
    return counts | record


def _read_shape(raw: Mapping[str, Any]) -> Shape:
    sizes = raw.get("categories", [])
    if not isinstance(sizes, list) or not all(type(n) is int and 0 <= n <= _LARGEST for n in sizes):
        raise ValueError(f"shape: categories must be a list of whole numbers from 0 to {_LARGEST:,}")
    shape = Shape(**{**raw, "categories": tuple(sizes)})
    for name, value in dataclasses.asdict(shape).items():
        if name == "categories":
            continue
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
