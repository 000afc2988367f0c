"""A regular grid of numbers: time that is counted, such as 0.02, 0.04, 0.06 seconds or period 1, 2, 3."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from lstm_tune.data.even_times import EvenTimes, Ints, Times
from lstm_tune.data.frequency import inner_steps, most_common
from lstm_tune.data.time_grid import Grid, put_in_place

_JITTER = 0.1  # of a step, that a number may lie beside its place
_FARTHEST = 1e12  # steps
_SAME = 1e-9  # of a step: the noise of float64


def find_step(times: Times, offsets: Sequence[int]) -> float:
    """Return the step from number to number within the series: the most common one, of broken numbers the median.

    Args:
        times: (N,) int64 or float64, sorted within each series, without repeats.
        offsets: (S+1,) borders of the series.
    """
    steps = inner_steps(times, offsets)
    if not len(steps):
        return 1
    return most_common(steps)[0] if times.dtype.kind == "i" else float(f"{np.median(steps):.12g}")


def lay_axis(times: Times, offsets: Sequence[int], step: float, ends: Sequence[int] | None = None) -> Grid | None:
    """Give each number its place on the regular grid of its series; the first one of a series begins it.

    Args:
        times: (n,) sorted within each series, without repeats.
        offsets: (S+1,) borders of the series, each of one row at least.
        step: from `find_step`.
        ends: (S,) row before which each series may be looked at to find out how its grid lies; None: all rows.

    Returns:
        The grid; None as from `lay_grid`.
    """
    if not step > 0 or not np.isfinite(float(times.max()) - float(times.min())):
        return None
    whole = times.dtype.kind == "i"
    places, firsts, measured = [], [], []
    for s, (start, end) in enumerate(itertools.pairwise(offsets)):
        own = times[start:end]
        distance = (own - own[0]) / step
        if distance[-1] > _FARTHEST:
            return None
        last = max(0, (ends[s] if ends else end) - start - 1)
        count = np.round(distance[last])
        if count > 0 and not whole:  # the step as the whole series measures it, so that a rounded one does not drift
            measured.append(float(own[last] - own[0]) / count)
            distance = (own - own[0]) / measured[-1]
        place: Ints = np.round(distance).astype(np.int64)
        places.append((place, np.abs(distance - place) <= (0 if whole else _JITTER)))
        firsts.append(own[0])
    placed = put_in_place(places, times, offsets, ends)
    if placed is None:
        return None
    return Grid(
        times=EvenTimes(np.array(firsts, dtype=times.dtype), _step(step, measured, whole=whole), placed.offsets),
        offsets=placed.offsets,
        kept=placed.kept,
        rows=placed.rows,
        nearest=placed.nearest,
        off_grid=len(times) - int(placed.exact.sum()),
    )


def _step(step: float, measured: Sequence[float], *, whole: bool) -> float:
    """Return the step of a grid: the one that was found, or the one that whole series measure if they differ."""
    if whole or not measured:
        return int(step) if whole else step
    usual = float(np.median(measured))
    return step if abs(usual - step) < _SAME * step else float(f"{usual:.12g}")
