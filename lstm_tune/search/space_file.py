"""From what a person wrote as a search space to checked parameters, or to one line that says what is wrong.

Every error is a `SpaceError`: the file, the key, the value, the rule, and the remedy if there is one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from lstm_tune.config import PLAIN, RULES
from lstm_tune.errors import SpaceError
from lstm_tune.search.parameter import (
    Choice,
    Condition,
    Fixed,
    Parameter,
    Range,
    Value,
    largest,
    settle,
    simplified,
)
from lstm_tune.utils.text import did_you_mean, shortened

RANGE_KEYS = ("low", "high", "log", "step")
TABLE_KEYS = (*RANGE_KEYS, "choices", "when")
_LARGEST = 2**20  # bytes of a file
_MOST_DOTS = 1000  # in a line: the time of tomllib grows with the square of the parts of a name


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What a search-space file says, checked, its parameters in an order in which a `when` refers to earlier ones."""

    description: str
    max_steps: int | None
    epoch_samples: int | None
    parameters: Mapping[str, Parameter]
    first: tuple[Mapping[str, Value], ...]


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file.

    Raises:
        SpaceError: the file is missing, unreadable or not TOML.
    """
    if path.is_dir():
        raise SpaceError(f"{path}: a directory; name a .toml file in it")
    try:
        content = path.read_bytes()
        if len(content) > _LARGEST or max((line.count(b".") for line in content.splitlines()), default=0) > _MOST_DOTS:
            raise SpaceError(f"{path}: too large or too deeply nested for a search space; name another file")
        return tomllib.loads(content.decode("utf-8-sig"))
    except FileNotFoundError:
        raise SpaceError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise SpaceError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise SpaceError(f"{path}: not a text file in UTF-8 (byte {error.start}); save it as UTF-8") from None
    except (ValueError, RecursionError) as error:  # tomllib says "(at line 3, column 5)" itself
        raise SpaceError(f"{path}: not valid TOML: {error}") from None


def check_space(mapping: Mapping[str, Any], source: str) -> Content:
    """Return the checked content of a space, `mapping` having the keys of a search-space file.

    Args:
        mapping: parameters by name, and perhaps `description`, `max_steps`, `epoch_samples` and `first`.
        source: where it comes from, for errors.

    Raises:
        SpaceError: something in it is wrong.
    """
    if not isinstance(mapping, Mapping):
        raise SpaceError(f"{source}: a space must be a table of parameters, but is {shortened(mapping)}")
    description = mapping.get("description", "")
    if not isinstance(description, str):
        _refuse(source, "description", description, "must be text")
    max_steps = _count(source, mapping, "max_steps")
    epoch_samples = _count(source, mapping, "epoch_samples")
    others = ("description", "max_steps", "epoch_samples", "first")
    raw = {name: value for name, value in mapping.items() if name not in others}
    for name in raw:
        if name not in RULES:
            _refuse(source, name, raw[name], "no such parameter" + _suggestion(name, RULES))
    parameters = {name: _parameter(source, name, value) for name, value in raw.items()}
    if not parameters:
        raise SpaceError(f"{source}: names no parameter; give at least one, such as lookback = [24, 48]")
    _check_conditions(source, parameters)
    parameters = _ordered(source, parameters)
    _check_patch(source, parameters)
    first = _first(source, mapping.get("first", []), parameters)
    return Content(
        description=description,
        max_steps=max_steps,
        epoch_samples=epoch_samples,
        parameters=parameters,
        first=first,
    )


def _count(source: str, mapping: Mapping[str, Any], key: str) -> int | None:
    value = mapping.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        _refuse(source, key, value, "must be a whole number of at least 1")
    return value


def _parameter(source: str, name: str, raw: object) -> Parameter:
    if isinstance(raw, Mapping):
        return simplified(_table(source, name, raw))
    if isinstance(raw, list | tuple):
        return simplified(Choice(values=_choices(source, name, name, raw)))
    return Fixed(value=_value(source, name, name, raw))


def _table(source: str, name: str, raw: Mapping[str, Any]) -> Parameter:
    for key in raw:
        if key not in TABLE_KEYS:
            _refuse(source, f"{name}.{key}", raw[key], "no such key" + _suggestion(key, TABLE_KEYS))
    when = _condition(source, name, raw.get("when", {}))
    if "choices" not in raw:
        return _range(source, name, raw, when)
    for key in RANGE_KEYS:
        if key in raw:
            _refuse(source, f"{name}.{key}", raw[key], "cannot stand beside choices; drop one of the two")
    if not isinstance(raw["choices"], list | tuple):
        _refuse(source, f"{name}.choices", raw["choices"], "must be a list of values")
    return Choice(values=_choices(source, name, f"{name}.choices", raw["choices"]), when=when)


def _range(source: str, name: str, raw: Mapping[str, Any], when: Condition) -> Range:
    if RULES[name].words:
        _refuse(source, name, dict(raw), f"takes words, not bounds; give a list of {', '.join(RULES[name].words)}")
    for key in ("low", "high"):
        if key not in raw:
            _refuse(source, name, dict(raw), f"{key} is missing; give low and high, or choices")
    low, high = (_number(source, name, f"{name}.{key}", raw[key]) for key in ("low", "high"))
    if low > high:
        _refuse(source, f"{name}.low", low, f"must not be above high, {high}; swap the two")
    log = raw.get("log", False)
    if not isinstance(log, bool):
        _refuse(source, f"{name}.log", log, "must be true or false")
    if log and low <= 0:
        _refuse(source, f"{name}.low", low, "must be above 0 where log is true; raise it or drop log")
    if "step" not in raw:
        return Range(low=low, high=high, log=log, when=when)
    if log:
        _refuse(source, f"{name}.step", raw["step"], "cannot stand beside log; drop one of the two")
    return Range(low=low, high=high, step=_step(source, name, raw["step"], high - low), when=when)


def _step(source: str, name: str, raw: Any, span: float) -> float:
    kind = RULES[name].kind
    if isinstance(raw, bool) or not isinstance(raw, int if kind is int else int | float) or not 0 < raw <= span:
        noun = "a whole number" if kind is int else "a number"
        _refuse(source, f"{name}.step", raw, f"must be {noun} above 0 and at most high - low, {span:g}")
    step: float = kind(raw)
    return step


def _choices(source: str, name: str, key: str, raw: Iterable[object]) -> tuple[Value, ...]:
    values = tuple(_value(source, name, key, value) for value in raw)
    if not values:
        _refuse(source, key, [], "has no values; give at least one")
    for value in values:
        if values.count(value) > 1:
            _refuse(source, key, value, "stands more than once in the list; keep it once")
    return values


def _condition(source: str, name: str, raw: object) -> Condition:
    if not isinstance(raw, Mapping):
        _refuse(source, f"{name}.when", raw, 'must be a table such as { optimizer = "sgd" }')
    when = {}
    for parent, allowed in raw.items():
        key = f"{name}.when.{parent}"
        if parent not in RULES:
            _refuse(source, key, allowed, "no such parameter" + _suggestion(parent, RULES))
        when[parent] = _choices(source, parent, key, allowed if isinstance(allowed, list | tuple) else [allowed])
    return when


def _number(source: str, name: str, key: str, raw: object) -> float:
    value = _value(source, name, key, raw)
    assert not isinstance(value, str)  # parameters of words have left before
    return value


def _value(source: str, name: str, key: str, raw: Any) -> Value:
    rule = RULES[name]
    try:
        admitted = rule.admits(raw)
    except OverflowError:  # a whole number that no float can hold
        admitted = False
    if not admitted:
        _refuse(source, key, raw, f"must be {rule.describe()}{did_you_mean(raw, rule.words)}")
    value: Value = rule.kind(raw)
    return value


def _check_conditions(source: str, parameters: Mapping[str, Parameter]) -> None:
    for name, parameter in parameters.items():
        for parent, allowed in parameter.when.items():
            key = f"{name}.when.{parent}"
            if parent == name:
                _refuse(source, key, list(allowed), "a parameter cannot be the condition of itself")
            if parent not in parameters:
                _refuse(source, key, list(allowed), f"{parent} is not in this space; add it, or drop the condition")
            for value in allowed:
                if not parameters[parent].admits(value):
                    known = parameters[parent].describe()
                    _refuse(source, key, value, f"{parent} never takes this value here; it takes {known}")


def _ordered(source: str, parameters: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """Return the parameters in the file's order, save that those of a condition come before what depends on them."""
    waiting, ordered = dict(parameters), dict[str, Parameter]()
    while waiting:
        ready = next((name for name in waiting if ordered.keys() >= waiting[name].when.keys()), None)
        if ready is None:
            circle = _circle(waiting)
            name, parent = circle[0], circle[1]
            allowed = list(waiting[name].when[parent])
            _refuse(source, f"{name}.when.{parent}", allowed, f"conditions form a circle: {' -> '.join(circle)}")
        ordered[ready] = waiting.pop(ready)
    return ordered


def _circle(waiting: Mapping[str, Parameter]) -> list[str]:
    # Each of these waits for another of them, so following that wait must come back.
    path = [next(iter(waiting))]
    while path.count(path[-1]) == 1:
        path.append(next(parent for parent in waiting[path[-1]].when if parent in waiting))
    return path[path.index(path[-1]) :]


def _check_patch(source: str, parameters: Mapping[str, Parameter]) -> None:
    patch, lookback = largest(parameters, "patch"), largest(parameters, "lookback")
    if patch > lookback:
        rule = f"must not be above the largest lookback, {lookback}; lower it or raise lookback"
        _refuse(source, "patch", patch, rule)


def _first(source: str, tables: Any, parameters: Mapping[str, Parameter]) -> tuple[dict[str, Value], ...]:
    if not isinstance(tables, list | tuple) or not all(isinstance(table, Mapping) for table in tables):
        _refuse(source, "first", tables, "must be tables of values, each under a line [[first]]")
    return tuple(_first_table(source, number, table, parameters) for number, table in enumerate(tables, start=1))


def _first_table(
    source: str, number: int, table: Mapping[str, Any], parameters: Mapping[str, Parameter]
) -> dict[str, Value]:
    wanted = {}
    for name, raw in table.items():
        key = f"[[first]] table {number}, {name}"
        if name not in RULES:
            _refuse(source, key, raw, "no such parameter" + _suggestion(name, RULES))
        if name not in parameters:
            _refuse(source, key, raw, "the parameter is not in this space; parameters go above the first [[first]]")
        wanted[name] = _value(source, name, key, raw)
        if not parameters[name].admits(wanted[name]):
            _refuse(source, key, raw, f"is outside this space: {parameters[name].describe()}")
    active = settle(parameters, wanted)
    for name in wanted:
        if name not in active:
            key = f"[[first]] table {number}, {name}"
            _refuse(source, key, wanted[name], f"has no effect, because {_unmet(parameters[name], active)}; drop it")
    return wanted


def _unmet(parameter: Parameter, values: Mapping[str, Value]) -> str:
    parent = next(parent for parent, allowed in parameter.when.items() if values.get(parent) not in allowed)
    return f"{parent} is {values.get(parent, getattr(PLAIN, parent))}"


def _suggestion(word: object, known: Iterable[str]) -> str:
    return did_you_mean(word, known) or f"; known: {', '.join(known)}"


def _refuse(source: str, key: object, value: object, rule: str) -> NoReturn:
    name = key if isinstance(key, str) and key.isprintable() else repr(key)
    raise SpaceError(f"{source}: {name} = {shortened(value)}: {rule}")
