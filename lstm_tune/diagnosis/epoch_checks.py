"""Checks of the course of training: epochs, batches, and trials that diverged. Pure functions of records."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from lstm_tune.diagnosis.action import Action, at_least, at_most, each, scaled
from lstm_tune.diagnosis.check import Check
from lstm_tune.diagnosis.finding import Finding, Thresholds
from lstm_tune.diagnosis.learning_curves import (
    LATE_GAIN,
    OSCILLATES,
    Training,
    confirmed,
    last_quarter,
    late_gain,
    oscillation,
)
from lstm_tune.diagnosis.learning_rate_checks import learned_too_slowly
from lstm_tune.search.trials import Trial, distinct
from lstm_tune.utils.text import counted, joined, rounded

_LONGER = 4  # times the time limit, if not even one epoch fitted into it
_WASTED = 0.5  # share of all epochs, after the best one
_MANY_AFTER = 8  # epochs after the best one: more than patience waits for
_DIVERGED = Thresholds(warn=0.2, high=0.5)  # share of the trials
_FEW_STEPS = 8  # in an epoch
_FEW_WINDOWS = 8  # in a batch
_LEAST_TRIALS = 5  # on each side of the batch sizes
_BETTER = 1.1  # ratio of the medians of the two sides
_P_BETTER = 0.005  # that chance explains it, one-sided
_SHARED_BY = 0.8, 0.5  # at least of the diverged trials, at most of the others


def too_few_epochs(training: Training) -> Finding | None:
    """Find a best trial that was still improving when its epochs, or the time, ended.

    Its last quarter of the epochs took 2% off validation (10%: high), twice that under a schedule that ends at 0. High,
    too, if the time limit ended it before its first epoch.
    """
    if (none := _no_epoch(training)) is not None:
        return none
    late = confirmed(training.lead, late_gain, LATE_GAIN.warn)
    if not late:
        return None
    curve = training.lead[0][1]
    quarter = last_quarter(curve)
    by_time = curve.stopped == "time"
    gain = rounded(late, 2)
    cause = "the time limit ended it" if by_time else f"it ended after {counted(curve.epochs, 'epoch')}"
    last = "the last epoch" if quarter == 1 else f"the last {quarter} epochs"
    return Finding(
        code="too_few_epochs",
        severity=LATE_GAIN.severity(late) or "warn",
        evidence={
            "epochs": curve.epochs,
            "best_epoch": curve.best,
            "late_gain": rounded(late, 3),
            "stopped": curve.stopped,
        },
        says=f"The best trial was still improving when {cause}: {last} took "
        f"{1 - curve.val[-1] / curve.val[-1 - quarter]:.1%} off its validation score.",
        actions=(Action(factors={"timeout": 2}, gain=gain),)
        if by_time
        else at_least(epochs=3 * max(10, curve.epochs), gain=gain),
    )


def _no_epoch(training: Training) -> Finding | None:
    if not training.had_no_time:
        return None
    whose = " of the best trial" if any(t.completed().epochs for t in distinct(training.trials)) else ""
    return Finding(
        code="too_few_epochs",
        severity="high",
        evidence={"epochs": 0, "best_epoch": 0, "stopped": "time"},
        says=f"No epoch{whose} fitted into the time limit: its network is untrained.",
        actions=(Action(factors={"timeout": _LONGER}),),
    )


def too_many_epochs(training: Training) -> Finding | None:
    """Find that most epochs came long after the best one: time that more trials could have had."""
    curves = [curve for t in training.trials if t.trained and (curve := t.curve()) is not None]
    after = [curve.epochs - curve.best for curve in curves]
    ran = sum(curve.epochs for curve in curves)
    if not ran or sum(after) < _WASTED * ran or np.median(after) < _MANY_AFTER:
        return None
    best = float(np.median([curve.best for curve in curves]))
    return Finding(
        code="too_many_epochs",
        severity="info",
        evidence={
            "share_after_best": rounded(sum(after) / ran, 3),
            "median_best_epoch": best,
            "median_epochs": float(np.median([curve.epochs for curve in curves])),
        },
        says=f"{sum(after) / ran:.0%} of all epochs came after the best epoch of their trial (epoch {best:.0f} in the "
        f"median); they cost time, but no accuracy, because the weights of the best epoch are kept.",
        actions=at_most(patience=4, gain=0.0),
        by_hand="Spend the time on more --trials.",
    )


def batch_size(training: Training) -> Finding | None:
    """Find batches that are too large for the rows, too small for calm steps, or worse than other sizes.

    Too large: under 8 steps in an epoch and still improving at the end. Too small: at most 8 windows, and validation
    oscillates. Worse: the trials with the smaller, or the larger half of the sizes are better by 10% in the median, by
    a rank test at 0.5%, and the winner's size is the last one on that side.
    """
    if not training.lead:
        return None
    trial, curve = training.lead[0]
    size = trial.settings.get("batch_size")
    if curve.steps < _FEW_STEPS and (late_gain(trial, curve) >= LATE_GAIN.warn or learned_too_slowly(trial, curve)):
        return Finding(
            code="batch_size",
            severity="warn",
            evidence={"batch_size": size, "steps_per_epoch": rounded(curve.steps, 3)},
            says=f"With {size} windows in a batch an epoch has only {counted(round(curve.steps), 'step')}, and the "
            f"best trial was still improving at its end.",
            actions=(*at_most(batch_size=32), *scaled(epochs=2)),
        )
    if size is not None and size <= _FEW_WINDOWS and oscillation(curve) >= OSCILLATES.warn:
        return Finding(
            code="batch_size",
            severity="warn",
            evidence={"batch_size": size, "mean_rise": rounded(oscillation(curve), 3)},
            says=f"Batches of {counted(size, 'window')} make noisy steps: the validation score jumps between epochs.",
            actions=at_least(batch_size=32, weight_average=0.99),
        )
    return _better_sizes(training, size)


def _better_sizes(training: Training, size: int | None) -> Finding | None:
    trained = [t for t in training.trials if t.trained and "batch_size" in t.settings]
    sizes = sorted({t.settings["batch_size"] for t in trained})
    if len(sizes) < 3 or size not in (sizes[0], sizes[-1]):
        return None
    smaller = size == sizes[0]
    border = sizes[len(sizes) // 2]
    sided = [((t.settings["batch_size"] < border) == smaller, t.completed().value) for t in trained]
    near, far = [v for is_near, v in sided if is_near], [v for is_near, v in sided if not is_near]
    if min(len(near), len(far)) < _LEAST_TRIALS:
        return None
    from scipy.stats import mannwhitneyu

    ratio = float(np.median(far) / np.median(near)) if np.median(near) > 0 else math.nan
    test = mannwhitneyu(near, far, alternative="less", method="asymptotic")
    if not ratio >= _BETTER or test.pvalue > _P_BETTER:
        return None
    side = "smaller" if smaller else "larger"
    return Finding(
        code="batch_size",
        severity="info",
        evidence={"batch_size": size, "median_ratio": rounded(ratio, 3), "trials": len(sided), "better": side},
        says=f"Trials with {side} batches were {1 - 1 / ratio:.0%} better in the median, and the best trial has the "
        f"{side[:-1]}st batch size that was tried ({size}).",
        actions=scaled(batch_size=0.5 if smaller else 2),
    )


def diverged_trials(training: Training) -> Finding | None:
    """Find that a fifth of the trials (half: high), two at least, ended because a loss exploded or was not finite."""
    ended = training.ended
    lost, kept = [t for t in ended if _diverged(t)], [t for t in ended if not _diverged(t)]
    share = len(lost) / max(1, len(ended))
    severity = _DIVERGED.severity(share)
    if len(lost) < 2 or severity is None:
        return None
    common = _in_common(lost, kept)
    what = f"; they have in common: {joined([f'{k} {v}' for k, v in common.items()])}" if common else ""
    least = min(float(t.settings.get("learning_rate", math.nan)) for t in lost)
    return Finding(
        code="diverged_trials",
        severity=severity,
        evidence={"diverged": len(lost), "trials": len(ended), "in_common": dict(common)},
        says=f"{len(lost)} of {len(ended)} trials diverged, which means that their loss grew without bound{what}.",
        actions=each(gradient_clip=1.0),
        by_hand=f"Lower the upper bound of learning_rate in the space below {least:g}."
        if "learning_rate" in common
        else "Remove from the space what these trials have in common.",
    )


def _diverged(trial: Trial) -> bool:
    reason = trial.pruned_because or ""
    return trial.state == "PRUNED" and reason.startswith("diverged") and "no training window" not in reason


def _in_common(lost: Sequence[Trial], kept: Sequence[Trial]) -> Mapping[str, str]:
    """Return {parameter: value or range} that most diverged trials share and most others do not."""
    found: dict[str, str] = {}
    rates, others = (
        [float(t.settings["learning_rate"]) for t in trials if "learning_rate" in t.settings] for trials in (lost, kept)
    )
    if rates and (not others or np.mean([r < min(rates) for r in others]) >= 0.6):
        found["learning_rate"] = f"of {min(rates):g} or more"
    for name in ("optimizer", "cell_activation", "activation", "transform", "gradient_clip", "layers"):
        value, count = Counter(t.settings.get(name) for t in lost).most_common(1)[0]
        rest = np.mean([t.settings.get(name) == value for t in kept]) if kept else 1.0
        if value is not None and count >= _SHARED_BY[0] * len(lost) and rest <= _SHARED_BY[1]:
            found[name] = str(value)
    return found


CHECKS: tuple[Check[Training], ...] = (
    Check(code="too_few_epochs", look=too_few_epochs, cause="training ended too early"),
    Check(code="too_many_epochs", look=too_many_epochs, cause=None),
    Check(code="batch_size", look=batch_size, cause="the batch size does not suit the data"),
    Check(code="diverged_trials", look=diverged_trials, cause="many trials diverged"),
)
