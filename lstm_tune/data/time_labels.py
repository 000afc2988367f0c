"""Time stamps and series as text, for files and screens."""

from __future__ import annotations

import numpy as np

from lstm_tune.data.even_times import EvenTimes, Times, pieces
from lstm_tune.utils.escaping import cell

_UNITS = ("D", "s", "ms", "us", "ns")


def series_name(series: str, target: str, targets: int) -> str:
    """Return what forecast.csv calls a target of a series where there are so many, as a harmless cell of it."""
    return cell(" ".join(filter(None, (series, target if targets > 1 else ""))) or target)


def label_unit(times: Times | EvenTimes) -> str:
    """Return the coarsest unit that names each of (N,) times: "D", "s", "ms", "us" or "ns"; "" for row numbers."""
    if times.dtype.kind != "M":
        return ""
    return next(unit for unit in _UNITS if unit == "ns" or _are_whole(times, unit))


def _are_whole(times: Times | EvenTimes, unit: str) -> bool:
    cut = (times[a:b] for a, b in pieces(0, len(times)))
    return all(bool((piece == piece.astype(f"datetime64[{unit}]")).all()) for piece in cut)


def time_labels(times: Times, unit: str | None = None) -> np.ndarray:
    """Return time stamps (N,) as strings.

    Args:
        times: to be named.
        unit: of the last digits, as `label_unit` returns it; None: the coarsest one that names these times.
    """
    if times.dtype.kind != "M":
        return times.astype(str)
    unit = label_unit(times) if unit is None else unit
    labels: np.ndarray = np.datetime_as_string(times, unit=unit)  # type: ignore[call-overload]
    return labels if unit == "D" else np.char.replace(labels, "T", " ")
