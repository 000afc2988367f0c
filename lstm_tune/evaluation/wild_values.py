"""Test values that are so far from all that was trained on that they decide every score by themselves."""

from __future__ import annotations

import numpy as np

from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Ranges
from lstm_tune.data.time_labels import TimeStyle, series_name
from lstm_tune.evaluation.score import TargetScale
from lstm_tune.utils.text import counted

_WILD = 1e6  # standard deviations of the train rows from their mean: a fill value, a broken sensor, another unit
_NAMED = 3


def describe_wild_values(data: SeriesSet, rows: Ranges, scale: TargetScale) -> tuple[str, ...]:
    """Return a sentence for each target column with such values; it names the first of them.

    Args:
        data: all rows.
        rows: the test rows.
        scale: of the train rows.
    """
    sentences = []
    for c, target in enumerate(data.targets):
        found = [
            (s, a + int(i))
            for s, (a, b) in enumerate(rows)
            for i in np.flatnonzero(_is_wild(data, c, a, b, scale))[:_NAMED]
        ]
        if found:
            named = [_describe(data, c, s, row) for s, row in found[:_NAMED]]
            more = " and more" if len(found) > _NAMED else ""
            sentences.append(
                f"{counted(len(named), 'test value') if not more else 'test values'} of {target!r} lie a million "
                f"standard deviations and more from all train rows ({'; '.join(named)}{more}): they decide the test "
                f"MSE by themselves; correct them, or leave them empty, and tune again"
            )
    return tuple(sentences)


def _is_wild(data: SeriesSet, channel: int, start: int, end: int, scale: TargetScale) -> np.ndarray:
    values = data.values[channel, start:end].double().numpy()
    far = np.abs(values - scale.mean[channel]) > _WILD * scale.sd[channel]
    wild: np.ndarray = (far | ~np.isfinite(values)) & data.observed[channel, start:end].numpy()
    return wild


def _describe(data: SeriesSet, channel: int, series: int, row: int) -> str:
    when = TimeStyle.of(data.times, data.zone).labels(data.times[row : row + 1])[0]
    which = f"{series_name(data.series[series], '', 1)}, " if data.n_series > 1 else ""
    return f"{which}{when}: {float(data.values[channel, row]) + data.origin[channel]:.6g}"
