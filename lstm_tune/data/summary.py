"""What the data are, as plain JSON: rows, frequency, what is missing, where each part begins and ends."""

from __future__ import annotations

from typing import Any

import numpy as np

from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Ranges, Split
from lstm_tune.data.time_labels import time_labels


def data_facts(data: SeriesSet, horizon: int) -> dict[str, Any]:
    """Return what is known of the data before they are cut into parts."""
    return {
        "path": data.path,
        "rows": data.n_rows,
        "freq": data.freq,
        "target": list(data.targets),
        "series": data.n_series,
        "horizon": horizon,
        "missing": dict(data.missing),
        "repaired": dict(data.repaired),
        "notes": list(data.notes),
    }


def split_facts(data: SeriesSet, split: Split) -> dict[str, Any]:
    """Return rows, first and last time stamp of each part, {"train" | "val" | "test": {…}}."""
    parts = (("train", split.train), ("val", split.val), ("test", split.test))
    return {name: _part(data, ranges) for name, ranges in parts}


def data_record(data: SeriesSet, split: Split, horizon: int, period: int | None) -> dict[str, Any]:
    """Return the part `data` of result.json.

    Args:
        data: all rows.
        split: of the rows.
        horizon: rows that a forecast covers.
        period: rows in a season; None: there is none.
    """
    return data_facts(data, horizon) | {
        "channels": data.n_channels,
        "past": list(data.past_names),
        "future": list(data.future_names),
        "period": period,
        "split": split_facts(data, split),
        "notes": [*data.notes, *split.notes],
    }


def _part(data: SeriesSet, ranges: Ranges) -> dict[str, Any]:
    used = [(a, b) for a, b in ranges if b > a]
    first = min(data.times[a] for a, _ in used)
    last = max(data.times[b - 1] for _, b in used)
    start, end = time_labels(np.array([first, last]))
    return {"rows": sum(b - a for a, b in used), "start": str(start), "end": str(end)}
