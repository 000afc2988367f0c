"""What a search space says of one parameter: fixed, a choice or a range, each perhaps under a condition.

Pure arithmetic on values. Nothing here reads a file (`space_file`) or knows of a whole space (`space`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal, Protocol, TypeAlias

from lstm_tune.config import PLAIN

Value: TypeAlias = int | float | str
Condition: TypeAlias = Mapping[str, tuple[Value, ...]]
Edge: TypeAlias = tuple[Literal["low", "high"], float]

EDGE = 0.01  # of the range: closer to a bound than this counts as on it


class Suggests(Protocol):
    """The part of an `optuna.Trial` that a space needs."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Return a whole number within the bounds."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Return a number within the bounds."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return one of the choices."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fixed:
    """A parameter that is not searched."""

    value: Value
    when: Condition = field(default_factory=dict)

    def admits(self, value: Value) -> bool:
        """Return whether the parameter can take `value`."""
        return value == self.value

    def nearest(self, value: Value) -> Value:
        """Return the fixed value, whatever was wished for."""
        return self.value

    def suggest(self, name: str, trial: Suggests) -> Value:
        """Return the fixed value; the trial is not asked."""
        return self.value

    def describe(self) -> str:
        """Return the value as text."""
        return str(self.value)

    def plain(self) -> Any:
        """Return what a search-space file says for this."""
        return {"choices": [self.value], "when": _plain_condition(self.when)} if self.when else self.value


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """A parameter that takes one of several values, in the file's order."""

    values: tuple[Value, ...]
    when: Condition = field(default_factory=dict)

    def admits(self, value: Value) -> bool:
        """Return whether the parameter can take `value`."""
        return value in self.values

    def nearest(self, value: Value) -> Value:
        """Return `value` if it is a choice, else the nearest number, or the first of the words."""
        if value in self.values or isinstance(value, str):
            return value if value in self.values else self.values[0]
        return min(self._numbers(), key=lambda number: abs(number - value))

    def suggest(self, name: str, trial: Suggests) -> Value:
        """Return the choice that the trial makes."""
        value: Value = trial.suggest_categorical(name, self.values)
        return value

    def grid(self, points: int) -> list[Value]:
        """Return all choices."""
        return list(self.values)

    def edge(self, value: Value) -> Edge | None:
        """Return the end of the numbers that `value` is; a switch between two values has no ends."""
        numbers = self._numbers()
        if len(numbers) < 3:
            return None
        if value == min(numbers):
            return "low", min(numbers)
        return ("high", max(numbers)) if value == max(numbers) else None

    def describe(self) -> str:
        """Return the choices as text: 'none, log'."""
        return ", ".join(str(value) for value in self.values)

    def plain(self) -> Any:
        """Return what a search-space file says for this."""
        values = list(self.values)
        return {"choices": values, "when": _plain_condition(self.when)} if self.when else values

    def _numbers(self) -> list[int | float]:
        return [value for value in self.values if not isinstance(value, str)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """A parameter that takes a number from `low` to `high`, both included.

    Whole numbers where `low` is an int. `high` lies on the grid of `step`, as Optuna wants it.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    when: Condition = field(default_factory=dict)

    def admits(self, value: Value) -> bool:
        """Return whether the parameter can take `value`."""
        if isinstance(value, str) or not self.low <= value <= self.high:
            return False
        return self.step is None or math.isclose(self._snapped(value), value, rel_tol=1e-9, abs_tol=1e-9 * self.step)

    def nearest(self, value: Value) -> Value:
        """Return the admitted number that is nearest to `value`."""
        assert not isinstance(value, str)
        return self._snapped(min(max(value, self.low), self.high))

    def suggest(self, name: str, trial: Suggests) -> Value:
        """Return the number that the trial chooses."""
        if isinstance(self.low, int):
            return trial.suggest_int(name, self.low, int(self.high), step=int(self.step or 1), log=self.log)
        return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)

    def grid(self, points: int) -> list[Value]:
        """Return about `points` different numbers, evenly from bound to bound; the middle if only one is wanted."""
        if points == 1:
            return [self._at(0.5)]
        return list(unique(self._at(index / (points - 1)) for index in range(points)))

    def edge(self, value: Value) -> Edge | None:
        """Return the bound that `value` lies on, or so near to that the difference means nothing.

        Of whole numbers, two alone are a switch, and have no ends.
        """
        assert not isinstance(value, str)
        if isinstance(self.low, int) and self.high - self.low < 2 * (self.step or 1):
            return None
        if self.log:
            position = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            position = (value - self.low) / (self.high - self.low)
        if position <= EDGE:
            return "low", self.low
        return ("high", self.high) if position >= 1 - EDGE else None

    def describe(self) -> str:
        """Return the bounds as text: '8 to 336'."""
        return f"{self.low} to {self.high}"

    def plain(self) -> Any:
        """Return what a search-space file says for this."""
        table: dict[str, Any] = {"low": self.low, "high": self.high}
        if self.log:
            table["log"] = True
        if self.step is not None:
            table["step"] = self.step
        if self.when:
            table["when"] = _plain_condition(self.when)
        return table

    def _at(self, fraction: float) -> float:
        if fraction in (0, 1):  # exact; a power or a product would round
            return self.high if fraction else self.low
        if self.log:
            inner = self.low * (self.high / self.low) ** fraction
        else:
            inner = self.low + (self.high - self.low) * fraction
        return self._snapped(round(inner) if isinstance(self.low, int) else inner)

    def _snapped(self, value: float) -> float:
        if self.step is None:
            return value
        return min(self.low + round((value - self.low) / self.step) * self.step, self.high)


Parameter: TypeAlias = Fixed | Choice | Range


def simplified(parameter: Parameter) -> Parameter:
    """Return the parameter with its upper bound on the grid, and as `Fixed` if a single value is left."""
    if isinstance(parameter, Range):
        if parameter.step is not None:
            parameter = replace(parameter, high=_last_on_grid(parameter.low, parameter.high, parameter.step))
        return Fixed(value=parameter.low, when=parameter.when) if parameter.low == parameter.high else parameter
    if isinstance(parameter, Choice) and len(parameter.values) == 1:
        return Fixed(value=parameter.values[0], when=parameter.when)
    return parameter


def is_active(parameter: Parameter, values: Mapping[str, Value]) -> bool:
    """Return whether the condition holds, `values` being those of the active parameters before this one.

    What depends on an inactive parameter is inactive itself.
    """
    return all(parent in values and values[parent] in allowed for parent, allowed in parameter.when.items())


def settle(parameters: Mapping[str, Parameter], wanted: Mapping[str, Value]) -> dict[str, Value]:
    """Return the values of the active parameters nearest to `wanted`, or to the plain LSTM for what it leaves out."""
    values: dict[str, Value] = {}
    for name, parameter in parameters.items():
        if is_active(parameter, values):
            values[name] = parameter.nearest(wanted.get(name, getattr(PLAIN, name)))
    return values


def largest(parameters: Mapping[str, Parameter], name: str) -> float:
    """Return the largest number that the parameter `name` can take in this space."""
    default: float = getattr(PLAIN, name)
    match parameters.get(name):
        case None:
            return default
        case Range(high=top, when=when):
            pass
        case Choice(values=values, when=when):
            top = max(value for value in values if not isinstance(value, str))
        case Fixed(value=value, when=when):
            assert not isinstance(value, str)
            top = value
    return max(top, default) if when else top


def unique(values: Iterable[Value]) -> tuple[Value, ...]:
    """Return the values without repetitions, in order."""
    return tuple(dict.fromkeys(values))


def _plain_condition(when: Condition) -> dict[str, list[Value]]:
    return {name: list(values) for name, values in when.items()}


def _last_on_grid(low: float, high: float, step: float) -> float:
    # In decimals, as Optuna does it: 0.3 is three steps of 0.1, which binary arithmetic denies.
    start, stride = Decimal(str(low)), Decimal(str(step))
    last = start + (Decimal(str(high)) - start) // stride * stride
    return int(last) if isinstance(low, int) else float(last)
