"""Records as what JSON can say, and back."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from lstm_tune.diagnosis.finding import Finding
from lstm_tune.diagnosis.next_step import NextStep

Record = TypeVar("Record")


def to_plain(value: Any) -> Any:
    """Return records as dicts, tuples as lists, and None for numbers that are not finite, all the way down."""
    if isinstance(value, Finding | NextStep):
        return value.to_dict()
    if is_dataclass(value):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: to_plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no word for it
    return value


def from_plain(kind: type[Record], value: Any) -> Record:
    """Return the record that `to_plain` made a value from; None for a number becomes NaN.

    Args:
        kind: class of the record; its annotations say what each part is.
        value: as JSON holds it; keys that the record lacks are left out.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: it is no such record.
    """
    return cast(Record, _read(kind, value))


def _read(kind: Any, value: Any) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        return _read_one_of(inner, value)
    if is_dataclass(kind):
        if issubclass(cast(type, kind), Finding | NextStep):
            return cast(Any, kind).from_dict(value)
        hints = get_type_hints(kind)
        known = [f.name for f in fields(kind) if f.name in value or f.default is MISSING]
        return cast(Any, kind)(**{name: _read(hints[name], value[name]) for name in known})
    if kind is float:
        return math.nan if value is None else float(_checked(value, (int, float)))
    if origin in (tuple, list):
        of = inner if origin is tuple and inner[-1] is not Ellipsis else inner[:1] * len(value)
        return origin(_read(one, part) for one, part in zip(of, _checked(value, list), strict=True))
    if origin in (dict, Mapping):
        return {key: _read(inner[1], one) for key, one in value.items()}
    return _checked(value, kind)


def _read_one_of(kinds: tuple[Any, ...], value: Any) -> Any:
    """Read a value of the first kind that it fits."""
    if value is None and types.NoneType in kinds:
        return None
    for kind in kinds[:-1]:
        try:
            return _read(kind, value)
        except (TypeError, AttributeError):
            continue
    return _read(kinds[-1], value)


def _checked(value: Any, kinds: Any) -> Any:
    if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
        raise TypeError(f"{value!r} is not of the type {kinds}")
    return value
