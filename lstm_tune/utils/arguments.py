"""Checks of arguments: each takes a name and a value, and returns the value in its one form.

A whole number is an `int`, whatever kind of integer it was; columns are a tuple of names; a time is seconds.

Raises:
    UsageError: in every check, the value is of another kind or out of its range; one line names it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lstm_tune.errors import UsageError
from lstm_tune.utils.duration import parse_duration
from lstm_tune.utils.text import shortened

_LARGEST_SHARE = 0.5  # the rest is for the study itself
_COLUMNS = "a column's name, or a list of names"


def refuse(name: str, rule: str, value: Any) -> UsageError:
    """Return the error for a value that breaks a rule."""
    return UsageError(f"{name} must be {rule}, but is {shortened(value)}")


def columns(name: str, value: Any) -> tuple[str, ...]:
    """Return the names of columns; integers name the columns of frames that were made of arrays."""
    if value is None:
        return ()
    named = (value,) if isinstance(value, str) or hasattr(value, "__index__") else value
    if isinstance(named, bytes | Mapping) or not hasattr(named, "__iter__"):
        raise refuse(name, _COLUMNS, value)
    return tuple(_column(name, column, value) for column in named)


def columns_or_none(name: str, value: Any) -> tuple[str, ...] | None:
    """Return the names of columns; None if there is none."""
    return columns(name, value) or None


def _column(name: str, column: Any, value: Any) -> str:
    if isinstance(column, str):
        return column
    if hasattr(column, "__index__") and not isinstance(column, bool):
        return str(operator.index(column))
    raise refuse(name, _COLUMNS, value)


def text(name: str, value: Any) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise refuse(name, "text", value)
    return value


def text_or_none(name: str, value: Any) -> str | None:
    """Return a text, or None."""
    return None if value is None else text(name, value)


def whole(name: str, value: Any, least: int, most: float = math.inf) -> int:
    """Return a whole number from `least` to `most`."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise refuse(name, "a whole number", value)
    number = operator.index(value)
    if not least <= number <= most:
        raise refuse(name, f"at least {least}" if math.isinf(most) else f"from {least} to {most}", number)
    return number


def wholes(name: str, value: Any, least: int) -> tuple[int, ...]:
    """Return whole numbers of at least `least`, from one or from several; () of None."""
    if value is None:
        return ()
    several = value if hasattr(value, "__iter__") and not isinstance(value, str | bytes) else (value,)
    return tuple(dict.fromkeys(whole(name, one, least) for one in several))


def whole_or_none(name: str, value: Any, least: int) -> int | None:
    """Return a whole number of at least `least`, or None."""
    return None if value is None else whole(name, value, least)


def storage(name: str, value: Any) -> Any:
    """Return a URL, the path of a file as text, a storage of Optuna, or None."""
    if value is None or isinstance(value, str) or hasattr(value, "create_new_study"):
        return value
    if isinstance(value, Path):
        return str(value)
    raise refuse(name, "a URL, the path of a journal file, or an Optuna storage", value)


def seconds_or_none(name: str, value: Any) -> float | None:
    """Return a time above 0 as seconds, or None; "10m" and the like are times, too."""
    if value is None:
        return None
    given = parse_duration(value, name) if isinstance(value, str) else value
    try:
        seconds = float(given)
    except (TypeError, ValueError):
        raise refuse(name, "seconds, or a time such as 90s, 10m or 1h30m", value) from None
    if isinstance(given, bool) or not (seconds > 0 and math.isfinite(seconds)):
        raise refuse(name, "above 0 seconds", value)
    return seconds


def share(name: str, value: Any) -> float:
    """Return a number from 0 to 0.5."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not 0 <= number <= _LARGEST_SHARE:
        raise refuse(name, f"a number from 0 to {_LARGEST_SHARE}", value)
    return number


def levels(name: str, value: Any) -> tuple[float, ...]:
    """Return levels of intervals in percent, ascending, each once; none of None."""
    given = () if value is None else value if hasattr(value, "__iter__") and not isinstance(value, str) else (value,)
    rule = "numbers between 0 and 100, such as 80,95"
    found = []
    for one in given:
        try:
            number = float(one)
        except (TypeError, ValueError):
            raise refuse(name, rule, value) from None
        if isinstance(one, bool) or not 0 < number < 100:
            raise refuse(name, rule, one)
        found.append(number)
    return tuple(sorted(set(found)))


def place(name: str, value: Any, known: Sequence[str]) -> int:
    """Return the place of a word among those known."""
    if value not in known:
        raise refuse(name, f"one of {', '.join(known)}", value)
    return list(known).index(value)


def flag(name: str, value: Any) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise refuse(name, "True or False", value)
    return value


def flag_or_none(name: str, value: Any) -> bool | None:
    """Return true, false or None."""
    return None if value is None else flag(name, value)


def path(name: str, value: Any) -> Path:
    """Return a path."""
    try:
        return Path(value)
    except TypeError:
        raise refuse(name, "a folder", value) from None


def path_or_none(name: str, value: Any) -> Path | None:
    """Return a path, or None."""
    return None if value is None else path(name, value)


def callables(name: str, value: Any) -> tuple[Callable[..., Any], ...]:
    """Return functions; a single one needs no list."""
    every = (value,) if callable(value) else value
    if not isinstance(every, list | tuple) or not all(map(callable, every)):
        raise refuse(name, "a function, or a list of functions", value)
    return tuple(every)


def space(name: str, value: Any) -> Any:
    """Return what names or holds a search space."""
    if isinstance(value, str | Path | Mapping) or hasattr(value, "parameters"):
        return value
    raise refuse(name, "a preset's name, a TOML file, a mapping or a Space", value)


READING: Mapping[str, Callable[[str, Any], Any]] = {  # what says how data are read, and its check
    "target": columns_or_none,
    "time": text_or_none,
    "id": columns_or_none,
    "past": columns,
    "future": columns,
    "static": columns,
    "calendar": flag_or_none,
    "holidays": text_or_none,
    "decimal": text_or_none,
    "thousands": text_or_none,
}


def reading(**given: Any) -> dict[str, Any]:
    """Return some of `READING`, each in its one form."""
    return {name: READING[name](name, value) for name, value in given.items()}
