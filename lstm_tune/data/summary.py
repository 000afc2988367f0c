"""What the data are: rows, frequency, what is missing, where each part begins and ends."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Ranges, Split
from lstm_tune.data.time_labels import TimeStyle


def data_facts(data: SeriesSet, horizon: int) -> dict[str, Any]:
    """Return what is known of the data before they are cut into parts."""
    return {
        "path": data.path,
        "rows": data.n_rows,
        "freq": data.freq,
        "target": list(data.targets),
        "series": data.n_series,
        "horizon": horizon,
        "missing": dict(data.missing),
        "repaired": dict(data.repaired),
        "notes": list(data.notes),
    }


def split_facts(data: SeriesSet, split: Split) -> dict[str, Any]:
    """Return rows, first and last time stamp of each part, {"train" | "val" | "test": {…}}."""
    parts = (("train", split.train), ("val", split.val), ("test", split.test))
    return {name: _part(data, ranges) for name, ranges in parts}


def overlap_facts(split: Split) -> dict[str, Any] | None:
    """Return which rows are trained on that lie later than scored rows of other series; None: none."""
    return None if split.overlap is None else asdict(split.overlap)


@dataclass(frozen=True, kw_only=True, slots=True)
class PartSummary:
    """Train, validation or test rows of all series together."""

    rows: int
    start: str  # time stamp of the first row
    end: str  # of the last one


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSummary:
    """The part `data` of result.json: rows, columns, the three parts, what was missing and what was repaired."""

    path: str
    rows: int
    freq: str | None
    target: tuple[str, ...]
    series: int
    channels: int
    past: tuple[str, ...]
    future: tuple[str, ...]
    horizon: int
    period: int | None  # rows in a season; None: there is none
    seasons: tuple[int, ...]  # all seasons that were found, in rows
    split: Mapping[str, PartSummary]  # train, val, test
    missing: Mapping[str, int]
    repaired: Mapping[str, Any]
    notes: tuple[str, ...]
    time_overlap: Mapping[str, Any] | None = None  # rows trained on later than scored rows of other series

    @classmethod
    def of(
        cls,
        data: SeriesSet,
        split: Split,
        *,
        horizon: int,
        period: int | None,
        seasons: Sequence[int],
        notes: Sequence[str] = (),
    ) -> DataSummary:
        """Summarise the data of a study.

        Args:
            data: all rows.
            split: of the rows.
            horizon: rows that a forecast covers.
            period: rows in a season; None: there is none.
            seasons: all seasons, in rows.
            notes: beside those on the data and the split.
        """
        return cls(
            path=data.path,
            rows=data.n_rows,
            freq=data.freq,
            target=data.targets,
            series=data.n_series,
            channels=data.n_channels,
            past=data.past_names,
            future=data.future_names,
            horizon=horizon,
            period=period,
            seasons=tuple(seasons),
            split={name: PartSummary(**part) for name, part in split_facts(data, split).items()},
            missing=data.missing,
            repaired=data.repaired,
            notes=(*data.notes, *split.notes, *notes),
            time_overlap=overlap_facts(split),
        )


def all_rows(data: SeriesSet) -> PartSummary:
    """Return how many rows there are, and the time that they span."""
    return PartSummary(**_part(data, tuple(itertools.pairwise(data.offsets))))


def _part(data: SeriesSet, ranges: Ranges) -> dict[str, Any]:
    used = [(a, b) for a, b in ranges if b > a]
    first = min(data.times[a] for a, _ in used)
    last = max(data.times[b - 1] for _, b in used)
    ends = np.array([first, last])
    start, end = TimeStyle.of(ends, data.zone).labels(ends)
    return {"rows": sum(b - a for a, b in used), "start": str(start), "end": str(end)}
