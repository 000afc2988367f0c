"""A batch on its way to the network: its level, its windows, and where these lie.

Letters: B windows in a batch, X context, H horizon.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

_SPREAD_FLOOR = 1e-2  # of a window, in units of the fit rows' sd: a flat window is not blown up without limit


@dataclass(frozen=True, kw_only=True, slots=True)
class Located:
    """A batch on its way to the network."""

    level: Tensor  # (B, X)
    window: Tensor  # (B, X - lag)
    location: Tensor | None  # (B, 1); None: 0
    spread: Tensor | None  # (B, 1); None: 1
    unit: Tensor | None  # (B, 1) of the errors that are made small, in units of the level; None: 1

    def minus_location(self, x: Tensor) -> Tensor:
        """Subtract the windows' locations from x (B, n)."""
        return x if self.location is None else x - self.location


def spread_of(rows: Tensor) -> Tensor:
    """Return the spread (B, 1) of scaled rows (B, n), which is never 0."""
    return (rows.var(1, keepdim=True, correction=0) + _SPREAD_FLOOR**2).sqrt()


def extremes(parts: Iterable[Tensor]) -> tuple[float, float]:
    """Return the least and the largest number in the parts; of no number at all, inf and -inf."""
    bounds = [(float(part.min()), float(part.max())) for part in parts if len(part)]
    return min((low for low, _ in bounds), default=math.inf), max((high for _, high in bounds), default=-math.inf)


def seasonal_repeat(history: Tensor, period: int, horizon: int) -> Tensor:
    """Repeat the last season of history (B, X >= period) over the horizon: (B, H)."""
    last = history[:, -period:]
    return last.repeat(1, -(-horizon // period))[:, :horizon]
