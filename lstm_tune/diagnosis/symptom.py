"""One thing that a series shows of why an LSTM's MSE is high, and how its numbers are written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lstm_tune.diagnosis.finding import SEVERITIES, Severity


@dataclass(frozen=True, kw_only=True, slots=True)
class Symptom:
    """One thing found in one series."""

    severity: Severity
    weight: float  # the graver of two of the same severity
    evidence: dict[str, Any]
    says: str
    advice: str


def gravest(found: Sequence[Symptom]) -> Symptom | None:
    """Return the gravest symptom, the first of equals; None of none."""
    return min(found, key=lambda s: (SEVERITIES.index(s.severity), -s.weight), default=None)


def short(value: float) -> float:
    """Return a number in four significant digits."""
    return float(f"{value:.4g}") if math.isfinite(value) else 0.0


def percent(share: float) -> str:
    """Return a share of 1 as people read it."""
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}" if share >= 0.001 else "under 0.1%"
