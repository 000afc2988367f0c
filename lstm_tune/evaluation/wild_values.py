"""Scored values that are so far from all that was trained on that they decide every score by themselves."""

from __future__ import annotations

import numpy as np

from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Ranges
from lstm_tune.data.time_labels import TimeStyle, series_name
from lstm_tune.evaluation.score import TargetScale

_WILD = 1e6  # standard deviations of the train rows from their mean: a fill value, a broken sensor, another unit
_NAMED = 3


def describe_wild_values(data: SeriesSet, rows: Ranges, scale: TargetScale, what: str) -> tuple[str, ...]:
    """Return a sentence for each target column with such values; it names the first of them.

    Args:
        data: all rows.
        rows: the scored rows.
        scale: of the train rows.
        what: what their values are called, in the singular.
    """
    sentences = []
    mean, sd = (x.reshape(data.n_channels, -1) for x in scale.groups(data.n_series))
    for c, target in enumerate(data.targets):
        found = [
            (s, a + int(i))
            for s, (a, b) in enumerate(rows)
            for i in np.flatnonzero(_is_wild(data, c, a, b, mean[c, s], sd[c, s]))[: _NAMED + 1]
        ]
        if found:
            named = [_describe(data, c, s, row) for s, row in found[:_NAMED]]
            one, more = len(found) == 1, "; and more" if len(found) > _NAMED else ""
            many = f"1 {what} of {target!r} lies" if one else f"{what}s of {target!r} lie"
            where = "; ".join(named) + more
            them, decide = (
                ("it", "it decides the MSE by itself") if one else ("them", "they decide the MSE by themselves")
            )
            sentences.append(
                f"{many} a million standard deviations and more from all train rows ({where}): {decide}; "
                f"correct {them}, or leave {them} empty"
            )
    return tuple(sentences)


def _is_wild(data: SeriesSet, channel: int, start: int, end: int, mean: float, sd: float) -> np.ndarray:
    values = data.values[channel, start:end].double().numpy()
    far = np.abs(values - mean) > _WILD * sd
    wild: np.ndarray = (far | ~np.isfinite(values)) & data.observed[channel, start:end].numpy()
    return wild


def _describe(data: SeriesSet, channel: int, series: int, row: int) -> str:
    when = TimeStyle.of(data.times, data.zone).labels(data.times[row : row + 1])[0]
    which = f"{series_name(data.series[series], '', 1)}, " if data.n_series > 1 else ""
    return f"{which}{when}: {float(data.values[channel, row]) + data.origin[channel]:.6g}"
