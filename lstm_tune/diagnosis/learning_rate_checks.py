"""Checks of the learning rate: do the steps overshoot, or are they too small? Pure functions of records."""

from __future__ import annotations

import math

import numpy as np

from lstm_tune.diagnosis.action import each, scaled, search
from lstm_tune.diagnosis.check import Check
from lstm_tune.diagnosis.finding import Finding
from lstm_tune.diagnosis.learning_curves import OSCILLATES, Training, confirmed, oscillation, turns
from lstm_tune.search.trials import Curve, Trial
from lstm_tune.training.optimizers import is_adaptive
from lstm_tune.utils.text import rounded

_SLOW = 0.2  # of the untrained value: training that takes off less, and steadily so, is too slow
_MORE = 1.02  # times a baseline's validation MSE: there is more to gain
_REACH = 0.03  # sum of all steps of an adaptive optimizer below which no weight can change by as much as it began with
_FASTER = 3  # times the learning rate of the winner
_STALLED = 0.97  # of the first training loss
_SATURATING = {True: 0.05, False: 0.5}  # learning rates from which a stall is a sign of it: adaptive optimizer or not
_WORSE = 1.5  # times the untrained value, after the first epoch
_USUAL = 0.003  # a learning rate that suits most data
_STILL = 1e-3  # relative change of validation over all epochs


def learning_rate_too_high(training: Training) -> Finding | None:
    """Find steps that overshoot: validation jumps up and down, or training only makes the model worse, or stalls.

    Jumps: the curve turns at 40% of the epochs at least, and the mean upward move is 5% of the median (15%: high), or
    twice as much for the training loss.
    """
    ups = confirmed(training.lead, lambda _, curve: oscillation(curve), OSCILLATES.warn)
    worse = confirmed(training.lead, _thrown_off, _WORSE)
    if not ups and not worse:
        return None
    trial, curve = training.lead[0]
    rate = trial.settings.get("learning_rate")
    if worse:
        says = f"At a learning rate of {rate:g} training only made the best trial worse: no epoch beats its start."
    else:
        says = f"The error jumps up and down from epoch to epoch (on average by {ups:.0%}): the steps overshoot."
    return Finding(
        code="learning_rate_too_high",
        severity="high" if worse else OSCILLATES.severity(ups) or "warn",
        evidence={
            "learning_rate": rate,
            "optimizer": trial.settings.get("optimizer"),
            "mean_rise": rounded(oscillation(curve), 3),
            "turns": rounded(turns(curve.val[1:]), 3),
            "best_epoch": curve.best,
        },
        says=says,
        actions=(*scaled(learning_rate=0.1), search(schedule="cosine", weight_average=0.99)),
    )


def _thrown_off(trial: Trial, curve: Curve) -> float:
    """Return how many times its untrained value validation has after the first epoch, if no epoch recovers."""
    stalls = curve.epochs >= 2 and curve.loss[-1] >= _STALLED * curve.loss[0]
    saturates = curve.lr.max() >= _SATURATING[is_adaptive(trial.settings.get("optimizer"))]
    if stalls and saturates and curve.val[-1] >= 0.8 * curve.val[0]:
        return 2.0
    return float(curve.val[1] / curve.val[0]) if curve.best == 0 else 0.0


def learning_rate_too_low(training: Training) -> Finding | None:
    """Find training that is too slow: small gains that stay as large to the end, or steps too small to move a weight.

    The former only counts if a baseline shows that there is more to gain: noise is learned slowly, too. Neither counts
    if another trial learned three times as fast and ended no better: then small steps are right for these data.
    """
    scores = training.scores
    if not training.lead or not confirmed(training.lead, learned_too_slowly, 1.0):
        return None
    trial, curve = training.lead[0]
    more = scores.val >= _MORE * min(scores.val_baselines.values(), default=math.inf)
    if (not more and not _cannot_move(trial, curve)) or _faster_is_no_better(training, trial, curve):
        return None
    rate = trial.settings.get("learning_rate")
    gain = 1 - curve.val.min() / curve.val[0]
    return Finding(
        code="learning_rate_too_low",
        severity="high",
        evidence={
            "learning_rate": rate,
            "optimizer": trial.settings.get("optimizer"),
            "epochs": curve.epochs,
            "gain_over_untrained": rounded(gain, 3),
            "steps_per_epoch": rounded(curve.steps, 3),
        },
        says=f"At a learning rate of {rate:g} training is too slow: {curve.epochs} epochs took {gain:.1%} off the "
        f"untrained model's validation score, and the last ones gained as much as the first ones.",
        actions=each(learning_rate=max(10 * rate, 3e-4) if 10 * rate < _USUAL else _USUAL) if rate else (),
    )


def _faster_is_no_better(training: Training, trial: Trial, curve: Curve) -> bool:
    """Return whether a trial of the same optimizer with a far higher rate ended at a value no better."""
    if trial.value is None:
        return True
    return any(
        other.value is not None and other.value >= trial.value
        for other in training.trials
        if other.trained
        and other.settings.get("optimizer") == trial.settings.get("optimizer")
        and other.settings.get("learning_rate", 0) >= _FASTER * curve.lr.max()
    )


def learned_too_slowly(trial: Trial, curve: Curve) -> float:
    """Return 1 if the trial learned too slowly, else 0."""
    gain = 1 - curve.val.min() / curve.val[0]
    if curve.epochs < 2 or gain >= _SLOW or curve.val.max() > 1.5 * curve.val[0]:
        return 0.0
    if _cannot_move(trial, curve):
        return 1.0
    from_scratch = all(trial.settings.get(name) == "none" for name in ("skip", "window_norm", "difference"))
    if from_scratch and curve.epochs >= 3 and np.abs(curve.val / curve.val[0] - 1).max() < _STILL:
        return 1.0
    if curve.epochs < 3 or curve.best < curve.epochs - 1 or curve.stopped == "patience":
        return 0.0
    # Time is counted in learning rate, so that a schedule that ends at 0 does not look like training that has ended.
    spent = np.concatenate([[0.0], np.cumsum(curve.lr)])
    middle = int(np.searchsorted(spent, spent[-1] / 2))
    first, second = curve.val[0] - curve.val[middle], curve.val[middle] - curve.val[-1]
    if first <= 0 or not 0 < spent[middle] < spent[-1]:
        return 0.0
    return float(second / (spent[-1] - spent[middle]) >= 0.5 * first / spent[middle])


def _cannot_move(trial: Trial, curve: Curve) -> bool:
    """Return whether all planned steps together are too short for any weight to change by much."""
    reach = trial.settings.get("learning_rate", math.nan) * curve.steps * trial.settings.get("epochs", math.nan)
    return is_adaptive(trial.settings.get("optimizer")) and bool(reach < _REACH)


CHECKS: tuple[Check[Training], ...] = (
    Check(
        code="learning_rate_too_low",
        look=learning_rate_too_low,
        cause="the learning rate is too low",
        explains=("too_few_epochs",),  # training that is too slow still improves at its end
    ),
    Check(code="learning_rate_too_high", look=learning_rate_too_high, cause="the learning rate is too high"),
)
