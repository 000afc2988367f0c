"""How the options of the command line are read."""

from __future__ import annotations

import re

from lstm_tune.errors import UsageError


def parse_duration(text: str) -> float:
    """Return seconds from '90', '90s', '10m', '1h30m'.

    Raises:
        UsageError: it is none of these.
    """
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip().lower())
    if not match or not any(match.groups()):
        raise UsageError(f"timeout must be a time such as 90s, 10m or 1h30m, but is {text!r}")
    hours, minutes, seconds = (float(g or 0) for g in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def parse_workers(text: str, *, repeatable: bool) -> int | str:
    """Return a number of workers, or "auto".

    Args:
        text: of the option.
        repeatable: whether a seed was given: only one worker repeats a study to the bit, so that auto means one.

    Raises:
        UsageError: it is neither.
    """
    if text == "auto":
        return 1 if repeatable else "auto"
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"workers must be auto or a number of processes, but is {text!r}") from None


def split_columns(values: list[str] | None) -> list[str]:
    """Return column names from options that hold one name, or several with commas between."""
    return [name.strip() for value in values or [] for name in value.split(",") if name.strip()]
