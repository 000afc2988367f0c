"""Logarithms of values of any unit, and what becomes of a window with values that are not above 0.

A window may hold a value that is not above 0, or far below c, the lowest value of the fit rows. The logarithm of such
a window goes on below c as its tangent, log c + (x - c) / c, which is log c - 1 at 0; a negative value counts as 0. The
way back does the same, and the forecast is at most the highest value of the fit rows and the window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LOG_REACH = 3.0  # by how much a logarithm may exceed the highest one of the fit rows, at least
_FAR = 16.0  # of a mean logarithm: float32 holds logarithms beyond it with too few digits after the point


@dataclass(frozen=True, kw_only=True, slots=True)
class LogTerms:
    """What the logarithm of a batch's channels takes, each (B, 1), or (1,) if there is one channel alone."""

    unit: Tensor  # a power of 2 to divide by first: 1, unless float32 holds the logarithms with few digits
    shift: Tensor  # its logarithm
    floor: Tensor  # c, the lowest value of the fit rows
    ceiling: Tensor  # of the logarithm of what was divided

    def unseen(self, history: Tensor) -> Tensor:
        """Return (B, 1) whether a window (B, X) holds a value that is not above 0, or far below c."""
        lowest = history.amin(1, keepdim=True)
        return (lowest <= 0) | (lowest < self.floor * (-self._reach()).exp())

    def with_tangent(self, raw: Tensor) -> Tensor:
        """Return the logarithm (B, n), below c its tangent; a negative value counts as 0."""
        above = torch.maximum(raw, self.floor)
        return (above / self.unit).log() + (raw.clamp_min(0) - above) / self.floor

    def limited(self, log: Tensor, history: Tensor) -> Tensor:
        """Invert `with_tangent`, from 0 to the highest value of the fit rows and the history."""
        above = torch.maximum(log, (self.floor / self.unit).log())
        raw = above.exp() * self.unit + (log - above) * self.floor
        highest = torch.maximum(history.amax(1, keepdim=True), (self.ceiling - self._reach()).exp() * self.unit)
        return torch.minimum(raw.clamp_min(0), highest)

    def _reach(self) -> Tensor:
        """Return by how much the ceiling exceeds the highest logarithm of the fit rows: their range, or more."""
        return ((self.ceiling - (self.floor / self.unit).log()) / 2).clamp_min(LOG_REACH)


def log_of(raw: Tensor, terms: LogTerms) -> Tensor:
    """Return the logarithm (B, n) of positive values, minus `terms.shift`."""
    return (raw.clamp_min(torch.finfo(raw.dtype).tiny) / terms.unit).log()


def log_terms(center: Tensor, scale: Tensor, floor: Tensor, ceiling: Tensor) -> LogTerms:
    """Return the terms of some groups, given mean and spread of their logarithms, their lowest value, and the ceiling.

    A lowest value of 0 is not known: two standard deviations below the mean replace it.
    """
    power = torch.where(center.abs() > _FAR, center / math.log(2), 0.0).round()
    shift = power * math.log(2)
    return LogTerms(
        unit=power.exp2(),
        shift=shift,
        floor=torch.where(floor > 0, floor, (center - 2 * scale).exp()),
        ceiling=ceiling - shift,
    )
