"""Records as what JSON can say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from lstm_tune.diagnosis.finding import Finding
from lstm_tune.diagnosis.next_step import NextStep


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
