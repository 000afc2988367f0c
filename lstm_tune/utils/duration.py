"""Durations as people write them."""

from __future__ import annotations

import re

from lstm_tune.errors import UsageError


def parse_duration(text: str, name: str = "timeout") -> float:
    """Return seconds from '90', '90s', '10m', '1h30m'; `name` is what an error calls it.

    Raises:
        UsageError: it is none of these.
    """
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip().lower())
    if not match or not any(match.groups()):
        raise UsageError(f"{name} must be a time such as 90s, 10m or 1h30m, but is {text!r}")
    hours, minutes, seconds = (float(g or 0) for g in match.groups())
    return hours * 3600 + minutes * 60 + seconds
