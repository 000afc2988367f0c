"""Search-space files as a JSON Schema, with which editors complete and check them."""

from __future__ import annotations

import math
from typing import Any

from lstm_tune.config import PARAMETERS, PLAIN, RULES, Rule

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_COUNT = {"type": "integer", "minimum": 1}


def space_schema() -> dict[str, Any]:
    """Return the schema of a search-space file.

    It knows names, types, bounds and words. What one key asks of another, such as a low that is not above its high,
    `lstm-tune spaces check` says alone.
    """
    values = {name: _value(rule) for name, rule in RULES.items()}
    condition = {name: {"oneOf": [value, _several(value)]} for name, value in values.items()}
    when = {"type": "object", "properties": condition, "additionalProperties": False}
    parameters = {
        name: {
            "description": info.help + (f" ({info.unit})" if info.unit else ""),
            "default": getattr(PLAIN, name),
            "oneOf": [values[name], _several(values[name]), *_tables(info.rule, values[name])],
        }
        for name, info in PARAMETERS.items()
    }
    return {
        "$schema": DRAFT,
        "title": "lstm_tune search space",
        "type": "object",
        "properties": {
            "description": {"type": "string", "description": "one line for lstm-tune spaces list"},
            "max_steps": {**_COUNT, "description": "steps of the LSTM at most; longer windows take larger patches"},
            "epoch_samples": {**_COUNT, "description": "training windows in an epoch at most"},
            "first": {
                "type": "array",
                "description": "configurations that are tried before the search begins",
                "items": {"type": "object", "properties": values, "additionalProperties": False},
            },
            **parameters,
        },
        "additionalProperties": False,
        "$defs": {"when": when},
    }


def _value(rule: Rule) -> dict[str, Any]:
    """Return the schema of one value."""
    if rule.words:
        return {"enum": list(rule.words)}
    schema: dict[str, Any] = {"type": "integer" if rule.kind is int else "number"}
    if rule.low > -math.inf:
        schema["exclusiveMinimum" if rule.low_open else "minimum"] = rule.low
    if rule.high < math.inf:
        schema["exclusiveMaximum" if rule.high_open else "maximum"] = rule.high
    return schema


def _several(value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": value, "minItems": 1, "uniqueItems": True}


def _tables(rule: Rule, value: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the schemas of a choice under a condition and, of numbers, of a range."""
    when = {"$ref": "#/$defs/when"}
    tables: list[dict[str, Any]] = [
        {"type": "object", "properties": {"choices": _several(value), "when": when}, "required": ["choices"]}
    ]
    if not rule.words:
        step = {"type": value["type"], "exclusiveMinimum": 0}
        properties = {"low": value, "high": value, "log": {"type": "boolean"}, "step": step, "when": when}
        tables.append({"type": "object", "properties": properties, "required": ["low", "high"]})
    return [table | {"additionalProperties": False} for table in tables]
