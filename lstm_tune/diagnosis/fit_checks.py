"""Checks of the fit: does the model fit the rows that it was trained on, and does that carry over to others?"""

from __future__ import annotations

import math

import numpy as np

from lstm_tune.diagnosis.action import at_least, at_most, each, scaled
from lstm_tune.diagnosis.check import Check
from lstm_tune.diagnosis.evidence import Scores
from lstm_tune.diagnosis.finding import Finding, Severity, Thresholds
from lstm_tune.diagnosis.learning_curves import NEGLIGIBLE, OSCILLATES, Training, confirmed, oscillation, swing
from lstm_tune.evaluation.baseline_labels import label_of
from lstm_tune.search.trials import Curve
from lstm_tune.utils.text import rounded

_FITS_BETTER = Thresholds(warn=1.2, high=1.5)  # error on fitted rows over that of a baseline
_TESTS_BETTER = 1.1  # error on test rows over that of the same baseline
_OVER_NOISE = Thresholds(warn=2.0, high=5.0)  # error on fitted rows over the noise estimate
_GAP = Thresholds(warn=2.0, high=4.0)  # test over fitted error, in units of the baselines' own ratio
_RISE: tuple[tuple[float, Severity], ...] = ((0.5, "warn"), (0.2, "info"))  # of validation after its best epoch
_LOSS_FALLS = 0.9  # training loss over that of the best epoch
_LESS_CAPACITY = (
    *scaled(hidden_units=0.5),
    *at_least(dropout=0.5, weight_decay=1e-2),
    *at_most(layers=1),
    *each(skip="linear"),
)


def underfit(training: Training) -> Finding | None:
    """Find that the model does not fit its training rows: a baseline fits them better, or noise explains far less.

    Raised if a baseline has at least 20% less error than the model on fitted rows and 10% less on test rows, or if the
    model's error on fitted and on test rows is twice the noise estimate (five times: high) and at least 2% of the
    variance. High, too, if the baseline's error on fitted rows is less by a third.
    """
    scores = training.scores
    better = {
        name: scores.fit / fit
        for name, fit in scores.fit_baselines.items()
        if fit > 0
        and scores.fit / fit >= _FITS_BETTER.warn
        and scores.test >= _TESTS_BETTER * scores.test_baselines.get(name, math.inf)
    }
    known = scores.noise > 0 and scores.fit >= NEGLIGIBLE
    over_noise = min(scores.fit, scores.test) / scores.noise if known else math.nan
    if not better and not over_noise >= _OVER_NOISE.warn:
        return None
    evidence: dict[str, float | str | None] = {"fitted_mse_scaled": rounded(scores.fit)}
    if better:
        name = max(better, key=lambda n: better[n])
        evidence |= {"baseline": name, "baseline_fitted_mse_scaled": rounded(scores.fit_baselines[name])}
        says = f"Even on its training rows the model's MSE is {_times(better[name])} that of {label_of(name).sentence}."
    else:
        evidence |= {"noise_estimate": rounded(scores.noise)}
        says = (
            f"Even on its training rows the model's MSE is {_times(over_noise)} the estimated noise, so it has not "
            f"learned all that the past values show."
        )
    severe = max([*better.values(), 0.0]) >= _FITS_BETTER.high or over_noise >= _OVER_NOISE.high
    return Finding(
        code="underfit",
        severity="high" if severe else "warn",
        evidence=evidence,
        says=says,
        actions=each(skip="linear")
        if training.had_no_time  # no change of a training that did not begin can help
        else (*each(skip="linear"), *scaled(hidden_units=2, lookback=2, epochs=2), *each(dropout=0.0)),
        by_hand="Give it more time first: its network is untrained." if training.had_no_time else "",
    )


def overfit(training: Training) -> Finding | None:
    """Find that the model has memorised its training rows.

    Raised if the error on test rows over that on fitted rows is 2 times (4: high) the largest such ratio of the
    forecasts that fit nothing, which show how much harder the test period is (the parts of the error that a changed
    level or spread makes do not count). Or, a weaker sign, since the weights of the best epoch are kept: validation
    rises by a fifth after the best epoch (a half: warn) while the training loss falls by a tenth or more.
    """
    return _gap(training.scores) or _validation_rises(training)


def _gap(scores: Scores) -> Finding | None:
    gaps = {
        name: scores.test_baselines[name] / fit
        for name, fit in scores.fit_baselines.items()
        if name != "ridge" and fit > 0 and name in scores.test_baselines
    }
    if not gaps or not scores.fit > 0:
        return None
    gap = scores.noisy_test / scores.fit
    severity = _GAP.severity(gap / max(1.0, *gaps.values()))
    if severity is None:
        return None
    return Finding(
        code="overfit",
        severity=severity,
        evidence={
            "fitted_mse_scaled": rounded(scores.fit),
            "test_mse_scaled": rounded(scores.test),
            "of_it_unexplained": rounded(scores.noisy_test),
            "gap": rounded(gap),
            "gap_of_naive_forecasts": rounded(max(gaps.values())),
        },
        says=f"The model's MSE on test rows is {_times(gap)} that on its training rows, while for naive forecasts it "
        f"is only {_times(max(gaps.values()))}: the model has memorised its training rows.",
        actions=_LESS_CAPACITY,
    )


def _validation_rises(training: Training) -> Finding | None:
    rise = confirmed(training.lead, lambda _, curve: _rise(curve), _RISE[-1][0])
    if not rise:
        return None
    curve = training.lead[0][1]
    return Finding(
        code="overfit",
        severity=next(severity for least, severity in _RISE if rise >= least),
        evidence={"best_epoch": curve.best, "epochs": curve.epochs, "validation_rise": rounded(rise, 3)},
        says=f"After epoch {curve.best} of the best trial the validation score rose by {rise:.0%} while the training "
        f"loss still fell; the weights of epoch {curve.best} were kept.",
        actions=_LESS_CAPACITY,
    )


def _rise(curve: Curve) -> float:
    """Return by how much validation is above its best at the end, if the training loss fell meanwhile; else 0."""
    after = curve.epochs - curve.best
    if after < 3:
        return 0.0
    if not curve.loss[-1] <= _LOSS_FALLS * curve.loss[max(0, curve.best - 1)]:
        return 0.0
    best = curve.val[curve.best]
    rise = float((np.median(curve.val[-max(3, after // 3) :]) - best) / (best + NEGLIGIBLE * curve.val[0]))
    calm = rise >= 2 * oscillation(curve) and swing(curve.loss, curve.loss[0]) < 2 * OSCILLATES.warn
    return rise if calm else 0.0


def _times(ratio: float) -> str:
    return f"{ratio:.1f} times" if ratio < 100 else "over 100 times"


CHECKS: tuple[Check[Training], ...] = (
    Check(
        code="overfit",
        look=overfit,
        cause="the model overfits its training rows",
        explains=("underfit",),  # training that was stopped early because it overfits has not fitted well, either
    ),
    Check(code="underfit", look=underfit, cause="the model does not even fit its training rows"),
)
