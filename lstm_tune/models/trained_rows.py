"""Which rows a saved model was trained on, so that a score on them can be told from one on new rows."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from torch import Tensor

from lstm_tune.data.even_times import EvenTimes, Times
from lstm_tune.data.series import STRETCH, SeriesSet
from lstm_tune.data.split import Ranges
from lstm_tune.data.time_labels import TimeStyle
from lstm_tune.data.windows import Positions, Windows
from lstm_tune.evaluation.score import TargetScale
from lstm_tune.models.checked import Checked

_SAMPLED = 32  # trained rows that are recognised
_SAME = 0.5  # of them, found again with the same values: the data are those of the training
_GOLDEN = (math.sqrt(5) - 1) / 2
_OFF, _ROUNDING = 0.01, 1e-6  # what a sum may be off: of a standard deviation, and of the values' norm


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedRows:
    """Where the trained rows end, and how some of them are recognised.

    Attributes:
        until: the time of the last one, as a whole number: nanoseconds since 1970, or the number of the row.
        times: of the rows that are recognised, in the same unit.
        marks: a short digest of the value in each of them.
        ends: {series: time of its last trained row}, of those that end at another time than `until`.
        sums: {series, "" if there is one alone: its trained rows, and of each target the observed values and their
            weighted sum}; a value that is changed changes it. Empty: an earlier version did not keep it.
    """

    until: int | float
    times: tuple[int | float, ...]
    marks: tuple[str, ...]
    ends: Mapping[str, int | float] = field(default_factory=dict)
    sums: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, data: SeriesSet, rows: Ranges, scale: TargetScale) -> TrainedRows:
        """Remember rows that a model was trained on.

        Args:
            data: all rows.
            rows: one range for each series.
            scale: of the model.
        """
        names = [name for name, (a, b) in zip(data.series, rows, strict=True) if b > a]
        used = [(a, b) for a, b in rows if b > a]
        last = _numbers(data.times, [b - 1 for _, b in used])
        until = last.max().item()
        chosen = _spread(used, _SAMPLED)
        seen = [row for row in chosen if bool(data.observed[0, row])]
        times = _numbers(data.times, seen)
        return cls(
            until=until,
            times=tuple(times.tolist()),
            marks=tuple(_mark(data, row, scale) for row in seen),
            ends={name: end for name, end in zip(names, last.tolist(), strict=True) if end != until},
            sums={
                name if data.n_series > 1 else "": tuple(_sums(data, a, b)[0])
                for name, (a, b) in zip(names, used, strict=True)
            },
        )

    def note(self, windows: Windows, positions: Positions | Tensor, scale: TargetScale) -> tuple[str, ...]:
        """Return a sentence if windows that are scored lie in the trained rows.

        Args:
            windows: of the data that are scored.
            positions: the windows (n,).
            scale: of the model.
        """
        data = windows.data
        if not self.holds(data, scale):
            return ()
        row = positions[:].cpu().numpy() % windows.rows
        last = row + windows.horizon - 1
        ends = np.array([self.ends.get(name, self.until) for name in data.series])
        series = np.searchsorted(np.array(data.offsets), row, side="right") - 1
        trained = int((_numbers(data.times, last) <= ends[series]).sum())
        if not trained:
            return ()
        end = np.array([self.until]).astype("datetime64[ns]" if data.times.dtype.kind == "M" else data.times.dtype)
        until = TimeStyle.of(data.times, data.zone).labels(end)[0]
        many = "all" if trained == len(last) else f"{trained:,} of"
        return (
            f"{many} {len(last):,} windows lie in rows that the model was trained on (until {until}): "
            f"their errors say nothing about new rows; give it the rows after these",
        )

    def count(self, data: SeriesSet, start: int, end: int) -> int:
        """Return how many of the rows [start, end) of a series are not newer than the last trained row."""
        return int((_numbers(data.times, range(start, end)) <= self.until).sum())

    def ranges(self, data: SeriesSet, known: Sequence[str]) -> Ranges:
        """Return the rows of each series that are not newer than its last trained one; none of an unknown series.

        Args:
            data: that hold the trained rows.
            known: names of the series that the model was trained on; (): it was a single one.
        """
        found, names = [], set(known)
        for name, (a, b) in zip(data.series, pairwise(data.offsets), strict=True):
            until = self.ends.get(name, self.until)
            trained = int((_numbers(data.times, range(a, b)) <= until).sum()) if not names or name in names else 0
            found.append((a, a + trained))
        return tuple(found)

    def unchanged(self, data: SeriesSet, known: Sequence[str], scale: TargetScale) -> Ranges | None:
        """Return the `ranges` of the trained rows if the data hold all of them with the same values, else None.

        Args:
            data: that may hold the trained rows.
            known: as for `ranges`.
            scale: of the model.
        """
        rows, left = self.ranges(data, known), dict(self.sums)
        if self._recognised(data, scale) < len(self.times):
            return None
        for name, (a, b) in zip(data.series, rows, strict=True):
            if b == a:
                continue
            then, (now, tolerance) = left.pop(name if known else "", ()), _sums(data, a, b)
            if len(then) != len(now) or any(abs(x - y) > t for x, y, t in zip(then, now, tolerance, strict=True)):
                return None
        return None if left else rows

    def holds(self, data: SeriesSet, scale: TargetScale) -> bool:
        """Return whether the data hold at least half of the rows that are recognised: enough to tell old from new."""
        return bool(self.times) and self._recognised(data, scale) >= _SAME * len(self.times)

    def _recognised(self, data: SeriesSet, scale: TargetScale) -> int:
        """Return how many of the rows that are recognised are there with the same value."""
        found = set()
        for a, b in pairwise(data.offsets):
            times = _numbers(data.times, range(a, b))
            for i in np.flatnonzero(np.isin(times, self.times)):
                found.add((times[i].item(), _mark(data, a + int(i), scale)))
        return sum((t, mark) in found for t, mark in zip(self.times, self.marks, strict=True))

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON."""
        record = {"until": self.until, "times": list(self.times), "marks": list(self.marks)}
        sums = {name: list(numbers) for name, numbers in self.sums.items()}
        return record | ({"ends": dict(self.ends)} if self.ends else {}) | ({"sums": sums} if sums else {})

    @classmethod
    def from_json(cls, raw: Any) -> TrainedRows | None:
        """Read what `to_json` wrote; None: an earlier version wrote nothing.

        Raises:
            ValueError: it is something else.
        """
        if raw is None:
            return None
        given = Checked(raw, "trained")
        times, marks = given.numbers("times"), given.names("marks")
        until, ends = raw.get("until"), given.table("ends")
        if not all(type(end) in (int, float) and math.isfinite(end) for end in ends.values()):
            raise ValueError("trained: each of ends must be a finite number")
        if type(until) not in (int, float) or not math.isfinite(until) or abs(until) >= 2**63:
            raise ValueError("trained: until must be a finite number")
        if len(times) != len(marks) or len(times) > _SAMPLED:
            raise ValueError(f"trained: times and marks must be as many, and at most {_SAMPLED}")
        of_series = Checked(given.table("sums"), "trained: sums")
        sums = {name: of_series.numbers(name) for name in of_series.raw}
        return cls(until=until, times=tuple(raw["times"]), marks=marks, ends=dict(ends), sums=sums)


def _spread(ranges: Sequence[tuple[int, int]], count: int) -> list[int]:
    """Return evenly spaced rows of some ranges."""
    total = sum(b - a for a, b in ranges)
    places = np.unique(np.linspace(0, total - 1, min(count, total)).astype(np.int64))
    starts = np.cumsum([0, *(b - a for a, b in ranges)])
    which = np.searchsorted(starts, places, side="right") - 1
    return [int(ranges[r][0] + place - starts[r]) for r, place in zip(which, places, strict=True)]


def _numbers(times: Times | EvenTimes, rows: Sequence[int] | np.ndarray | range) -> np.ndarray:
    """Return the times of some rows as numbers."""
    index = slice(rows.start, rows.stop) if isinstance(rows, range) else np.asarray(rows, dtype=np.int64)
    found: np.ndarray = np.asarray(times[index])
    return found.astype("datetime64[ns]").astype(np.int64) if found.dtype.kind == "M" else found


def _mark(data: SeriesSet, row: int, scale: TargetScale) -> str:
    """Return a digest of the first target's value in a row, rounded: its last digits may differ."""
    deviations = (float(data.values[0, row]) - scale.mean[0]) / scale.sd[0]
    return hashlib.sha256(f"{deviations:.2f}".encode()).hexdigest()[:8]


def _sums(data: SeriesSet, start: int, end: int) -> tuple[list[float], list[float]]:
    """Return the rows [start, end) of a series as `TrainedRows.sums` keeps them, and by how much each may be off.

    float32 may round a value otherwise if the source is read with other rows, so the sums are not compared to the bit.
    """
    numbers, off = [float(end - start)], [0.0]
    for values, observed in zip(data.values, data.observed, strict=True):
        count, weighted, total, squares = 0, 0.0, 0.0, 0.0
        for first in range(start, end, STRETCH):
            rows = np.arange(min(STRETCH, end - first))
            seen = rows[observed[first : first + len(rows)].cpu().numpy()]
            own = values[first : first + len(rows)].cpu().numpy()[seen].astype(np.float64)
            weights = 1 + (seen + first - start) * _GOLDEN % 1  # each row has its own, so two cannot be swapped
            count, weighted = count + len(own), weighted + float(own @ weights)
            total, squares = total + float(own.sum()), squares + float(own @ own)
        variance = max(0.0, squares / count - (total / count) ** 2) if count else 0.0
        numbers += [float(count), weighted]
        off += [0.0, _OFF * math.sqrt(variance) + _ROUNDING * math.sqrt(squares)]
    return numbers, off
