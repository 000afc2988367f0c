"""A search space as a TOML file that `--space` reads."""

from __future__ import annotations

from collections.abc import Sequence

from lstm_tune.search.space import Space
from lstm_tune.utils.escaping import toml_value


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
        lines.append(f"description = {toml_value(space.description)}")
    for name in ("max_steps", "epoch_samples"):
        if getattr(space, name) is not None:
            lines.append(f"{name} = {getattr(space, name)}")
    lines += [f"{name} = {toml_value(parameter.plain())}" for name, parameter in space.parameters.items()]
    for wanted in space.first:
        if wanted:
            lines += ["", "[[first]]", *(f"{name} = {toml_value(value)}" for name, value in wanted.items())]
    return "\n".join(lines) + "\n"
