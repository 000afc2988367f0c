"""What the findings after a study are drawn from: trials, scores and test forecasts as plain records, read only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """Scaled MSEs of the model and of each baseline, {name: mse}: on validation, test and, in sample, fitted rows."""

    val: float  # of the winning trial
    test: float  # of the model
    fit: float  # of the model, on rows that it was trained on; NaN: not measured
    val_baselines: Mapping[str, float]
    test_baselines: Mapping[str, float]
    fit_baselines: Mapping[str, float]
    unexplained: float = math.nan  # of `test`, what is neither bias nor a swing too small or large; NaN: all of it
    noise: float = math.nan  # an estimate of what no forecast from the past values can go below, on fitted rows
    independent: float = math.inf  # validation windows that do not overlap
    skill_ci95: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # of 1 - mse / baseline, on test rows

    @property
    def noisy_test(self) -> float:
        """The part of the test MSE that overfitting makes; a level or a swing that has changed is no sign of it."""
        return self.test if math.isnan(self.unexplained) else min(self.test, self.unexplained)

    @property
    def best_baseline(self) -> str | None:
        """The baseline with the least test MSE; None where there is none that is finite."""
        finite = {name: mse for name, mse in self.test_baselines.items() if math.isfinite(mse)}
        return min(finite, key=lambda name: finite[name]) if finite else None


def median(values: Sequence[float]) -> float:
    """Return the median of the finite values; NaN of none."""
    finite = [v for v in values if math.isfinite(v)]
    return float(np.median(finite)) if finite else math.nan


def plain(value: float, digits: int = 4) -> float | None:
    """Round to significant digits for the evidence; None where JSON has no word for the number."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None
