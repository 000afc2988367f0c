"""What the learning curves of the best trials show: the common ground of the checks of training. Pure functions.

A finding on training is about the winner, and at least half of the best three trials must confirm it: a search tries
poor values on purpose, so a poor trial says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lstm_tune.diagnosis.evidence import Scores
from lstm_tune.diagnosis.finding import Thresholds
from lstm_tune.evaluation.recorded_forecasts import Floats
from lstm_tune.search.trials import Curve, Trial, distinct

OSCILLATES = Thresholds(warn=0.05, high=0.15)  # mean upward move from epoch to epoch, over the median
LATE_GAIN = Thresholds(warn=0.02, high=0.1)  # taken off by the last quarter of the epochs
NEGLIGIBLE = 0.02  # of the variance of the train rows: a smaller error needs no remedy
_LEADERS = 3  # trials that a finding on training looks at: the winner, and those that must confirm it
_JUMPS = 0.3  # mean upward move that needs no more than a jump and back
_TURNS = 0.4, 0.25  # share of the epochs at which the curve turns: of small moves, of jumps

Lead = Sequence[tuple[Trial, Curve]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """The trials of a study that have ended, and the scores of the model and the baselines."""

    trials: Sequence[Trial]
    scores: Scores

    @property
    def lead(self) -> Lead:
        """The best trained trials that have a curve, the winner first; of equal values the first one."""
        found = [(t, t.curve()) for t in distinct(self.trials)]
        return [(t, curve) for t, curve in found if curve is not None][:_LEADERS]

    @property
    def had_no_time(self) -> bool:
        """Whether the time limit ended the best trial before its first epoch."""
        best = next(iter(distinct(self.trials)), None)
        return best is not None and best.cut_untrained

    @property
    def ended(self) -> list[Trial]:
        """The trials that were completed or pruned, without copies of others."""
        return [t for t in self.trials if t.state in ("COMPLETE", "PRUNED") and t.same_as is None]


def confirmed(lead: Lead, strength: Callable[[Trial, Curve], float], least: float) -> float:
    """Return the winner's strength of a symptom; 0 if it, or over half of the best trials, show less than `least`."""
    strengths = [strength(trial, curve) for trial, curve in lead]
    if not strengths or strengths[0] < least or 2 * sum(s >= least for s in strengths) < len(strengths):
        return 0.0
    return strengths[0]


def turns(values: Floats) -> float:
    """Return the share of steps at which the values turn from falling to rising or back."""
    moves = np.sign(np.diff(values))
    return float(np.mean(moves[1:] != moves[:-1])) if len(moves) > 1 else 0.0


def oscillation(curve: Curve) -> float:
    """Return the larger of the swing of validation and half the swing of the training loss."""
    return max(swing(curve.val[1:], curve.val[0]), swing(curve.loss, curve.loss[0]) / 2)


def swing(values: Floats, first: float) -> float:
    """Return the mean upward move, over the median, of values that turn often, or jump far and come back; else 0."""
    values = values[np.isfinite(values)]
    moves = np.diff(values)
    if len(moves) < 3:
        return 0.0
    # If next to nothing is left of the error, a share of nothing is no reason to worry.
    size = float(np.maximum(moves, 0).mean() / (np.median(values) + NEGLIGIBLE * abs(first)))
    return size if turns(values) >= _TURNS[size >= _JUMPS] else 0.0


def late_gain(trial: Trial, curve: Curve) -> float:
    """Return the share that the last quarter of the epochs took off validation; 0 if the trial had stopped improving.

    A schedule that ends at 0 makes its gains late, so half of its gain counts.
    """
    if curve.best < curve.epochs or curve.stopped == "patience":
        return 0.0
    gain = float(1 - curve.val[-1] / curve.val[-1 - last_quarter(curve)])
    return gain / 2 if trial.settings.get("schedule") in ("cosine", "one_cycle") and curve.epochs > 1 else gain


def last_quarter(curve: Curve) -> int:
    """Return the number of epochs in the last quarter, at least one."""
    return max(1, curve.epochs // 4)
