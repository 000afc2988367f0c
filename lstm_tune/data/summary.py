"""What the data are: rows, frequency, what is missing, where each part begins and ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lstm_tune.data.series import SeriesSet


def data_facts(series: SeriesSet, horizon: int) -> dict[str, Any]:
    """Return what is known of the data before they are cut into parts."""
    return {
        "path": series.path,
        "rows": series.n_rows,
        "freq": series.freq,
        "target": list(series.targets),
        "series": series.n_series,
        "horizon": horizon,
        "missing": dict(series.missing),
        "repaired": dict(series.repaired),
        "notes": list(series.notes),
    }


def part_facts(series: SeriesSet, ranges: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Return how many rows a part has, and its first and last time stamp."""
    used = [(a, b) for a, b in ranges if b > a]
    first, last = min(series.times[a] for a, _ in used), max(series.times[b - 1] for _, b in used)
    return {"rows": sum(b - a for a, b in used), "start": _label(first), "end": _label(last)}


def _label(time: Any) -> str:
    if not isinstance(time, np.datetime64):
        return str(int(time))
    text = str(time.astype("datetime64[s]")).replace("T", " ")
    return text.removesuffix(" 00:00:00")
