"""Times of evenly spaced rows, computed only when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


Bools = NDArray[np.bool_]


Times = NDArray[Any]  # datetime64[ns]; numbers if time is counted, or rows have none


_PIECE = 2**20  # rows


class EvenTimes:
    """The times of series whose rows are equally far apart, made when they are asked for.

    Takes the indices of an array (N,), and `np.asarray`.

    Args:
        first: (S,) time of the first row of each series: datetime64[ns], or numbers.
        step: from row to row, in nanoseconds, or as numbers.
        offsets: (S+1,) borders of the series.
    """

    def __init__(self, first: Times, step: float, offsets: Sequence[int]) -> None:
        self._first, self._step, self._offsets = first, step, np.asarray(offsets)

    @property
    def step(self) -> float:
        """From row to row, in nanoseconds, or as numbers."""
        return self._step

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one time."""
        return self._first.dtype

    def __len__(self) -> int:
        return int(self._offsets[-1])

    @overload
    def __getitem__(self, rows: int) -> Any: ...

    @overload
    def __getitem__(self, rows: slice | Ints | Bools) -> Times: ...

    def __getitem__(self, rows: int | slice | Ints | Bools) -> Any:
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        elif not isinstance(rows, np.ndarray):
            return self[np.array([range(len(self))[rows]])][0]
        elif rows.dtype == np.bool_:
            rows = np.flatnonzero(rows)
        series = np.searchsorted(self._offsets, rows, side="right") - 1
        return self._first[series] + (rows - self._offsets[series]) * self._step

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Times:
        return np.asarray(self[:], dtype=dtype)

    def tolist(self) -> list[Any]:
        """Return all times."""
        times: list[Any] = self[:].tolist()
        return times

    def following(self, steps: int) -> Times:
        """Return the (S, steps) times that follow each series."""
        rows = np.diff(self._offsets)[:, None] + np.arange(steps)
        times: Times = self._first[:, None] + rows * self._step
        return times

    def head(self, lengths: Sequence[int]) -> EvenTimes:
        """Return the times of the first `lengths[s]` rows of each series."""
        return EvenTimes(self._first, self._step, (0, *np.cumsum(lengths)))


def pieces(start: int, end: int) -> list[tuple[int, int]]:
    """Cut rows [start, end) into consecutive pieces that are looked at one by one: bounds memory."""
    return [(a, min(a + _PIECE, end)) for a in range(start, end, _PIECE)]
