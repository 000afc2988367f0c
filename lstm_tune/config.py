"""One configuration of the forecaster: every parameter that a search may set, with its bounds.

The defaults are the plain LSTM (lookback 20, 50 units, dropout 0.2, Adam, batch 32), so that `Config()` is
the forecaster whose high MSE this package sets out to explain.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from lstm_tune.errors import UsageError

ACTIVATIONS = ("none", "relu", "leaky_relu", "tanh", "sigmoid", "elu", "gelu", "silu")
CELL_ACTIVATIONS = ("tanh", "relu", "leaky_relu", "sigmoid", "elu", "gelu", "silu")


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
        """Return the rule in words, to stand in an error: 'a whole number of at least 1'."""
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
        if isinstance(value, bool) or not isinstance(value, int if self.kind is int else (int, float)):
            return False
        above = value > self.low if self.low_open else value >= self.low
        below = value < self.high if self.high_open else value <= self.high
        return bool(above and below and math.isfinite(value))


RULES: Mapping[str, Rule] = {
    "lookback": Rule(kind=int, low=1),
    "hidden_units": Rule(kind=int, low=1, high=4096),
    "layers": Rule(kind=int, low=1, high=8),
    "dropout": Rule(kind=float, low=0, high=1, high_open=True),
    "activation": Rule(kind=str, words=ACTIVATIONS),
    "optimizer": Rule(kind=str, words=("adam", "adamw", "nadam", "rmsprop", "sgd")),
    "learning_rate": Rule(kind=float, low=0, low_open=True, high=10),
    "batch_size": Rule(kind=int, low=1),
    "weight_decay": Rule(kind=float, low=0),
    "momentum": Rule(kind=float, low=0, high=1, high_open=True),
    "schedule": Rule(kind=str, words=("constant", "cosine", "one_cycle", "plateau")),
    "gradient_clip": Rule(kind=float, low=0),
    "loss": Rule(kind=str, words=("mse", "mae", "huber")),
    "epochs": Rule(kind=int, low=1),
    "patience": Rule(kind=int, low=1),
    "transform": Rule(kind=str, words=("none", "log")),
    "difference": Rule(kind=str, words=("none", "first", "seasonal")),
    "window_norm": Rule(kind=str, words=("none", "last", "standard")),
    "patch": Rule(kind=int, low=1),
    "skip": Rule(kind=str, words=("none", "last", "linear", "seasonal")),
    "outlier_clip": Rule(kind=float, low=0),
    "head_units": Rule(kind=int, low=0, high=4096),
    "cell_activation": Rule(kind=str, words=CELL_ACTIVATIONS),
    "weight_average": Rule(kind=float, low=0, high=1, high_open=True),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """One point of the search space; the defaults are the plain LSTM.

    Raises:
        UsageError: a value is outside its rule (`RULES`).
    """

    lookback: int = 20  # rows that one forecast sees
    hidden_units: int = 50  # width of each LSTM layer
    layers: int = 1
    dropout: float = 0.2  # between LSTM layers and before the head
    activation: str = "tanh"  # of the head
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    batch_size: int = 32  # windows in a training step
    weight_decay: float = 0.0
    momentum: float = 0.9  # SGD alone
    schedule: str = "constant"  # of the learning rate, over `epochs`
    gradient_clip: float = 1.0  # largest norm of a step's gradient; 0: none
    loss: str = "mse"  # that is trained on; the score is always MSE
    epochs: int = 30  # at most
    patience: int = 5  # epochs without a better validation MSE before training stops
    transform: str = "none"
    difference: str = "none"
    window_norm: str = "none"
    patch: int = 1  # rows that enter the LSTM as one step
    skip: str = "none"  # a forecast that the network only corrects
    outlier_clip: float = 0.0  # inputs are cut at this many robust standard deviations; 0: not
    head_units: int = 0  # width of a hidden layer in the head; 0: none
    cell_activation: str = "tanh"  # other than tanh leaves the fused cell and costs 5 to 20 times the time
    weight_average: float = 0.0  # decay of the moving average of the weights that is validated and kept; 0: none

    def __post_init__(self) -> None:
        for name, rule in RULES.items():
            value = getattr(self, name)
            if not rule.admits(value):
                raise UsageError(f"{name} must be {rule.describe()}, but is {value!r}")
            object.__setattr__(self, name, rule.kind(value))

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Self:
        """Build a configuration from {name: value}; what is not named takes the plain LSTM's value.

        Raises:
            UsageError: an unknown name, or a value outside its rule.
        """
        for name in params:
            if name not in RULES:
                raise UsageError(f"unknown parameter {name!r}; known: {', '.join(RULES)}")
        return cls(**params)

    @property
    def corrects(self) -> bool:
        """Whether the network corrects a forecast that stands before any training: persistence, ridge and so on."""
        return self.skip != "none" or self.window_norm != "none" or self.difference != "none"

    def params(self) -> dict[str, int | float | str]:
        """Return {name: value} in the order of the fields, as JSON takes it."""
        return dataclasses.asdict(self)


PLAIN = Config()
