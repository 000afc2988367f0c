"""Which rows are trained on, validated on and tested on, and what a study may see of them.

A `Segment` is one honest experiment: rows to fit on and, right after them, rows to score. The study sees the segment
(train | validation) and, with folds, earlier ones of the same shape; the final score is the segment
(train + validation | test). Whatever is fitted, is fitted on `fit` alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split_rule import Cut, SplitRule, cut_rows, on_clock, read_split
from lstm_tune.data.time_overlap import Overlap, find_overlap
from lstm_tune.errors import DataError, UsageError

_TELLING = 8  # train rows that tell the size of a series that is too short to be trained on

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
    common: bool = False  # whether all series are cut at the same times
    overlap: Overlap | None = None  # if rows are trained on that lie later than scored rows of another series

    @property
    def development(self) -> Segment:
        """The segment that a trial is judged on: fit on train rows, score on validation rows."""
        return Segment(fit=self.train, score=self.val)

    @property
    def final(self) -> Segment:
        """The segment that is scored once: fit on train and validation rows, score on test rows."""
        fit = tuple((a, d) for (a, _), (_, d) in zip(self.train, self.val, strict=True))
        return Segment(fit=fit, score=self.test)

    def ends(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return, for each series, where its validation rows end and where its test rows end."""
        return tuple(e for _, e in self.val), tuple(e for _, e in self.test)


def make_split(data: SeriesSet, rule: SplitRule | Sequence[Any] | str, horizon: int) -> Split:
    """Cut each series, from its first row, into train, validation and test rows.

    Args:
        data: the series.
        rule: how; see `SplitRule` and `read_split`. Counts and shares are of the rows of the source: rows that were
            added in gaps do not count. Rows past the sum of counts are left out.
        horizon: rows that each forecast covers; every part must hold at least one window of targets.

    Returns:
        The split. Among several series, one with too few rows to validate on is only trained and tested on, or only
        tested on if its train rows hold no window; one without a row before a window of test rows is left out. `notes`
        names them.

    Raises:
        UsageError: the rule is none, or does not suit the data, or the horizon is below 1.
        DataError: the rows do not suffice.
    """
    if horizon < 1:
        raise UsageError(f"horizon must be at least 1, but is {horizon}")
    chosen = read_split("split", rule)
    assert chosen is not None
    cut = data.cut if data.cut is not None and data.cut.rule == chosen else _cut_again(data, chosen)
    if chosen.kind == "rows":
        _check_counts(chosen, data)
    borders = [_borders(data, s, counts) for s, counts in enumerate(cut.counts)]
    floors = (horizon + 2, horizon, horizon)
    sizes = [tuple(b - a for a, b in pairwise(rows)) for rows in borders]
    fits = [all(n >= floor for n, floor in zip(size, floors, strict=True)) for size in sizes]
    if not any(fits):
        worst = max(sizes, key=lambda size: (min(size), sum(size)))
        raise DataError(
            f"train, validation and test rows must hold at least {floors[0]}, {floors[1]} and {floors[2]} rows at "
            f"horizon {horizon}, but the {sum(worst)} rows split into {', '.join(map(str, worst))}; "
            f"use more rows, a shorter horizon or another split",
            code="too_little_data",
        )
    cuts = [rows if kept else _tested_alone(rows, horizon) for rows, kept in zip(borders, fits, strict=True)]
    train, val, test = (tuple((rows[i], rows[i + 1]) for rows in cuts) for i in range(3))
    notes = [cut.note] if cut.note else []
    learned = tuple((a, b) if b - a > horizon else (a, a) for a, b in train)  # fewer rows hold no window to learn from
    for trained, tested, what in (
        (True, True, "have too few rows to validate on: they are only trained and tested on"),
        (False, True, "have too few rows to train or validate on: they are only tested on"),
        (False, False, "are left out, since a part of their rows is too short"),
    ):
        short = zip(data.series, fits, learned, test, strict=True)
        names = [name for name, fit, (a, b), (c, d) in short if not fit and (b > a, d > c) == (trained, tested)]
        if names:
            shown = ", ".join(map(repr, names[:5])) + (", …" if len(names) > 5 else "")
            notes.append(f"{len(names)} of {data.n_series} series {what}: {shown}")
    _check_observed(data, train, val, test)
    overlap = find_overlap(data, learned, val, test)
    if overlap is not None:
        notes.append(overlap.sentence())
    return Split(train=train, val=val, test=test, notes=tuple(notes), common=cut.common, overlap=overlap)


def _cut_again(data: SeriesSet, rule: SplitRule) -> Cut:
    """Apply another rule to series than the one that they were loaded with."""
    offsets = data.offsets
    if data.placed is not None:
        offsets = (0, *itertools.accumulate(map(len, data.placed)))
    timed = data.times.dtype.kind == "M" or data.step is not None or data.time_name is not None
    if not timed or rule.kind in ("rows", "last") or (rule.kind == "shares" and data.n_series == 1):
        return cut_rows(rule, offsets, None)
    times = np.asarray(data.times)
    return cut_rows(
        rule, offsets, on_clock(times if data.placed is None else times[np.concatenate(data.placed)], data.zone)
    )


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


def _tested_alone(rows: tuple[int, int, int, int], horizon: int) -> tuple[int, int, int, int]:
    """Return the borders of a series that lacks a part: with test rows if they hold a window behind a row, else none.

    Its train rows tell its size. If they are too few for that, the validation rows count as train rows, too.
    """
    start, val, test, end = rows
    if end - test < horizon or test == start:
        return start, start, start, start
    return start, val if val - start >= _TELLING else test, test, end


def _check_counts(rule: SplitRule, data: SeriesSet) -> None:
    rows = [b - a for a, b in pairwise(data.offsets)] if data.placed is None else [len(p) for p in data.placed]
    need, short = int(sum(rule.numbers)), min(rows)
    if short < need:
        raise DataError(
            f"split {rule} needs {need} rows, but {'the shortest series' if len(rows) > 1 else 'the series'} has "
            f"{short}; make the split smaller"
        )


def _check_observed(data: SeriesSet, train: Ranges, val: Ranges, test: Ranges) -> None:
    for name, ranges in (("train", train), ("validation", val), ("test", test)):
        for c, target in enumerate(data.targets):
            if not any(bool(data.observed[c, a:b].any()) for a, b in ranges if b > a):
                raise DataError(
                    f"target {target!r} has no observed value in the {name} rows; choose another split or target",
                    code="missing_values",
                )
    for c, target in enumerate(data.targets):
        bounds = [(float(x.min()), float(x.max())) for x in data.seen(c, train) if len(x)]
        low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
        if low == high:
            raise DataError(
                f"target {target!r} has one and the same value ({low + data.origin[c]:g}) in all train rows, so "
                f"nothing can be learned; choose another split or target",
                code="constant_series",
            )
