"""What the data allow a configuration to be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What the data allow; both numbers at least 1."""

    max_lookback: int  # rows; no window is longer
    positive: bool  # every target value is above 0, so that its logarithm exists
    period: int | None  # rows in a season; None: no seasonal difference, no seasonal skip
    max_batch_size: int  # training windows at least
    several_series: bool = False
