"""Time stamps and series as text, for files and screens."""

from __future__ import annotations

import numpy as np

from lstm_tune.data.even_times import EvenTimes, Times, pieces
from lstm_tune.utils.escaping import cell


def series_name(series: str, target: str, targets: int) -> str:
    """Return what forecast.csv calls a target of a series where there are so many, as a harmless cell of it."""
    return cell(" ".join(filter(None, (series, target if targets > 1 else ""))) or target)


def whole_days(times: Times | EvenTimes) -> bool:
    """Return whether no time of day in (N,) times differs from midnight; False for row numbers."""
    if times.dtype.kind != "M":
        return False
    cut = (times[a:b] for a, b in pieces(0, len(times)))
    return all(bool((piece == piece.astype("datetime64[D]")).all()) for piece in cut)


def time_labels(times: Times, daily: bool | None = None) -> np.ndarray:
    """Return time stamps (N,) as strings.

    Args:
        times: to be named.
        daily: whether the date alone says enough; None: where no time of day differs from midnight.
    """
    if times.dtype.kind != "M":
        return times.astype(str)
    daily = whole_days(times) if daily is None else daily
    labels: np.ndarray = np.datetime_as_string(times, unit="D" if daily else "s")
    return labels if daily else np.char.replace(labels, "T", " ")
