"""Changes of a search space: values that it is to hold as well, and configurations that are tried first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lstm_tune.config import PLAIN
from lstm_tune.search.parameter import Choice, Fixed, Parameter, Range, Value, settle, unique
from lstm_tune.search.space import Space


def with_changes(space: Space, best: Mapping[str, Value], changes: Sequence[Mapping[str, Value]]) -> Space:
    """Return the space in which a best configuration and changes of it are tried first, before the plain LSTM.

    The most promising change comes first: a short time limit may leave no second trial. Each change is tried by itself,
    and all of them together, as far as they do not set the same parameter. The space is widened by the values that it
    did not hold; so the search goes on around a change that helps.

    Args:
        space: of the study that found the best configuration.
        best: {parameter: value}.
        changes: {parameter: value} of each change, the most promising one first.
    """
    parameters = dict(space.parameters)
    for wanted in changes:
        for name, value in wanted.items():
            parameters[name] = _holding(parameters.get(name), getattr(PLAIN, name), value)
    together: dict[str, Value] = {}
    for wanted in changes:
        if not wanted.keys() & together.keys():
            together |= wanted
    changed: list[Mapping[str, Value]] = [{**best, **wanted} for wanted in changes]
    tried = [*changed[:1], best, *changed[1:], *([{**best, **together}] if len(changes) > 1 else []), {}]
    first = [_active(parameters, wanted) for wanted in tried]
    first = [wanted for i, wanted in enumerate(first) if wanted not in first[:i]]
    return replace(space, parameters=parameters, first=(*first, *space.first))


def _holding(parameter: Parameter | None, plain: Value, value: Value) -> Parameter:
    """Return the parameter, widened if need be so that it can take a value; of one that is not named, a choice."""
    if parameter is None:
        return _choice((plain, value))
    if parameter.admits(value):
        return parameter
    match parameter:
        case Range(low=low, high=high):
            assert not isinstance(value, str)
            whole = isinstance(low, int)
            number = round(value) if whole else float(value)
            return replace(parameter, low=min(low, number), high=max(high, number), step=None)
        case Choice(values=values):
            return replace(parameter, values=_sorted((*values, value)))
        case Fixed(value=fixed, when=when):
            return replace(_choice((fixed, value)), when=when)


def _choice(values: Sequence[Value]) -> Parameter:
    different = _sorted(values)
    return Choice(values=different) if len(different) > 1 else Fixed(value=different[0])


def _sorted(values: Sequence[Value]) -> tuple[Value, ...]:
    """Return values without repetitions: numbers in order, words as they come."""
    different = unique(values)
    numbers = [value for value in different if not isinstance(value, str)]
    return tuple(sorted(numbers)) if len(numbers) == len(different) else different


def _active(parameters: Mapping[str, Parameter], wanted: Mapping[str, Any]) -> dict[str, Value]:
    """Return the nearest values of the parameters that the space leaves open and that have an effect."""
    values = settle(parameters, wanted)
    return {name: value for name, value in values.items() if not isinstance(parameters[name], Fixed)}
