"""One configuration of the forecaster: every parameter that a search may set, each described in one entry.

An entry is a line of `Config`: type and default, rule, help, unit, and the step of `explain` in which it changes. The
search-space files, the help texts, the report and `explain` read these entries; none of them repeats one.

The defaults are the plain LSTM of the tutorials (lookback 20, 50 units, dropout 0.2, Adam, batch 32): `Config()` is the
forecaster whose high MSE this package sets out to explain.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar, Self, TypeVar

from lstm_tune.errors import UsageError

T = TypeVar("T", int, float, str)

ACTIVATIONS = ("none", "relu", "leaky_relu", "tanh", "sigmoid", "elu", "gelu", "silu")
CELL_ACTIVATIONS = ("tanh", "relu", "leaky_relu", "sigmoid", "elu", "gelu", "silu")
CELL_LABELS: Mapping[str, str] = {"lstm": "LSTM"}  # what tables call each cell of `models.cells`


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """The values that one parameter may take: numbers within bounds, or one of some words."""

    kind: type
    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    words: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return the rule as part of an error message: 'a whole number of at least 1'."""
        if self.words:
            return "one of " + ", ".join(self.words)
        noun = "a whole number" if self.kind is int else "a number"
        bounds = []
        if self.low > -math.inf:
            bounds.append(("above " if self.low_open else "of at least ") + f"{self.low:g}")
        if self.high < math.inf:
            bounds.append(("below " if self.high_open else "of at most ") + f"{self.high:g}")
        return " ".join([noun, " and ".join(bounds)]).strip()

    def admits(self, value: object) -> bool:
        """Return whether `value` is of the right type and within the bounds."""
        if self.words:
            return isinstance(value, str) and value in self.words
        if isinstance(value, bool) or not isinstance(value, Integral if self.kind is int else Real):
            return False  # numpy's numbers are of these kinds, too
        number = float(value)
        above = number > self.low if self.low_open else number >= self.low
        below = number < self.high if self.high_open else number <= self.high
        return above and below and math.isfinite(number)


@dataclass(frozen=True, kw_only=True, slots=True)
class ParameterInfo:
    """What is known of one parameter beside its default."""

    rule: Rule
    help: str  # what it means, for people
    step: str  # of `explain`: parameters of one step change together
    unit: str = ""  # of a number
    phrase: str = ""  # names a value other than the default in `Config.describe`, such as "weight decay {:.2g}"


def _parameter(
    default: T,
    *,
    step: str,
    help: str,
    low: float = -math.inf,
    high: float = math.inf,
    low_open: bool = False,
    high_open: bool = False,
    words: tuple[str, ...] = (),
    unit: str = "",
    phrase: str = "",
) -> T:
    """Return the entry of one parameter: a dataclass field whose metadata hold the rest."""
    rule = Rule(kind=type(default), low=low, high=high, low_open=low_open, high_open=high_open, words=words)
    info = ParameterInfo(rule=rule, help=help, step=step, unit=unit, phrase=phrase)
    entry: T = dataclasses.field(default=default, metadata={"info": info})
    return entry


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """One point of the search space; the defaults are the plain LSTM.

    Raises:
        UsageError: a value breaks the rule of its parameter (`RULES`).
    """

    cell: ClassVar[str] = "lstm"  # becomes a parameter as soon as `models.cells` holds a second cell

    lookback: int = _parameter(20, low=1, unit="rows", step="lookback", help="rows that one forecast sees")
    hidden_units: int = _parameter(50, low=1, high=4096, step="capacity", help="width of the LSTM")
    layers: int = _parameter(1, low=1, high=8, step="capacity", help="LSTMs on top of each other")
    dropout: float = _parameter(
        0.2,
        low=0,
        high=1,
        high_open=True,
        step="regularisation",
        help="share of the activations that training leaves out at random, between layers and before the head",
    )
    activation: str = _parameter(
        "tanh", words=ACTIVATIONS, step="capacity", help="activation function of the head, after the LSTM"
    )
    optimizer: str = _parameter(
        "adam",
        words=("adam", "adamw", "nadam", "rmsprop", "sgd"),
        step="optimiser and learning rate",
        help="how the weights follow the gradient",
    )
    learning_rate: float = _parameter(
        1e-3, low=0, low_open=True, high=10, step="optimiser and learning rate", help="size of a training step"
    )
    batch_size: int = _parameter(32, low=1, unit="windows", step="batch size", help="windows in a training step")
    weight_decay: float = _parameter(
        0.0, low=0, step="regularisation", help="pull of the weights towards 0", phrase="weight decay {:.2g}"
    )
    momentum: float = _parameter(
        0.9,
        low=0,
        high=1,
        high_open=True,
        step="optimiser and learning rate",
        help="share of the last step that goes on in the next one; used by sgd alone",
    )
    schedule: str = _parameter(
        "constant",
        words=("constant", "cosine", "one_cycle", "plateau"),
        step="optimiser and learning rate",
        help="how the learning rate changes over the epochs",
    )
    gradient_clip: float = _parameter(
        1.0, low=0, step="optimiser and learning rate", help="greatest norm of a step's gradient; 0: no limit"
    )
    loss: str = _parameter(
        "mse",
        words=("mse", "mae", "huber"),
        step="optimiser and learning rate",
        help="what training minimises; the score is always the MSE",
        phrase="{} loss",
    )
    epochs: int = _parameter(
        30, low=1, unit="epochs", step="epochs and patience", help="most passes over the training windows"
    )
    patience: int = _parameter(
        5,
        low=1,
        unit="epochs",
        step="epochs and patience",
        help="epochs without a better validation score after which training stops",
    )
    transform: str = _parameter(
        "none", words=("none", "log"), step="log", help="function that is applied to the target before all else"
    )
    scale: str = _parameter(
        "series",
        words=("series", "panel"),
        step="window normalisation",
        help="rows that mean and spread are taken of: those of each series, or those of all series together",
        phrase="one scale for the {}",
    )
    loss_scale: str = _parameter(
        "series",
        words=("series", "window"),
        step="window normalisation",
        help="what training divides errors by: what scale says, or also the spread of each window's own rows",
        phrase="errors in units of each {}",
    )
    difference: str = _parameter(
        "none",
        words=("none", "first", "seasonal"),
        step="differencing",
        help="value that is subtracted from each value: the one before, or the one a season before",
    )
    window_norm: str = _parameter(
        "none",
        words=("none", "last", "standard"),
        step="window normalisation",
        help="how each window is normalised: minus its last value, or to mean 0 and spread 1",
    )
    # A patch is never longer than its window, and one bounds the steps of a long one: both change in one step.
    patch: int = _parameter(1, low=1, unit="rows", step="lookback", help="rows that enter the LSTM as one step")
    skip: str = _parameter(
        "none",
        words=("none", "last", "linear", "seasonal", "ets", "pretrained"),
        step="skip forecast",
        help="simple forecast that the LSTM corrects",
    )
    outlier_clip: float = _parameter(
        0.0,
        low=0,
        unit="robust standard deviations",
        step="outlier clipping",
        help="inputs are cut at this distance from the median; 0: no cut",
        phrase="inputs cut at {:g} sd",
    )
    head_units: int = _parameter(
        0, low=0, high=4096, step="capacity", help="width of a hidden layer in the head; 0: none"
    )
    cell_activation: str = _parameter(
        "tanh",
        words=CELL_ACTIVATIONS,
        step="capacity",
        help="activation function inside the LSTM; other than tanh takes 5 to 20 times the time",
        phrase="{} cell",
    )
    weight_average: float = _parameter(
        0.0,
        low=0,
        high=1,
        high_open=True,
        step="regularisation",
        help="decay of the moving average of the weights that is validated and kept; 0: none",
    )

    def __post_init__(self) -> None:
        for name, rule in RULES.items():
            value = getattr(self, name)
            if not rule.admits(value):
                raise UsageError(f"{name} must be {rule.describe()}, but is {value!r}")
            object.__setattr__(self, name, rule.kind(value))

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Self:
        """Build a configuration from {name: value}; a parameter that is not named keeps the plain LSTM's value.

        Raises:
            UsageError: an unknown name, or a value that breaks its rule.
        """
        for name in params:
            if name not in RULES:
                raise UsageError(f"unknown parameter {name!r}; known: {', '.join(RULES)}")
        return cls(**params)

    @property
    def starts_from_simple_forecast(self) -> bool:
        """Whether the untrained network already forecasts: persistence, ridge regression or another."""
        return any(getattr(self, name) != "none" for name in STARTS)

    def params(self) -> dict[str, int | float | str]:
        """Return {name: value} in the order of the entries, as JSON takes it."""
        return dataclasses.asdict(self)

    def describe(self) -> str:
        """Return the configuration in words, for people who look at a trial.

        Such as 'LSTM 1×64, lookback 96 in patches of 8, windows minus their last value, adam 0.001, batch 64'.
        """
        parts = [f"{CELL_LABELS[self.cell]} {self.layers}×{self.hidden_units}", f"lookback {self.lookback}"]
        if self.patch > 1:
            parts[-1] += f" in patches of {self.patch}"
        if self.transform != "none":
            parts.append(self.transform)
        if self.difference != "none":
            parts.append(f"{self.difference} differences")
        if self.window_norm != "none":
            parts.append(_WINDOW_NORM_PHRASES[self.window_norm])
        if self.skip != "none":
            parts.append(_SKIP_PHRASES[self.skip])
        if self.head_units:
            parts.append(f"head of {self.head_units} units, {self.activation}")
        if self.dropout:
            parts.append(f"dropout {self.dropout:.2g}")
        parts.append(f"{self.optimizer} {self.learning_rate:.2g}")
        if self.schedule != "constant":
            parts.append(f"{self.schedule} schedule")
        for name, info in PARAMETERS.items():
            if info.phrase and getattr(self, name) != getattr(PLAIN, name):
                parts.append(info.phrase.format(getattr(self, name)))
        return ", ".join([*parts, f"batch {self.batch_size}"])


STARTS = ("skip", "window_norm", "difference")
"""Parameters that let the untrained network forecast, unless they are "none"."""

_WINDOW_NORM_PHRASES = {"last": "windows minus their last value", "standard": "windows standardised"}
_SKIP_PHRASES = {
    "last": "corrects the last value",
    "linear": "corrects ridge regression",
    "seasonal": "corrects last season",
    "ets": "corrects exponential smoothing",
    "pretrained": "corrects the LSTM trained beforehand",
}

PARAMETERS: Mapping[str, ParameterInfo] = {f.name: f.metadata["info"] for f in dataclasses.fields(Config)}
RULES: Mapping[str, Rule] = {name: info.rule for name, info in PARAMETERS.items()}
PLAIN = Config()


def parameters_of_step(step: str) -> tuple[str, ...]:
    """Return the parameters that change together in one step of `explain`, in the order of the entries."""
    return tuple(name for name, info in PARAMETERS.items() if info.step == step)
