"""Fill missing values, and bring values to single precision without losing their digits."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lstm_tune.data.columns import Floats
from lstm_tune.data.even_times import Bools, pieces
from lstm_tune.data.series import STRETCH
from lstm_tune.errors import DataError

COARSEST = 1e4  # largest |x| in standard deviations that float32 still resolves well


def fill_forward(values: Floats, known: Bools, offsets: Sequence[int]) -> Floats:
    """Fill NaN with the last value before it in the same series, leading ones with the series' first value.

    A series without any value takes the column's first; only then, and in front of a series' first value, does
    a filled value know something later than itself.

    Args:
        values: (N,), one of them known at least.
        known: (N,) whether a value is none to be filled.
        offsets: (S+1,) borders of the series.
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
    source = np.where(leading, last + 1, first - 1)
    source[leading & (last + 1 == borders[series + 1])] = int(known.argmax())
    filled = values.copy()
    filled[missing] = np.repeat(values[source], last - first + 1)
    return filled


def find_origin(values: Floats, observed: Bools, offsets: Sequence[int], train: float = 1.0) -> float:
    """Return what to subtract from (N,) values so that float32 resolves them; mostly 0.

    The first half of each series decides, or its train rows if they are fewer: later rows, where the test rows lie,
    must not change what the others look like. Of more than `STRETCH` rows, evenly spaced ones do.

    Args:
        values: (N,), filled.
        observed: (N,) whether a value was not filled in.
        offsets: (S+1,) borders of the series.
        train: train rows of each series; up to 1: their share of its rows.
    """
    lengths = [(start, end - start) for start, end in itertools.pairwise(offsets)]
    halves = [(a, a + max(2, min(n // 2, round(n * train) if train <= 1 else int(train)))) for a, n in lengths]
    every = -(-sum(end - start for start, end in halves) // STRETCH)
    half = np.concatenate([values[start:end:every][observed[start:end:every]] for start, end in halves])
    half = (half if len(half) else values[observed]).astype(np.float64)
    largest = float(np.abs(half).max())
    spread = float(np.std(half / largest)) * largest if largest else 0.0
    if largest <= COARSEST * (spread or 1.0):
        return 0.0
    digits = -int(np.floor(np.log10(spread or 1.0)))
    return float(round(float(np.median(half / largest)) * largest, digits))


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
                raise DataError(
                    f"column {name!r} reaches {largest:.3g}, above what float32 holds (3.4e+38); rescale it",
                    code="scale_unfit",
                )
            into[a:b] = centred
