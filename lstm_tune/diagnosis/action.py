"""Actions: what a finding advises, as changes of a study that `lstm-tune tune --apply` can make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from lstm_tune.utils.spelling import option_name
from lstm_tune.utils.text import joined, signed_percent

Value = int | float | str
LEAST_GAIN = 0.01  # share of the MSE: an action that takes less off is not worth it
NOTHING_LEFT = "No setting is left to try for this."
_RESUME = "resume"  # an option that continues the run, in place of a new one


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """One change of a study.

    Attributes:
        options: of `tune`, by their names in Python.
        space: values that the search space is to hold. The best configuration with these values in place of its own is
            tried among the first trials, so that validation rows judge the change.
        factors: what to multiply values of the best configuration by; `gate` turns them into values of `space`.
        way: 1 if the values are only meant to be above those of the best configuration, -1 if below; 0: either.
        gain: share of the MSE that the change should take off; None: as the severity of the finding suggests.
        tried: relative change of the validation score that a trial of it has shown, -0.31 for 31% less; None: not
            tried.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    space: Mapping[str, Value] = field(default_factory=dict)
    factors: Mapping[str, float] = field(default_factory=dict)
    way: int = 0
    gain: float | None = None
    tried: float | None = None

    def describe(self) -> str:
        """Return the change as people write it, such as "transform = log with skip = linear" or "--calendar"."""
        words = [f"{name} = {_shown(value)}" for name, value in self.space.items()]
        words += [f"{factor:g} times {name}" for name, factor in self.factors.items()]
        words += [_option(name, value) for name, value in self.options.items()]
        return " with ".join(words)

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of `result.json`."""
        return {"options": dict(self.options), "space": dict(self.space), "gain": self.gain, "tried": self.tried}

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Action:
        """Read an entry of `result.json`.

        Raises:
            KeyError, TypeError: it is none.
        """
        return cls(
            options=dict(entry["options"]), space=dict(entry["space"]), gain=entry["gain"], tried=entry.get("tried")
        )


def search(*, gain: float | None = None, **values: Value) -> Action:
    """Return the action that searches some values together."""
    return Action(space=values, gain=gain)


def each(*, gain: float | None = None, **values: Sequence[Value] | Value) -> tuple[Action, ...]:
    """Return one action for each value: `each(difference=("first", "seasonal"))` is two alternatives."""
    return tuple(
        Action(space={name: value}, gain=gain)
        for name, several in values.items()
        for value in (several if isinstance(several, tuple) else (several,))
    )


def at_least(*, gain: float | None = None, **values: Value) -> tuple[Action, ...]:
    """Return one action for each number, which is only meant to be raised to it."""
    return tuple(Action(space={name: value}, gain=gain, way=1) for name, value in values.items())


def at_most(*, gain: float | None = None, **values: Value) -> tuple[Action, ...]:
    """Return one action for each number, which is only meant to be lowered to it."""
    return tuple(Action(space={name: value}, gain=gain, way=-1) for name, value in values.items())


def scaled(**factors: float) -> tuple[Action, ...]:
    """Return one action for each parameter whose value is to be multiplied."""
    return tuple(Action(factors={name: factor}) for name, factor in factors.items())


def options(*, gain: float | None = None, **values: Any) -> Action:
    """Return the action that sets options of `tune`."""
    return Action(options=values, gain=gain)


def sentence(
    actions: Sequence[Action],
    by_hand: str,
    rejected: Sequence[Action] = (),
    said_by: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return what to do in plain words: what has been tried, what to try, and what only a person can do.

    Args:
        actions: that are advised.
        by_hand: what only a person can do.
        rejected: actions that were tried and did not help.
        said_by: {what an action does: code of the finding that tells it}; this finding names that code alone.
    """
    own = [a for a in actions if a.describe() not in said_by]
    rejected = [a for a in rejected if a.describe() not in said_by]
    parts = [
        f"Tried: {a.describe()}, validation score {signed_percent(a.tried, 0)}." for a in own if a.tried is not None
    ]
    open_ones = list(dict.fromkeys(a.describe() for a in own if a.tried is None))
    if open_ones:
        parts.append(f"Try {', '.join(open_ones[:-1])}{' or ' if len(open_ones) > 1 else ''}{open_ones[-1]}.")
    if by_hand:
        parts.append(by_hand if parts else _alone(by_hand))
    if others := list(dict.fromkeys(said_by[a.describe()] for a in actions if a.describe() in said_by)):
        parts.append(f"See {'also ' if parts else ''}what {joined(others)} advise{'s' if len(others) == 1 else ''}.")
    if not parts:
        parts.append(NOTHING_LEFT)
    if rejected:
        parts.append(f"Tried without gain: {', '.join(f'{a.describe()} ({_came_of(a)})' for a in rejected)}.")
    return " ".join(parts)


def _alone(by_hand: str) -> str:
    """Return what only a person can do, if there is nothing else: without "too", and without "Or" at its beginning."""
    text = by_hand.replace(", too", "", 1).removeprefix("Or ")
    return text[:1].upper() + text[1:]


def continues(action: Action) -> bool:
    """Return whether an action continues the run, in place of a new one."""
    return bool(action.options.get(_RESUME))


def _came_of(action: Action) -> str:
    """Return what a trial of a change has shown that does not help."""
    if action.tried is None:
        return "training diverged"
    change = signed_percent(action.tried, 0)
    if change == "0%":
        return "validation score unchanged"
    return f"validation score {change}{', but worse on one block' if action.tried <= -LEAST_GAIN else ''}"


def _shown(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _option(name: str, value: Any) -> str:
    option = f"--{option_name(name)}"
    if name == "timeout":
        return f"{option} {round(value)}s"
    return option if value is True else f"{option} {value}"
