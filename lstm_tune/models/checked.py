"""A table from a file that somebody may have edited: every value is checked when it is read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


class Checked:
    """A table from a file, whose values are checked when they are read.

    Raises:
        ValueError: a value of another type; the text names its key.
        KeyError: a key is missing.
    """

    def __init__(self, raw: Any, what: str) -> None:
        if not isinstance(raw, Mapping):
            raise ValueError(f"{what} must be a table")
        self.raw = raw
        self._what = what
        self._read: set[str] = set()

    def _value(self, key: str, default: Any = ...) -> Any:
        self._read.add(key)
        return self.raw[key] if default is ... else self.raw.get(key, default)

    def _refuse(self, key: str, rule: str) -> ValueError:
        return ValueError(f"{self._what}: {key} must {rule}")

    def names(self, key: str, least: int = 0, default: Any = ...) -> tuple[str, ...]:
        """Return a list of texts; `default`: if the key is missing."""
        values = self._value(key, default)
        if not isinstance(values, list) or len(values) < least or not all(isinstance(value, str) for value in values):
            raise self._refuse(key, f"be a list of at least {least} names of columns, which must be text")
        return tuple(values)

    def text(self, key: str, default: Any = ...) -> str | None:
        """Return a text or None; `default`: if the key is missing."""
        value = self._value(key, default)
        if value is not None and not isinstance(value, str):
            raise self._refuse(key, "be text or null")
        return value

    def flag(self, key: str) -> bool:
        """Return true or false."""
        value = self._value(key)
        if type(value) is not bool:
            raise self._refuse(key, "be true or false")
        return value

    def number(self, key: str) -> float | None:
        """Return a finite number above 0, or None, also if the key is missing."""
        value = self._value(key, None)
        if value is not None and (type(value) not in (int, float) or not math.isfinite(value) or value <= 0):
            raise self._refuse(key, "be a finite number above 0, or null")
        return None if value is None else float(value)

    def numbers(self, key: str, *, positive: bool = False, default: Any = ...) -> tuple[float, ...]:
        """Return a list of finite numbers; `positive`: all above 0; `default`: if the key is missing."""
        values = self._value(key, default)
        if not isinstance(values, list) or not all(type(v) in (int, float) and math.isfinite(v) for v in values):
            raise self._refuse(key, "be a list of finite numbers")
        if positive and not all(v > 0 for v in values):
            raise self._refuse(key, "be a list of numbers above 0")
        return tuple(float(v) for v in values)

    def table(self, key: str) -> Mapping[str, Any]:
        """Return a table, an empty one if the key is missing."""
        value = self._value(key, {})
        if not isinstance(value, Mapping):
            raise self._refuse(key, "be a table")
        return value

    def tables(self, key: str, most: int) -> Sequence[Any]:
        """Return a list of 1 to `most` values."""
        values = self._value(key)
        if not isinstance(values, list) or not 1 <= len(values) <= most:
            raise self._refuse(key, f"be a list of 1 to {most:,}")
        return values

    def check_all_read(self) -> None:
        """Refuse keys that nobody read."""
        unknown = self.raw.keys() - self._read
        if unknown:
            raise ValueError(f"{self._what}: it names something unknown ({min(unknown)!r})")
