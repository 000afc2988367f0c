"""What a saved model keeps of the data that it was tuned on, so that other data are read as those were."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lstm_tune.data.assemble import Known
from lstm_tune.data.calendar_features import calendar_features
from lstm_tune.data.number_format import NumberFormat
from lstm_tune.data.series import SeriesSet


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSpec:
    """The columns that a model was made for, and the units that its tensors are in."""

    targets: tuple[str, ...]
    past: tuple[str, ...]
    future: tuple[str, ...]  # without the calendar's
    calendar: bool
    time: str | None
    id: tuple[str, ...]  # columns that name the series
    freq: str | None
    origin: tuple[float, ...]  # subtracted from each target before it becomes float32
    step: float | None = None  # from row to row, if numbers count the time
    formats: Mapping[str, NumberFormat] = field(default_factory=dict)  # of columns of text with marks

    @classmethod
    def of(cls, data: SeriesSet) -> DataSpec:
        """Describe a set of series."""
        own = len(data.future_names) - (calendar_width(data.freq) if data.calendar else 0)
        return cls(
            targets=data.targets,
            past=data.past_names,
            future=data.future_names[:own],
            calendar=data.calendar,
            time=data.time_name,
            id=data.id_names,
            freq=data.freq,
            origin=data.origin,
            step=data.step,
            formats=data.formats,
        )

    @property
    def known(self) -> Known:
        """What other data are read by."""
        return Known(
            time=self.time,
            targets=self.targets,
            freq=self.freq,
            step=self.step,
            origin=self.origin,
            formats=self.formats,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON; one id column is a text, none is null."""
        record = dataclasses.asdict(self)
        record["id"] = None if not self.id else self.id[0] if len(self.id) == 1 else list(self.id)
        return record

    @classmethod
    def from_json(cls, raw: Any) -> DataSpec:
        """Read what `to_json` wrote, in this version or an earlier one.

        Raises:
            ValueError, KeyError, TypeError: it is something else.
        """
        given = Checked(raw, "data")
        ids = given.raw.get("id")
        spec = cls(
            targets=given.names("targets", least=1),
            past=given.names("past"),
            future=given.names("future"),
            calendar=given.flag("calendar"),
            time=given.text("time"),
            id=given.names("id") if isinstance(ids, list) else tuple(filter(None, (given.text("id"),))),
            freq=given.text("freq"),
            origin=given.numbers("origin"),
            step=given.number("step"),
            formats={name: NumberFormat(**form) for name, form in given.table("formats").items()},
        )
        given.check_all_read()
        if spec.calendar:
            calendar_width(spec.freq)  # refuses a frequency that is none
        if len(spec.origin) != len(spec.targets):
            raise ValueError(f"data: origin must hold {len(spec.targets)} numbers")
        return spec


def calendar_width(freq: str | None) -> int:
    """Return how many calendar features a frequency has."""
    return len(calendar_features(np.zeros(1, dtype="datetime64[ns]"), freq)[1])


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

    def names(self, key: str, least: int = 0) -> tuple[str, ...]:
        """Return a list of texts."""
        values = self._value(key)
        if not isinstance(values, list) or len(values) < least or not all(isinstance(value, str) for value in values):
            raise self._refuse(key, f"be a list of at least {least} names of columns, which must be text")
        return tuple(values)

    def text(self, key: str) -> str | None:
        """Return a text or None."""
        value = self._value(key)
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

    def numbers(self, key: str, *, positive: bool = False) -> tuple[float, ...]:
        """Return a list of finite numbers; `positive`: all above 0."""
        values = self._value(key)
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
