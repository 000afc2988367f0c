"""What a saved model keeps of the data that it was tuned on, so that other data are read as those were."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from lstm_tune.data.calendar_features import calendar_features
from lstm_tune.data.holidays import holiday_names
from lstm_tune.data.load import load_series
from lstm_tune.data.number_format import NumberFormat
from lstm_tune.data.regular import Known
from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split_rule import SplitRule
from lstm_tune.errors import DataError
from lstm_tune.models.checked import Checked
from lstm_tune.utils.notes import warn
from lstm_tune.utils.text import counted


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSpec:
    """The columns that a model was made for, and the units that its tensors are in."""

    targets: tuple[str, ...]
    past: tuple[str, ...]
    future: tuple[str, ...]  # without the static ones, holidays and the calendar's
    calendar: bool
    time: str | None
    id: tuple[str, ...]  # columns that name the series
    freq: str | None
    origin: tuple[float, ...]  # subtracted from each target before it becomes float32
    covariate_origin: tuple[float, ...] = ()  # the same of past and future covariates; (): all 0
    step: float | None = None  # from row to row, if numbers count the time
    formats: Mapping[str, NumberFormat] = field(default_factory=dict)  # of columns of text with marks
    static: tuple[str, ...] = ()  # that do not change within a series
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # {covariate: its words}
    series: tuple[str, ...] = ()  # of several, the names of those that it was tuned on; "": one was left out
    holidays: str | None = None  # country whose public holidays are covariates

    @classmethod
    def of(cls, data: SeriesSet) -> DataSpec:
        """Describe a set of series."""
        stamps = len(holiday_names(data.holidays)) + (calendar_width(data.freq) if data.calendar else 0)
        own = len(data.future_names) - len(data.static_names) - stamps
        return cls(
            targets=data.targets,
            past=data.past_names,
            future=data.future_names[:own],
            calendar=data.calendar,
            holidays=data.holidays,
            time=data.time_name,
            id=data.id_names,
            freq=data.freq,
            origin=data.origin,
            covariate_origin=data.covariate_origin,
            step=data.step,
            formats=data.formats,
            static=data.static_names,
            categories=data.categories,
            series=data.series if data.n_series > 1 else (),
        )

    @property
    def stamp_widths(self) -> tuple[int, int]:
        """Columns that the time stamps give: of holidays, and of the calendar."""
        return len(holiday_names(self.holidays)), calendar_width(self.freq) if self.calendar else 0

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
            categories=self.categories,
        )

    @property
    def forecast_columns(self) -> tuple[str, ...]:
        """Names of the columns of `predict` that hold the forecasts, one for each target."""
        taken = {"time", "series", "step", *self.targets}
        names = []
        for target in self.targets:
            name = target
            while name in ("time", "series", "step") or (name != target and name in taken):
                name += "_forecast"
            taken.add(name)
            names.append(name)
        return tuple(names)

    def read(
        self,
        data: Any,
        *,
        time: str | None = None,
        id: str | Sequence[str] | None = None,
        decimal: str | None = None,
        thousands: str | None = None,
        split: SplitRule | None = None,
        keep_ahead: bool = False,
    ) -> SeriesSet:
        """Load data as `load_series` does, as those were read that are described here.

        Args:
            data: a frame, path, array, …, or series that are loaded already.
            time: column of the time, if it has another name.
            id: column, or columns, that name the series, if they have other names.
            decimal: decimal mark of numbers in text.
            thousands: separator of thousands in text.
            split: of the rows, if they are those of the study; None: no row decides more than another.
            keep_ahead: whether rows at the end without targets are kept.

        Raises:
            DataError: a column is missing, or the frequency is another.
        """
        if isinstance(data, SeriesSet):
            series = data
        else:
            named = not isinstance(data, (np.ndarray, pd.Series, list, tuple, Tensor))
            series = load_series(
                data,
                target=self.targets if named else None,
                time=time,
                id=self.id if id is None else id,
                past=self.past,
                future=self.future,
                static=self.static,
                calendar=self.calendar,
                holidays=self.holidays,
                decimal=decimal,
                thousands=thousands,
                split=split,
                known=self.known,
                keep_ahead=keep_ahead,
            )
            warn(series.notes)
        if len(series.targets) != len(self.targets):
            raise DataError(
                f"the model forecasts {counted(len(self.targets), 'column')} ({', '.join(self.targets)}), but the data "
                f"have {len(series.targets)} ({', '.join(series.targets)}); give it data with the same columns"
            )
        if self.freq is not None and series.freq is not None and series.freq != self.freq:
            raise DataError(
                f"the model was trained on rows of frequency {self.freq!r}, but these have {series.freq!r}; "
                f"resample them first"
            )
        return series.with_origin(self.origin, self.covariate_origin)

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
            holidays=given.text("holidays", default=None),
            time=given.text("time"),
            id=given.names("id") if isinstance(ids, list) else tuple(filter(None, (given.text("id"),))),
            freq=given.text("freq"),
            origin=given.numbers("origin"),
            covariate_origin=given.numbers("covariate_origin", default=[]),
            step=given.number("step"),
            series=given.names("series", default=[]),
            static=given.names("static", default=[]),
            categories={
                name: Checked({name: words}, "data: categories").names(name, least=1)
                for name, words in given.table("categories").items()
            },
            formats={name: NumberFormat(**form) for name, form in given.table("formats").items()},
        )
        given.check_all_read()
        if spec.calendar:
            calendar_width(spec.freq)  # refuses a frequency that is none
        if len(spec.origin) != len(spec.targets):
            raise ValueError(f"data: origin must hold {len(spec.targets)} numbers")
        covariates = (*spec.past, *spec.future, *spec.static)
        if len(spec.covariate_origin) not in (0, len(covariates)):
            raise ValueError(f"data: covariate_origin must hold {len(covariates)} numbers")
        if not spec.categories.keys() <= set(covariates):
            raise ValueError("data: categories must name covariates")
        return spec


def calendar_width(freq: str | None) -> int:
    """Return how many calendar features a frequency has."""
    return len(calendar_features(np.zeros(1, dtype="datetime64[ns]"), freq)[1])
