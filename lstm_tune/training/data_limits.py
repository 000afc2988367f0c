"""What the observed rows allow: which validation blocks count, and how far a configuration may look back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lstm_tune.data.series import SeriesSet
from lstm_tune.data.split import Ranges, Segment
from lstm_tune.data.windows import Windows
from lstm_tune.errors import DataError
from lstm_tune.training.limits import Limits
from lstm_tune.utils.text import counted

_LEAST_SHARE = 1 / 3  # of the observed values of each target, that an earlier fold must have beside the newest one
_LEAST_WINDOWS = 1 / 4  # of the training windows of each target, that the longest lookback must leave


def usable_folds(windows: Windows, segments: Sequence[Segment]) -> tuple[tuple[Segment, ...], str | None]:
    """Return the segments that every target can be fitted and scored on, and the first target that one of them lacks.

    The newest segment always counts: `make_split` has checked it. An earlier one counts only if each target varies in
    the rows to fit on, has a third of its observed train values there, and a third of the validation windows in the
    rows to score. Long holes and late starts leave fewer.
    """
    data = windows.data
    fitted = [_count(data, c, segments[0].fit) for c in range(data.n_channels)]
    scored = _windows_by_channel(windows, segments[0].score, 0, reach_back=True)
    usable, lacking = [segments[0]], None
    for segment in segments[1:]:
        to_score = _windows_by_channel(windows, segment.score, 0, reach_back=True)
        for c, target in enumerate(data.targets):
            to_fit = _count(data, c, segment.fit)
            enough = to_fit >= _LEAST_SHARE * fitted[c] and to_score[c] >= max(1, _LEAST_SHARE * scored[c])
            if not (enough and _varies(data, c, segment.fit)):
                lacking = lacking or target
                break
        else:
            usable.append(segment)
    return tuple(usable), lacking


def data_limits(windows: Windows, segments: Sequence[Segment], period: int | None) -> Limits:
    """Return what the data allow a configuration to be.

    The longest lookback leaves, in the shortest stretch that a fold fits on, at least half of the rows (and a season)
    as targets, and of each target's windows in each fold a quarter: every trial has windows to train on and the same
    windows to be scored on, whatever holes there are. Of several series the one of median length decides: shorter ones
    are continued into the past, see `Windows`.

    Raises:
        DataError: too few rows for a single window.
    """
    data, horizon = windows.data, windows.horizon
    shortest = min(int(np.median([b - a for a, b in segment.fit if b > a])) for segment in segments)
    # A seasonal difference and a seasonal skip together look two seasons back, and a third is there to learn from.
    usable = period and shortest >= 3 * period + horizon and _leaves_windows(windows, segments, 2 * period)
    usable_period = period if usable else None
    reserve = horizon + (usable_period or 1)
    if shortest < reserve + 2:
        raise DataError(
            f"{counted(shortest, 'row')} to train on {'is' if shortest == 1 else 'are'} too few for a horizon of "
            f"{horizon}; use more rows, a shorter horizon or another split",
            code="too_little_data",
        )
    max_lookback = _longest_lookback(windows, segments, max(1, (shortest - reserve) // 2), usable_period or 1)
    return Limits(
        max_lookback=max_lookback,
        positive=not any(data.origin) and is_positive(data, segments[0].fit),
        period=usable_period,
        several_series=data.n_series > 1,
        max_batch_size=max(1, _fewest_windows(segments, max_lookback + reserve - 1) * data.n_channels),
    )


def _fewest_windows(segments: Sequence[Segment], context: int) -> int:
    """Return the windows of all series together that the smallest fold trains on behind so many rows."""
    return min(sum(max(0, b - a - context) for a, b in segment.fit) for segment in segments)


def is_positive(data: SeriesSet, rows: Ranges) -> bool:
    """Return whether every observed value of every target is above 0 in some rows."""
    return all(bool((x > 0).all()) for c in range(data.n_channels) for x in data.seen(c, rows))


def _longest_lookback(windows: Windows, segments: Sequence[Segment], most: int, lag: int) -> int:
    """Return the longest lookback, up to `most`, that leaves windows to train on when a difference takes `lag` more."""
    low, high = 1, most
    while low < high:
        middle = (low + high + 1) // 2
        if _leaves_windows(windows, segments, middle + lag):
            low = middle
        else:
            high = middle - 1
    if low == 1 and not _leaves_windows(windows, segments, 2):
        raise DataError(
            f"the rows to train on hold too few observed values of a target for a window of 1 row and a horizon of "
            f"{windows.horizon}; use more rows, another split or another target",
            code="too_little_data",
        )
    return low


def _leaves_windows(windows: Windows, segments: Sequence[Segment], context: int) -> bool:
    for segment in segments:
        every = _windows_by_channel(windows, segment.fit, 0, reach_back=False)
        left = _windows_by_channel(windows, segment.fit, context, reach_back=False)
        if any(n < max(1, int(_LEAST_WINDOWS * total)) for n, total in zip(left, every, strict=True)):
            return False
    return True


def _windows_by_channel(windows: Windows, rows: Ranges, context: int, *, reach_back: bool) -> list[int]:
    positions = windows.positions(rows, context, reach_back=reach_back)
    counted: list[int] = windows.counts(positions).sum(dim=1).tolist()
    return counted


def _count(data: SeriesSet, channel: int, rows: Ranges) -> int:
    return sum(len(values) for values in data.seen(channel, rows))


def _varies(data: SeriesSet, channel: int, rows: Ranges) -> bool:
    bounds = [(float(x.min()), float(x.max())) for x in data.seen(channel, rows) if len(x)]
    return bool(bounds) and min(low for low, _ in bounds) < max(high for _, high in bounds)
