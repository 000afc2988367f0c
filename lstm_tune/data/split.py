"""Which rows are trained on, validated on and tested on, and what a study may see of them.

A `Segment` is one honest experiment: rows to fit on and, right after them, rows to score. The study sees the segment
(train | validation) and, with folds, earlier ones of the same shape; the final score is the segment
(train + validation | test). Whatever is fitted, is fitted on `fit` alone.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from lstm_tune.data.series import SeriesSet
from lstm_tune.errors import DataError, UsageError

DEFAULT_SPLIT = (0.7, 0.1, 0.2)

Ranges = tuple[tuple[int, int], ...]  # one [start, end) of absolute rows for each series


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """Rows to fit on and the rows after them to score, one range of absolute rows for each series."""

    fit: Ranges
    score: Ranges


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """The three parts of the rows of each series; a series that is left out has empty ranges."""

    train: Ranges
    val: Ranges
    test: Ranges
    notes: tuple[str, ...] = ()

    @property
    def development(self) -> Segment:
        """The segment that a trial is judged on: fit on train rows, score on validation rows."""
        return Segment(fit=self.train, score=self.val)

    @property
    def final(self) -> Segment:
        """The segment that is scored once: fit on train and validation rows, score on test rows."""
        fit = tuple((a, d) for (a, _), (_, d) in zip(self.train, self.val, strict=True))
        return Segment(fit=fit, score=self.test)

    def folds(self, count: int, horizon: int) -> tuple[Segment, ...]:
        """Return at most `count` rolling-origin segments, the newest (`development`) first.

        Each further one moves the border back by the validation rows. A fold is made only while the shortest
        series keeps at least a third of its train rows, and two horizons, to fit on.
        """
        folds = [self.development]
        for k in range(1, count):
            fit, score = [], []
            for (start, end), (val_start, val_end) in zip(self.train, self.val, strict=True):
                block = val_end - val_start
                border = end - k * block
                if end > start and border - start < max((end - start) / 3, 2 * horizon):
                    return tuple(folds)
                fit.append((start, border))
                score.append((border, border + block))
            folds.append(Segment(fit=tuple(fit), score=tuple(score)))
        return tuple(folds)

    def ends(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return, for each series, where its validation rows end and where its test rows end."""
        return tuple(e for _, e in self.val), tuple(e for _, e in self.test)


def parse_split(text: str) -> tuple[float, float, float]:
    """Read 'TRAIN,VAL,TEST': three row counts, or three fractions.

    Raises:
        UsageError: not three numbers.
    """
    parts = [p.strip() for p in text.split(",")]
    try:
        a, b, c = (float(p) if "." in p or "e" in p.lower() else int(p) for p in parts)
    except ValueError:
        raise UsageError(
            f"--split must be three row counts or three fractions, such as 8640,2880,2880, but is {text!r}"
        ) from None
    return a, b, c


def make_split(data: SeriesSet, parts: Sequence[float], horizon: int) -> Split:
    """Cut each series, from its first row, into train, validation and test rows.

    Args:
        data: the series.
        parts: three row counts, or three fractions that add up to 1, of the rows of the source: rows that were added
            in gaps do not count. Rows past the sum of counts are left out.
        horizon: rows that each forecast covers; every part must hold at least one window of targets.

    Returns:
        The split. Among several series, one with less than a quarter of the median train rows, or too short for a
        window in each part, is left out (and said so in `notes`).

    Raises:
        UsageError: the parts are neither counts nor fractions that add up to 1, or the horizon is below 1.
        DataError: the rows do not suffice.
    """
    if horizon < 1:
        raise UsageError(f"horizon must be at least 1, but is {horizon}")
    borders = [_borders(data, s, counts) for s, counts in enumerate(_as_counts(data, parts))]
    floors = (horizon + 2, horizon, horizon)
    sizes = [tuple(b - a for a, b in pairwise(rows)) for rows in borders]
    fits = [all(n >= floor for n, floor in zip(size, floors, strict=True)) for size in sizes]
    if not any(fits):
        worst = max(sizes, key=sum)
        raise DataError(
            f"train, validation and test rows must hold at least {floors[0]}, {floors[1]} and {floors[2]} rows at "
            f"horizon {horizon}, but the {sum(worst)} rows split into {', '.join(map(str, worst))}; "
            f"use more rows, a shorter --horizon or another --split",
            code="too_little_data",
        )
    median = statistics.median(size[0] for size, ok in zip(sizes, fits, strict=True) if ok)
    keep = [ok and size[0] >= median / 4 for size, ok in zip(sizes, fits, strict=True)]
    cuts = [rows if kept else (rows[0],) * 4 for rows, kept in zip(borders, keep, strict=True)]
    train, val, test = (tuple((rows[i], rows[i + 1]) for rows in cuts) for i in range(3))
    left_out = [name for name, kept in zip(data.series, keep, strict=True) if not kept]
    notes: tuple[str, ...] = ()
    if left_out:
        shown = ", ".join(map(repr, left_out[:5])) + (", …" if len(left_out) > 5 else "")
        notes = (f"{len(left_out)} of {data.n_series} series are too short beside the others and left out: {shown}",)
    _check_observed(data, train, val, test)
    return Split(train=train, val=val, test=test, notes=notes)


def development_rows(rows: Sequence[int], parts: Sequence[float]) -> list[tuple[int, int]]:
    """Return how many rows of each series are train and validation rows; parts that are wrong take all rows.

    Args:
        rows: (S,) of each series, without those that were added in gaps.
        parts: see `make_split`, which refuses wrong ones.
    """
    sound = len(parts) == 3 and all(0 <= p < float("inf") for p in parts)
    if sound and all(p == int(p) for p in parts) and sum(parts) > 1:
        return [(min(n, int(parts[0])), min(n, int(parts[0]) + int(parts[1])) - min(n, int(parts[0]))) for n in rows]
    if not sound or abs(sum(parts) - 1) > 1e-6:
        return [(n, 0) for n in rows]
    return [(round(n * parts[0]), round(n * parts[1])) for n in rows]


def _borders(data: SeriesSet, series: int, counts: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Return the absolute rows at which train, validation and test rows begin, and at which the last ones end.

    Rows that were added in a gap belong to the part of the row after it: then no later row moves a border.
    """
    start, end = data.offsets[series], data.offsets[series + 1]
    places = None if data.placed is None else data.placed[series]
    at = [start]
    for count in (counts[0], counts[0] + counts[1], sum(counts)):
        if places is None:
            at.append(start + count)
        else:
            at.append(int(places[count - 1]) + 1 if 0 < count < len(places) else start if count < 1 else end)
    return at[0], at[1], at[2], at[3]


def _as_counts(data: SeriesSet, parts: Sequence[float]) -> list[tuple[int, int, int]]:
    if len(parts) != 3:
        raise UsageError(f"split must have three parts (train, validation, test), but has {len(parts)}")
    if any(p <= 0 for p in parts):
        raise UsageError(f"every part of the split must be above 0, but it is {', '.join(f'{p:g}' for p in parts)}")
    rows = [b - a for a, b in pairwise(data.offsets)] if data.placed is None else [len(p) for p in data.placed]
    a, b, c = parts
    if all(p == int(p) for p in parts):
        need = int(a + b + c)
        short = min(rows)
        if short < need:
            raise DataError(
                f"split {int(a)},{int(b)},{int(c)} needs {need} rows, but "
                f"{'the shortest series' if len(rows) > 1 else 'the series'} has {short}; make the split smaller"
            )
        return [(int(a), int(b), int(c))] * len(rows)
    if abs(a + b + c - 1) > 1e-6 or any(p >= 1 for p in parts):
        raise UsageError(f"fractions of the split must add up to 1, but {a:g} + {b:g} + {c:g} = {a + b + c:g}")
    developed = development_rows(rows, parts)
    return [(n_train, n_val, n - n_train - n_val) for n, (n_train, n_val) in zip(rows, developed, strict=True)]


def _check_observed(data: SeriesSet, train: Ranges, val: Ranges, test: Ranges) -> None:
    for name, ranges in (("train", train), ("validation", val), ("test", test)):
        for c, target in enumerate(data.targets):
            if not any(bool(data.observed[c, a:b].any()) for a, b in ranges if b > a):
                raise DataError(
                    f"target {target!r} has no observed value in the {name} rows; choose another --split or target",
                    code="missing_values",
                )
    for c, target in enumerate(data.targets):
        bounds = [(float(x.min()), float(x.max())) for x in data.seen(c, train) if len(x)]
        low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
        if low == high:
            raise DataError(
                f"target {target!r} has one and the same value ({low + data.origin[c]:g}) in all train rows, so "
                f"nothing can be learned; choose another --split or target",
                code="constant_series",
            )
