"""Fill missing values, and bring values to single precision without losing their digits.

Nothing here looks at a row later than the train rows: what a fill or an origin is must not depend on rows that a
study is judged on.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lstm_tune.data.columns import Floats
from lstm_tune.data.even_times import Bools, pieces
from lstm_tune.data.series import STRETCH
from lstm_tune.errors import DataError
from lstm_tune.utils.text import counted

COARSEST = 1e4  # largest |x| in standard deviations that float32 still resolves well


def fill_forward(values: Floats, known: Bools, offsets: Sequence[int], before: Sequence[float]) -> Floats:
    """Fill NaN with the last value before it in the same series; at the beginning of a series with a given value.

    Args:
        values: (N,).
        known: (N,) whether a value is none to be filled.
        offsets: (S+1,) borders of the series.
        before: (S,) the value before the first value of each series; see `values_before`.
    """
    if known.all():
        return values
    borders = np.asarray(offsets)
    missing = ~known
    begins, ends = missing.copy(), missing.copy()  # of runs of missing values, none of which reaches over a border
    begins[1:] &= known[:-1]
    begins[borders[:-1]] = missing[borders[:-1]]
    ends[:-1] &= known[1:]
    ends[borders[1:] - 1] = missing[borders[1:] - 1]
    first, last = np.flatnonzero(begins), np.flatnonzero(ends)
    series = np.searchsorted(borders, first, side="right") - 1
    leading = first == borders[series]
    source = np.where(leading, np.asarray(before, dtype=values.dtype)[series], values[np.where(leading, 0, first - 1)])
    filled = values.copy()
    filled[missing] = np.repeat(source, last - first + 1)
    return filled


def values_before(
    values: Floats, known: Bools, offsets: Sequence[int], train: Sequence[tuple[int, int]]
) -> tuple[float, ...] | None:
    """Return the value before the first value of each series (S,): the median of its early train rows.

    Early are the first third of the train rows, which every fold is fitted on. Without a value there, all train rows
    of the series count, then those of all series.

    Args:
        values: (N,).
        known: (N,) which of them were observed.
        offsets: (S+1,) borders of the series.
        train: (S,) rows [start, end) of each series that may be looked at.

    Returns:
        None: there is no value in any train row.
    """
    starts = np.asarray(offsets[:-1])
    if bool(known[starts].all()):  # nothing is filled in front of a series
        return tuple(values[starts].tolist())
    thirds = [_median(values, known, a, a + -(-(b - a) // 3)) for a, b in train]
    alone = [third if third is not None else _median(values, known, *t) for third, t in zip(thirds, train, strict=True)]
    together = [m for m in alone if m is not None]
    if not together:
        return None
    usual = float(np.median(together))
    return tuple(usual if own is None else own for own in alone)


def _median(values: Floats, known: Bools, start: int, end: int) -> float | None:
    seen = values[start:end][known[start:end]]
    return float(np.median(seen)) if len(seen) else None


def find_origin(values: Floats, observed: Bools, train: Sequence[tuple[int, int]]) -> float:
    """Return what to subtract from (N,) values so that float32 resolves them; mostly 0.

    The train rows decide. Of more than `STRETCH` of them, evenly spaced ones do.
    """
    every = max(1, -(-sum(b - a for a, b in train) // STRETCH))
    seen = np.concatenate([values[a:b:every][observed[a:b:every]] for a, b in train]).astype(np.float64)
    if not len(seen):
        return 0.0
    largest = float(np.abs(seen).max())
    spread = float(np.std(seen / largest)) * largest if largest else 0.0
    if largest <= COARSEST * (spread or 1.0):
        return 0.0
    digits = -int(np.floor(np.log10(spread or 1.0)))
    return float(round(float(np.median(seen / largest)) * largest, digits))


def to_float32(values: Floats, name: str, into: NDArray[np.float32], origin: float = 0.0) -> None:
    """Write (N,) values minus their origin in single precision.

    Raises:
        DataError: a value is too large for it.
    """
    with np.errstate(over="ignore"):  # refused below
        for a, b in pieces(0, len(values)):
            centred = values[a:b].astype(np.float64) - origin if origin else values[a:b]
            largest = max(float(centred.max()), -float(centred.min()))
            if largest > float(np.finfo(np.float32).max):
                size = np.abs(values.astype(np.float64))
                many = int((np.maximum(size, np.abs(values - origin)) > np.finfo(np.float32).max).sum())
                raise DataError(
                    f"column {name!r} reaches {float(size.max()):.3g} in {counted(many, 'row')} of {len(values):,}, "
                    f"above what float32 holds (3.4e+38); leave values empty that are errors, or rescale the column",
                    code="scale_unfit",
                )
            into[a:b] = centred


def ranges(offsets: Sequence[int], ends: Sequence[int]) -> list[tuple[int, int]]:
    """Return the rows [start, end) of each series up to its end."""
    return [(start, max(start, end)) for (start, _), end in zip(itertools.pairwise(offsets), ends, strict=True)]
