"""What the findings after a study are drawn from: trials, scores and test forecasts as plain records, read only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lstm_tune.evaluation.recorded_forecasts import Floats

LEADERS = 3  # trials that a finding on training looks at: the winner, and those that must bear it out


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialRecord:
    """A trial that has ended, as Optuna keeps it."""

    number: int
    state: str  # "COMPLETE", "PRUNED" or "FAIL"
    value: float | None
    attrs: Mapping[str, Any]  # what the objective wrote

    @property
    def config(self) -> Mapping[str, Any]:
        """All parameters, resolved."""
        return self.attrs.get("config") or {}

    @property
    def trained(self) -> bool:
        """Whether it was trained to its end, and is no copy of another trial."""
        finite = self.value is not None and math.isfinite(self.value)
        return self.state == "COMPLETE" and finite and "same_as_trial" not in self.attrs


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Curve:
    """The learning curve of a trial of E epochs.

    `val` (E+1,) begins with the untrained model; `loss` and `lr` (E,) do not. A loss may be NaN, a value not.
    """

    val: Floats
    loss: Floats
    lr: Floats
    best: int  # the epoch of the least validation value
    stopped: str  # "epochs", "patience", "time"
    steps: float  # optimizer steps in an epoch; NaN: not recorded

    @property
    def epochs(self) -> int:
        """Epochs that were trained."""
        return len(self.loss)

    @classmethod
    def of(cls, trial: TrialRecord) -> Curve | None:
        """Read a trial's history; None where it has none, or one with a value that is not finite."""
        rows = np.array(trial.attrs.get("history") or [], dtype=np.float64).reshape(-1, 5)  # None becomes NaN
        if len(rows) < 2 or not np.isfinite(rows[:, 2]).all() or (rows[:, 2] <= 0).any():
            return None
        folds = len(trial.attrs.get("fold_mse_scaled") or [0])
        samples = float(trial.attrs.get("samples") or math.nan)
        return cls(
            val=rows[:, 2],
            loss=rows[1:, 1],
            lr=rows[1:, 3],
            best=int(rows[:, 2].argmin()),
            stopped=str(trial.attrs.get("stopped", "")),
            steps=samples / folds / (len(rows) - 1) / float(trial.config.get("batch_size", math.nan)),
        )


def leaders(trials: Iterable[TrialRecord], most: int = LEADERS) -> list[tuple[TrialRecord, Curve]]:
    """Return the best trained trials that have a curve, the winner first; of equal values the first one."""
    ranked = sorted((t for t in trials if t.trained), key=lambda t: (t.value or 0.0, t.number))
    distinct = {t.value: t for t in reversed(ranked)}
    found = [(t, Curve.of(t)) for t in ranked if distinct[t.value] is t]
    return [(t, curve) for t, curve in found if curve is not None][:most]


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
