"""What a saved model keeps of the data that it was tuned on, so that other data are read as those were."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lstm_tune.data.calendar_features import calendar_features
from lstm_tune.data.number_format import NumberFormat
from lstm_tune.data.regular import Known
from lstm_tune.data.series import SeriesSet
from lstm_tune.models.checked import Checked


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
    covariate_origin: tuple[float, ...] = ()  # the same of past and future covariates; (): all 0
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
            covariate_origin=data.covariate_origin,
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
            covariate_origin=self.covariate_origin,
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
            covariate_origin=given.numbers("covariate_origin", default=[]),
            step=given.number("step"),
            formats={name: NumberFormat(**form) for name, form in given.table("formats").items()},
        )
        given.check_all_read()
        if spec.calendar:
            calendar_width(spec.freq)  # refuses a frequency that is none
        if len(spec.origin) != len(spec.targets):
            raise ValueError(f"data: origin must hold {len(spec.targets)} numbers")
        if len(spec.covariate_origin) not in (0, len(spec.past) + len(spec.future)):
            raise ValueError(f"data: covariate_origin must hold {len(spec.past) + len(spec.future)} numbers")
        return spec


def calendar_width(freq: str | None) -> int:
    """Return how many calendar features a frequency has."""
    return len(calendar_features(np.zeros(1, dtype="datetime64[ns]"), freq)[1])
