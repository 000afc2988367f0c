"""A search space as a TOML file that `--space` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lstm_tune.search.space import Space


def to_toml(space: Space, comments: Sequence[str] = ()) -> str:
    """Return the text of a search-space file; `load_space` is the way back.

    Args:
        space: to write.
        comments: lines above it.
    """
    lines = [f"# {line}" if line else "#" for line in comments]
    if lines:
        lines.append("")
    if space.description:
        lines.append(f"description = {_value(space.description)}")
    for name in ("max_steps", "epoch_samples"):
        if getattr(space, name) is not None:
            lines.append(f"{name} = {getattr(space, name)}")
    lines += [f"{name} = {_value(parameter.plain())}" for name, parameter in space.parameters.items()]
    for wanted in space.first:
        if wanted:
            lines += ["", "[[first]]", *(f"{name} = {_value(value)}" for name, value in wanted.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value)  # a basic string of TOML has the escapes of JSON
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_value(one)}" for name, one in value.items()) + " }"
    return "[" + ", ".join(map(_value, value)) + "]"
