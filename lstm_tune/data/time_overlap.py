"""Rows that are trained on although they lie later in time than rows of another series that are scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split_rule import share_time
from lstm_tune.data.time_labels import TimeStyle

_Rows = Sequence[tuple[int, int]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """Rows that tell of a time at which another series is scored: series that move together leak through them.

    Attributes:
        series: that have such rows.
        of: series in all.
        rows: train rows later than the first validation or test row of another series, and validation rows later than
            the first test row of another one: the final model is trained on them, too.
        scored_from: the first validation or test row.
        trained_until: the last train row.
    """

    series: int
    of: int
    rows: int
    scored_from: str
    trained_until: str

    def sentence(self) -> str:
        """Return what happened, and what to do."""
        return (
            f"{self.series:,} of {self.of:,} series have rows that are trained on (the last one is from "
            f"{self.trained_until}) although they are later than validation or test rows of other series (the first "
            f"one is from {self.scored_from}): if the series move together, the scores are too good; "
            f'split="DATE,DATE" cuts all series at the same times'
        )


def find_overlap(data: SeriesSet, train: _Rows, val: _Rows, test: _Rows) -> Overlap | None:
    """Compare the times of the parts of all series; None: no fitted row is later than a scored row of another series.

    Args:
        data: the series; if their times mean nothing to each other, there is no overlap.
        train: rows [start, end) of each series; those of a series that takes no part are empty.
        val: the same.
        test: the same.
    """
    if data.n_series == 1 or (data.times.dtype.kind != "M" and data.step is None):
        return None
    ends = np.asarray([*data.offsets[:-1], *(end - 1 for end in data.offsets[1:])])
    if not share_time((*range(data.n_series), 2 * data.n_series), data.times[ends]):
        return None
    first = _first(data, [a for a, b in (*val, *test) if b > a])
    first_test = _first(data, [a for a, b in test if b > a])
    late = np.zeros(data.n_series, dtype=np.int64)
    for part, scored in ((train, first), (val, first_test)):
        used = [s for s, (a, b) in enumerate(part) if b > a]
        last = data.times[np.asarray([part[s][1] - 1 for s in used])]
        for s in np.asarray(used)[last > scored].tolist():
            a, b = part[s]
            late[s] += b - a - int(np.searchsorted(data.times[a:b], scored, side="right"))
    if not late.any():
        return None
    trained = data.times[np.asarray([b - 1 for a, b in train if b > a])].max()
    shown = TimeStyle.of(np.array([first, trained]), data.zone).labels(np.array([first, trained]))
    return Overlap(
        series=int((late > 0).sum()),
        of=data.n_series,
        rows=int(late.sum()),
        scored_from=str(shown[0]),
        trained_until=str(shown[1]),
    )


def _first(data: SeriesSet, rows: Sequence[int]) -> Any:
    return data.times[np.asarray(rows)].min()
