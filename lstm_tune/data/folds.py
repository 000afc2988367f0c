"""Rolling-origin folds: earlier segments of the same shape as train and validation rows."""

from __future__ import annotations

import numpy as np

from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Ranges, Segment, Split

_LEAST = 1 / 3  # of its train rows, that a series keeps to fit on


def rolling_folds(data: SeriesSet, split: Split, count: int, horizon: int) -> tuple[Segment, ...]:
    """Return at most `count` rolling-origin segments, the newest (train | validation) first.

    Each further one moves the border back by the validation rows: in each series, or, if all series are cut at the same
    times, by the same time stamps in all of them. A series that would keep less than a third of its train rows, or of
    two horizons, to fit on takes no part in a fold; a fold is made while at least half of the series do.

    Args:
        data: the rows that a study may see.
        split: of these rows.
        count: of segments, at most.
        horizon: rows that each forecast covers.
    """
    folds = [split.development]
    taking_part = sum(b > a for a, b in split.train)
    for k in range(1, count):
        borders = _common_borders(data, split, k) if split.common else _own_borders(split, k)
        if borders is None:
            break
        fit, score = [], []
        for (start, end), (border, block_end) in zip(split.train, borders, strict=True):
            least = max((end - start) * _LEAST, 2 * horizon)
            takes_part = end > start and border - start >= least
            fit.append((start, border) if takes_part else (start, start))
            score.append((border, max(border, block_end)) if takes_part else (start, start))
        kept = sum(b > a for a, b in fit)
        if not kept or 2 * kept < taking_part:
            break
        folds.append(Segment(fit=tuple(fit), score=tuple(score)))
    return tuple(folds)


def _own_borders(split: Split, k: int) -> Ranges:
    """Return the `k`-th block of each series before its validation rows, each as long as these."""
    pairs = zip(split.train, split.val, strict=True)
    return tuple((end - k * (b - a), end - (k - 1) * (b - a)) for (_, end), (a, b) in pairs)


def _common_borders(data: SeriesSet, split: Split, k: int) -> Ranges | None:
    """Return the rows of the `k`-th block of time before the validation rows, as long as these; None: there is none."""
    val = [(a, b) for a, b in split.val if b > a]
    times = np.asarray(data.times)
    axis = np.unique(np.concatenate([times[a:b] for a, b in (*split.train, *split.val)]))
    begin = int(np.searchsorted(axis, min(times[a] for a, _ in val)))
    block = int(np.searchsorted(axis, max(times[b - 1] for _, b in val), side="right")) - begin
    first = begin - k * block
    if first <= 0:
        return None
    at = axis[[first, first + block]]
    rows = [(start, np.searchsorted(times[start:end], at)) for start, end in split.train]
    return tuple((start + int(low), start + int(high)) for start, (low, high) in rows)
